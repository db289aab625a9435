//! Load-test audio that proves where it has been.
//!
//! A probe is one 20 ms frame of µ-law: 8 bytes of magic, the call and frame number (u32, little endian), the time it was
//! sent (u64, little endian, microseconds) and filler that follows from those three. The load generator sends it as
//! caller audio, the emulated Realtime server sends the bytes straight back as model audio, and the generator reads from
//! the returned bytes which frame of which call came home, when it left, and whether every byte survived.

use std::sync::LazyLock;
use std::time::Instant;

use call_protocol::audio::FRAME_BYTES;

/// The first eight bytes of every probe.
pub const PROBE_MAGIC: &[u8; 8] = b"SWBPROBE";

/// Bytes in a probe: one 20 ms frame.
pub const PROBE_BYTES: usize = FRAME_BYTES;

const HEADER_BYTES: usize = 24;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds since this process first asked.
#[must_use]
pub fn now_us() -> u64 {
    u64::try_from(EPOCH.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// What a probe says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Which call of the load test sent it.
    pub call: u32,
    /// Which frame of that call, from 0.
    pub frame: u32,
    /// When it was sent, in microseconds on the clock of [`now_us`].
    pub sent_us: u64,
}

/// Why 160 bytes are not a sound probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The bytes do not begin with [`PROBE_MAGIC`] or are too few.
    #[error("not a probe")]
    NotAProbe,
    /// The magic is there, but the filler does not follow from the header.
    #[error("probe of call {} frame {} was altered on the way", .0.call, .0.frame)]
    Corrupt(Probe),
}

/// Writes `probe` into `out`.
pub fn encode(probe: Probe, out: &mut [u8; PROBE_BYTES]) {
    out[..8].copy_from_slice(PROBE_MAGIC);
    out[8..12].copy_from_slice(&probe.call.to_le_bytes());
    out[12..16].copy_from_slice(&probe.frame.to_le_bytes());
    out[16..HEADER_BYTES].copy_from_slice(&probe.sent_us.to_le_bytes());
    let mut filler = Filler::new(probe);
    for chunk in out[HEADER_BYTES..].chunks_exact_mut(8) {
        chunk.copy_from_slice(&filler.next_word());
    }
}

/// Reads the probe at the start of `bytes` and checks all its 160 bytes.
///
/// # Errors
/// [`ProbeError::NotAProbe`] without the magic or with fewer than 160 bytes; [`ProbeError::Corrupt`] when a byte changed.
pub fn decode(bytes: &[u8]) -> Result<Probe, ProbeError> {
    let Some(bytes) = bytes.first_chunk::<PROBE_BYTES>() else {
        return Err(ProbeError::NotAProbe);
    };
    if &bytes[..8] != PROBE_MAGIC {
        return Err(ProbeError::NotAProbe);
    }
    let [_, _, _, _, _, _, _, _, c0, c1, c2, c3, f0, f1, f2, f3, ..] = *bytes;
    let [s0, s1, s2, s3, s4, s5, s6, s7] = word(&bytes[16..HEADER_BYTES]);
    let probe = Probe {
        call: u32::from_le_bytes([c0, c1, c2, c3]),
        frame: u32::from_le_bytes([f0, f1, f2, f3]),
        sent_us: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
    };
    let mut filler = Filler::new(probe);
    for chunk in bytes[HEADER_BYTES..].chunks_exact(8) {
        if chunk != filler.next_word() {
            return Err(ProbeError::Corrupt(probe));
        }
    }
    Ok(probe)
}

fn word(bytes: &[u8]) -> [u8; 8] {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    word
}

/// xorshift64* seeded with the header.
struct Filler(u64);

impl Filler {
    fn new(probe: Probe) -> Self {
        let seed = (u64::from(probe.call) << 32 | u64::from(probe.frame))
            ^ probe.sent_us.rotate_left(17)
            ^ 0x9E37_79B9_7F4A_7C15;
        // xorshift stands still at zero.
        Self(seed.max(1))
    }

    fn next_word(&mut self) -> [u8; 8] {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Probe = Probe {
        call: 7,
        frame: 4_000_000_001,
        sent_us: 123_456_789_012,
    };

    #[test]
    fn a_probe_reads_back_as_written() {
        let mut bytes = [0; PROBE_BYTES];
        encode(PROBE, &mut bytes);
        assert_eq!(decode(&bytes), Ok(PROBE));
    }

    #[test]
    fn every_single_altered_byte_is_noticed() {
        let mut sound = [0; PROBE_BYTES];
        encode(PROBE, &mut sound);
        for index in 0..PROBE_BYTES {
            let mut bytes = sound;
            bytes[index] ^= 1;
            assert!(decode(&bytes).is_err(), "byte {index}");
        }
    }

    #[test]
    fn fewer_than_160_bytes_are_not_a_probe() {
        let mut bytes = [0; PROBE_BYTES];
        encode(PROBE, &mut bytes);
        assert_eq!(decode(&bytes[..159]), Err(ProbeError::NotAProbe));
    }
}
