//! Who is audibly speaking, judged by the energy of 20 ms frames.

use call_protocol::audio::{FRAME_MS, decode_sample};

/// Root mean square above which a frame is loud, about −38 dB of full scale: phone speech is well above, comfort noise below.
const LOUD_RMS: i64 = 400;

/// Loud frames in a row that begin speech: a single one is a click.
const FRAMES_TO_START: u64 = 2;

/// Quiet that ends a stretch of speech; pauses between words are shorter.
pub const QUIET_ENDS_SPEECH_MS: u64 = 300;

/// A change from silence to speech or back, with the time it really happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Speech began.
    Started {
        /// At the first loud frame.
        at_ms: u64,
    },
    /// Speech ended.
    Stopped {
        /// When the stretch began.
        since_ms: u64,
        /// At the end of the last loud frame.
        at_ms: u64,
    },
}

/// Follows one voice frame by frame.
#[derive(Debug, Default)]
pub struct Activity {
    loud_in_a_row: u64,
    speaking_since: Option<u64>,
    quiet_since: u64,
    loud_ms: u64,
}

impl Activity {
    /// The frame that began at `at_ms`.
    pub fn frame(&mut self, at_ms: u64, frame: &[u8]) -> Option<Edge> {
        let ends_ms = at_ms + FRAME_MS;
        if is_loud(frame) {
            self.loud_in_a_row += 1;
            self.loud_ms += FRAME_MS;
            self.quiet_since = ends_ms;
            if self.speaking_since.is_none() && self.loud_in_a_row >= FRAMES_TO_START {
                let started = ends_ms.saturating_sub(self.loud_in_a_row * FRAME_MS);
                self.speaking_since = Some(started);
                return Some(Edge::Started { at_ms: started });
            }
            return None;
        }
        self.loud_in_a_row = 0;
        if ends_ms.saturating_sub(self.quiet_since) < QUIET_ENDS_SPEECH_MS {
            return None;
        }
        self.silence()
    }

    /// Ends a stretch of speech now, when the stream ends in the middle of it.
    pub fn silence(&mut self) -> Option<Edge> {
        let since_ms = self.speaking_since.take()?;
        Some(Edge::Stopped {
            since_ms,
            at_ms: self.quiet_since,
        })
    }

    /// Milliseconds of the present stretch of speech, up to `now_ms`; 0 in silence.
    #[must_use]
    pub fn speaking_ms(&self, now_ms: u64) -> u64 {
        self.speaking_since
            .map_or(0, |since| now_ms.saturating_sub(since))
    }

    /// Milliseconds since the last loud frame, or since time 0.
    #[must_use]
    pub fn quiet_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.quiet_since)
    }

    /// Milliseconds of loud frames in all.
    #[must_use]
    pub const fn loud_ms(&self) -> u64 {
        self.loud_ms
    }
}

/// Whether the frame's root mean square is above the threshold of speech.
#[must_use]
pub fn is_loud(frame: &[u8]) -> bool {
    if frame.is_empty() {
        return false;
    }
    let mut energy = 0i64;
    for byte in frame {
        let sample = i64::from(decode_sample(*byte));
        energy += sample * sample;
    }
    energy > LOUD_RMS * LOUD_RMS * frame.len() as i64
}

#[cfg(test)]
mod tests {
    use call_protocol::audio::{SILENCE, encode_sample};

    use super::*;

    fn run(activity: &mut Activity, from: u64, frames: u64, byte: u8) -> Vec<Edge> {
        (0..frames)
            .filter_map(|n| activity.frame(from + n * 20, &[byte; 160]))
            .collect()
    }

    #[test]
    fn speech_begins_at_its_first_loud_frame_and_ends_at_its_last() {
        let loud = encode_sample(5_000);
        let mut activity = Activity::default();
        assert_eq!(run(&mut activity, 0, 10, SILENCE), []);
        assert_eq!(
            run(&mut activity, 200, 20, loud),
            [Edge::Started { at_ms: 200 }]
        );
        assert_eq!(activity.speaking_ms(600), 400);
        assert_eq!(
            run(&mut activity, 600, 20, SILENCE),
            [Edge::Stopped {
                since_ms: 200,
                at_ms: 600
            }]
        );
        assert_eq!(activity.quiet_ms(1_000), 400);
        assert_eq!(activity.loud_ms(), 400);
    }

    #[test]
    fn a_click_and_a_pause_between_words_change_nothing() {
        let loud = encode_sample(5_000);
        let mut activity = Activity::default();
        assert_eq!(run(&mut activity, 0, 1, loud), []);
        assert_eq!(run(&mut activity, 20, 20, SILENCE), []);
        assert_eq!(run(&mut activity, 420, 5, loud).len(), 1);
        assert_eq!(run(&mut activity, 520, 10, SILENCE), []);
        assert_eq!(run(&mut activity, 720, 5, loud), []);
    }
}
