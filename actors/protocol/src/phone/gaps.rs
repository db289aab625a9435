//! Holes in the caller's audio.
//!
//! Voice activity works on the audio it gets, not on the wall clock: if frames are missing while the caller speaks, the
//! end of their turn never comes. Holes are filled with silence, by Twilio's timestamps, or after a while without any.

use std::time::Duration;

use crate::audio::payload::Payload;
use crate::audio::{SILENCE, bytes_to_ms, ms_to_bytes};

/// No frame for this long: silence is sent in its place.
pub(crate) const QUIET_LINE: Duration = Duration::from_millis(750);

/// That much of it, and again as long as no frame comes.
pub(crate) const FILLED_MS: u64 = 1_000;

/// Timestamps are a little uneven; a smaller hole is none.
const SMALLEST_MS: u64 = 60;

/// A larger hole is a clock that jumped.
const LARGEST_MS: u64 = 10_000;

/// Follows Twilio's timestamps.
#[derive(Debug, Default)]
pub struct CallerClock {
    /// Where the next frame should begin.
    next_ms: Option<u64>,
    /// Silence already sent for the hole that is open.
    filled_ms: u64,
}

impl CallerClock {
    /// A frame came; gives the milliseconds of silence that are missing before it.
    pub(crate) fn frame(&mut self, timestamp_ms: Option<u64>, bytes: usize) -> u64 {
        let Some(timestamp) = timestamp_ms else {
            return 0;
        };
        let filled = std::mem::take(&mut self.filled_ms);
        let next = timestamp.saturating_add(bytes_to_ms(bytes as u64));
        let Some(expected) = self.next_ms else {
            self.next_ms = Some(next);
            return 0;
        };
        let hole = timestamp.saturating_sub(expected);
        // A frame that comes late opens no hole for the one after it; a clock set back does not stop the filling.
        let is_late = expected.saturating_sub(next) <= LARGEST_MS;
        self.next_ms = Some(if is_late { next.max(expected) } else { next });
        if (SMALLEST_MS..=LARGEST_MS).contains(&hole) {
            hole.saturating_sub(filled)
        } else {
            0
        }
    }

    /// No frame came for a while; gives the milliseconds of silence to be sent in its place.
    pub(crate) const fn quiet(&mut self) -> u64 {
        self.filled_ms += FILLED_MS;
        FILLED_MS
    }
}

/// Silence as payloads of at most a second.
pub(crate) fn silence(ms: u64) -> impl Iterator<Item = Payload> {
    let seconds = ms / 1_000;
    let rest = ms % 1_000;
    let lengths = (0..seconds)
        .map(|_| 1_000)
        .chain((rest > 0).then_some(rest));
    lengths.map(|ms| Payload::from_audio(&vec![SILENCE; ms_to_bytes(ms) as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_in_step_have_no_holes() {
        let mut clock = CallerClock::default();
        for n in 0..100 {
            assert_eq!(clock.frame(Some(57 + n * 20), 160), 0);
        }
        assert_eq!(
            clock.frame(Some(57 + 100 * 20 + 30), 160),
            0,
            "a little late is no hole"
        );
    }

    #[test]
    fn a_hole_is_filled_to_its_length() {
        let mut clock = CallerClock::default();
        clock.frame(Some(100), 160);
        assert_eq!(clock.frame(Some(420), 160), 300);
        assert_eq!(clock.frame(Some(440), 160), 0);
    }

    #[test]
    fn silence_sent_meanwhile_counts() {
        let mut clock = CallerClock::default();
        clock.frame(Some(100), 160);
        assert_eq!(clock.quiet(), FILLED_MS);
        assert_eq!(clock.quiet(), FILLED_MS);
        assert_eq!(clock.frame(Some(3_120), 160), 1_000);
    }

    #[test]
    fn a_clock_that_jumps_fills_nothing() {
        let mut clock = CallerClock::default();
        clock.frame(Some(100), 160);
        assert_eq!(clock.frame(Some(u64::MAX / 2), 160), 0);
        assert_eq!(clock.frame(Some(5), 160), 0);
        assert_eq!(clock.frame(None, 160), 0);
        assert_eq!(clock.frame(Some(u64::MAX), 160), 0);
    }

    #[test]
    fn a_clock_set_back_goes_on_filling() {
        let mut clock = CallerClock::default();
        clock.frame(Some(1_000_000), 160);
        assert_eq!(clock.frame(Some(20), 160), 0);
        assert_eq!(clock.frame(Some(140), 160), 100);
    }

    #[test]
    fn a_frame_that_comes_late_opens_no_hole() {
        let mut clock = CallerClock::default();
        for timestamp in [100, 120, 140, 160, 100, 180] {
            assert_eq!(clock.frame(Some(timestamp), 160), 0, "{timestamp}");
        }
    }

    #[test]
    fn silence_comes_in_pieces_of_a_second() {
        let lengths: Vec<usize> = silence(2_340)
            .map(|payload| payload.audio_bytes())
            .collect();
        assert_eq!(lengths, [8_000, 8_000, 2_720]);
    }
}
