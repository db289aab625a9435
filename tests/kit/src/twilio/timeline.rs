//! µ-law audio laid out on a clock: byte n was heard or said n/8 ms after the stream began.

use call_protocol::audio::SILENCE;

/// Settled audio kept when nothing is recorded: enough for whoever looks at the last frame.
const KEPT_SAMPLES: u64 = 8_000;

/// One side of a call. Audio may be laid into the future and cut off again.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The sample the first byte stands for.
    base: u64,
    bytes: Vec<u8>,
    records: bool,
}

impl Timeline {
    /// A timeline that keeps everything, or (`records` false) only the last second.
    pub(crate) const fn new(records: bool) -> Self {
        Self {
            base: 0,
            bytes: Vec::new(),
            records,
        }
    }

    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Lays `audio` down from sample `at`, with silence before it where there is nothing.
    pub(crate) fn lay(&mut self, at: u64, audio: &[u8]) {
        self.silence_until(at);
        self.bytes.extend_from_slice(audio);
    }

    /// Fills up with silence to sample `at`.
    pub(crate) fn silence_until(&mut self, at: u64) {
        let missing = at.saturating_sub(self.end());
        let length = self.bytes.len() + usize::try_from(missing).unwrap_or(0);
        self.bytes.resize(length, SILENCE);
    }

    /// Takes away everything from sample `at` on.
    pub(crate) fn cut(&mut self, at: u64) {
        let keep = usize::try_from(at.saturating_sub(self.base)).unwrap_or(0);
        self.bytes.truncate(keep);
    }

    /// The frame from sample `at` on, silence where there is nothing.
    pub(crate) fn frame(&self, at: u64, out: &mut [u8]) {
        out.fill(SILENCE);
        let Some(offset) = at.checked_sub(self.base) else {
            return;
        };
        let Some(settled) = self
            .bytes
            .get(usize::try_from(offset).unwrap_or(usize::MAX)..)
        else {
            return;
        };
        let length = settled.len().min(out.len());
        out[..length].copy_from_slice(&settled[..length]);
    }

    /// Lets go of what lies well before `now`, unless it is recorded.
    pub(crate) fn forget(&mut self, now: u64) {
        if self.records || now.saturating_sub(self.base) < 2 * KEPT_SAMPLES {
            return;
        }
        let until = now - KEPT_SAMPLES;
        let count = usize::try_from(until - self.base).unwrap_or(usize::MAX);
        self.bytes.drain(..count.min(self.bytes.len()));
        self.base = until;
    }

    /// The whole recording up to sample `at`; empty when nothing was recorded.
    pub(crate) fn finish(mut self, at: u64) -> Vec<u8> {
        if !self.records {
            return Vec::new();
        }
        self.cut(at);
        self.silence_until(at);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_stands_where_nothing_was_laid() {
        let mut timeline = Timeline::new(true);
        timeline.lay(2, &[1, 2, 3]);
        timeline.cut(4);
        timeline.lay(6, &[9]);
        let expected = [SILENCE, SILENCE, 1, 2, SILENCE, SILENCE, 9, SILENCE];
        assert_eq!(timeline.finish(8), expected);
    }

    #[test]
    fn without_recording_only_the_recent_past_stays() {
        let mut timeline = Timeline::new(false);
        for frame in 0..2_000u64 {
            timeline.lay(frame * 160, &[7; 160]);
            timeline.forget(frame * 160);
        }
        assert!(timeline.bytes.len() < 20_000);
        let mut out = [0; 160];
        timeline.frame(1_999 * 160, &mut out);
        assert_eq!(out, [7; 160]);
        timeline.frame(0, &mut out);
        assert_eq!(out, [SILENCE; 160]);
        assert!(timeline.finish(320_000).is_empty());
    }
}
