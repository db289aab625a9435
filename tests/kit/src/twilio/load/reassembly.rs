//! Probe frames found again in returned audio, however it was cut into pieces.

use call_protocol::audio::FRAME_BYTES;

use crate::probe::{self, PROBE_BYTES, PROBE_MAGIC, Probe, ProbeError};

/// One thing found in the returned audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A sound probe.
    Probe(Probe),
    /// A probe whose content changed.
    Corrupt,
    /// Bytes that belong to no probe, after the first probe was seen.
    Stray(usize),
}

/// The unfinished rest of one call's returned audio.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    rest: Vec<u8>,
    /// False until the first magic: what comes before it is the greeting.
    aligned: bool,
}

impl Reassembly {
    /// Takes the next piece and hands everything complete to `found`.
    pub(super) fn push(&mut self, piece: &[u8], mut found: impl FnMut(Found)) {
        self.rest.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let left = &self.rest[at..];
            if left.len() >= PROBE_MAGIC.len() && !left.starts_with(PROBE_MAGIC) {
                let skipped = distance_to_magic(left);
                if self.aligned {
                    found(Found::Stray(skipped));
                }
                at += skipped;
                continue;
            }
            if left.len() < PROBE_BYTES {
                break;
            }
            self.aligned = true;
            match probe::decode(left) {
                Ok(probe) => {
                    found(Found::Probe(probe));
                    at += PROBE_BYTES;
                }
                // Bytes may be missing from it: the next magic is searched right behind this one.
                Err(ProbeError::Corrupt(_) | ProbeError::NotAProbe) => {
                    found(Found::Corrupt);
                    at += PROBE_MAGIC.len();
                }
            }
        }
        self.rest.drain(..at);
        debug_assert!(self.rest.len() < FRAME_BYTES);
    }
}

/// Bytes before the next magic; when there is none, all but those that may be its beginning.
fn distance_to_magic(bytes: &[u8]) -> usize {
    let position = bytes
        .windows(PROBE_MAGIC.len())
        .position(|window| window == PROBE_MAGIC);
    position.unwrap_or(bytes.len() - (PROBE_MAGIC.len() - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u32) -> [u8; PROBE_BYTES] {
        let mut bytes = [0; PROBE_BYTES];
        let probe = Probe {
            call: 1,
            frame: number,
            sent_us: 5,
        };
        probe::encode(probe, &mut bytes);
        bytes
    }

    fn find(audio: &[u8], piece: usize) -> Vec<Found> {
        let mut reassembly = Reassembly::default();
        let mut all = Vec::new();
        for piece in audio.chunks(piece) {
            reassembly.push(piece, |found| all.push(found));
        }
        all
    }

    fn numbers(found: &[Found]) -> Vec<u32> {
        let mut numbers = Vec::new();
        for found in found {
            if let Found::Probe(probe) = found {
                numbers.push(probe.frame);
            }
        }
        numbers
    }

    #[test]
    fn frames_are_found_in_pieces_of_any_size_behind_a_greeting() {
        let mut audio = vec![0x55; 777];
        for number in 0..20 {
            audio.extend_from_slice(&frame(number));
        }
        for piece in [1, 7, 159, 160, 161, 333, 4_000] {
            let found = find(&audio, piece);
            assert_eq!(numbers(&found), (0..20).collect::<Vec<_>>(), "{piece}");
            assert_eq!(found.len(), 20, "{piece}");
        }
    }

    #[test]
    fn lost_bytes_cost_one_frame_and_not_the_ones_behind_it() {
        let mut audio = Vec::new();
        for number in 0..5 {
            audio.extend_from_slice(&frame(number));
        }
        audio.drain(2 * PROBE_BYTES + 50..2 * PROBE_BYTES + 60);
        let found = find(&audio, 100);
        assert_eq!(numbers(&found), [0, 1, 3, 4]);
        assert!(found.contains(&Found::Corrupt));
    }

    #[test]
    fn foreign_audio_between_frames_is_counted() {
        let mut audio = frame(0).to_vec();
        audio.extend_from_slice(&[0xFF; 320]);
        audio.extend_from_slice(&frame(1));
        let found = find(&audio, 64);
        assert_eq!(numbers(&found), [0, 1]);
        let stray: usize = found
            .iter()
            .map(|found| match found {
                Found::Stray(bytes) => *bytes,
                _ => 0,
            })
            .sum();
        assert_eq!(stray, 320);
    }
}
