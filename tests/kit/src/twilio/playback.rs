//! The queue between the service and the caller's ear, as a value.
//!
//! Twilio queues whatever audio it is sent and plays it at 8,000 samples a second; a mark comes back when everything
//! queued before it has been played, at once when nothing is queued; `clear` empties the queue and sends back every
//! outstanding mark (<https://www.twilio.com/docs/voice/media-streams/websocket-messages>). Because the queue drains on
//! the clock alone, its whole state is one number: the sample at which it runs dry.
//!
//! Time is handed in as a sample count since the stream began: 8 a millisecond, one byte of µ-law each.

use std::collections::VecDeque;

/// Samples in ten minutes: audio queued beyond that is thrown away (warning 31931).
pub const MAX_QUEUED_SAMPLES: u64 = 600 * 8_000;

/// Audio that comes back within this many samples (500 ms) of running dry makes the gap an underrun, not a pause.
pub const UNDERRUN_WINDOW_SAMPLES: u64 = 500 * 8;

/// What became of one media message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// The sample at which its first byte is played.
    pub starts_at: u64,
    /// Bytes taken into the queue.
    pub accepted: usize,
    /// Bytes thrown away because ten minutes were queued already.
    pub dropped: usize,
    /// The caller hears this audio after silence, not after other audio.
    pub after_silence: bool,
    /// Samples of silence in the middle of a run of audio, when this message ended such a gap.
    pub underrun: Option<u64>,
}

/// What a `clear` threw away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    /// Samples that were queued and will not be heard.
    pub discarded: u64,
    /// The marks to send back, in the order they were sent.
    pub marks: Vec<String>,
}

/// The queue of one stream.
#[derive(Debug, Default)]
pub struct Playback {
    runs_dry_at: u64,
    marks: VecDeque<(String, u64)>,
    /// False before the first audio and after a clear: then silence is meant, not an underrun.
    in_a_run: bool,
}

impl Playback {
    /// `bytes` of audio arrive.
    pub fn media(&mut self, now: u64, bytes: usize) -> Queued {
        let queued = self.queued(now);
        let room = usize::try_from(MAX_QUEUED_SAMPLES.saturating_sub(queued)).unwrap_or(usize::MAX);
        let accepted = bytes.min(room);
        let gap = now.saturating_sub(self.runs_dry_at);
        let underrun = self.in_a_run && gap > 0 && gap <= UNDERRUN_WINDOW_SAMPLES;
        let starts_at = self.runs_dry_at.max(now);
        self.runs_dry_at = starts_at + accepted as u64;
        self.in_a_run = true;
        Queued {
            starts_at,
            accepted,
            dropped: bytes - accepted,
            after_silence: queued == 0,
            underrun: underrun.then_some(gap),
        }
    }

    /// A mark arrives; [`Playback::due_mark`] gives it back when its time has come.
    pub fn mark(&mut self, now: u64, name: String) {
        self.marks.push_back((name, self.runs_dry_at.max(now)));
    }

    /// The next mark whose audio has all been played.
    pub fn due_mark(&mut self, now: u64) -> Option<String> {
        if self.marks.front()?.1 > now {
            return None;
        }
        self.marks.pop_front().map(|(name, _)| name)
    }

    /// When the next mark is due.
    #[must_use]
    pub fn next_mark_at(&self) -> Option<u64> {
        self.marks.front().map(|(_, due)| *due)
    }

    /// Empties the queue.
    pub fn clear(&mut self, now: u64) -> Cleared {
        let discarded = self.queued(now);
        self.runs_dry_at = self.runs_dry_at.min(now);
        self.in_a_run = false;
        Cleared {
            discarded,
            marks: self.marks.drain(..).map(|(name, _)| name).collect(),
        }
    }

    /// Samples still to be played.
    #[must_use]
    pub fn queued(&self, now: u64) -> u64 {
        self.runs_dry_at.saturating_sub(now)
    }

    /// Marks not yet sent back.
    #[must_use]
    pub fn outstanding_marks(&self) -> usize {
        self.marks.len()
    }
}
