//! Twilio's end of a media stream: plays eight bytes a millisecond, sends marks back, throws away on `clear`.
//!
//! Source: <https://www.twilio.com/docs/voice/media-streams/websocket-messages>.

use std::collections::VecDeque;

use call_protocol::time::Time;

/// Microseconds a byte of µ-law lasts.
const MICROS_PER_BYTE: u64 = 125;

#[derive(Debug)]
struct Stretch {
    starts: u64,
    audio: Vec<u8>,
}

impl Stretch {
    fn played(&self, now: Time) -> &[u8] {
        let bytes = now.as_micros().saturating_sub(self.starts) / MICROS_PER_BYTE;
        &self.audio[..self.audio.len().min(bytes as usize)]
    }
}

/// The simulated stream.
#[derive(Debug, Default)]
pub(crate) struct SimPhone {
    stretches: Vec<Stretch>,
    /// When all that was queued will have been played.
    free_at: u64,
    marks: VecDeque<(u64, String)>,
    /// Whether marks are swallowed: a phone leg that plays nothing.
    pub(crate) deaf: bool,
    pub(crate) clears: u64,
    /// Moments of silence inside speech: the queue ran dry for this many microseconds before more came.
    pub(crate) gaps: Vec<u64>,
}

impl SimPhone {
    /// Audio arrives and is queued.
    pub(crate) fn audio(&mut self, audio: Vec<u8>, now: Time) {
        let now = now.as_micros();
        if !self.stretches.is_empty() && now > self.free_at {
            self.gaps.push(now - self.free_at);
        }
        let starts = now.max(self.free_at);
        self.free_at = starts + audio.len() as u64 * MICROS_PER_BYTE;
        self.stretches.push(Stretch { starts, audio });
    }

    /// A mark arrives and waits for the audio before it.
    pub(crate) fn mark(&mut self, name: String, now: Time) {
        if !self.deaf {
            let due = self.free_at.max(now.as_micros());
            self.marks.push_back((due, name));
        }
    }

    /// What is not played is thrown away; every mark comes back at once.
    pub(crate) fn clear(&mut self, now: Time) {
        self.clears += 1;
        for stretch in &mut self.stretches {
            let played = stretch.played(now).len();
            stretch.audio.truncate(played);
        }
        self.free_at = self.free_at.min(now.as_micros());
        for mark in &mut self.marks {
            mark.0 = mark.0.min(now.as_micros());
        }
    }

    /// When the next mark goes back.
    pub(crate) fn next_mark(&self) -> Option<Time> {
        let (due, _) = self.marks.front()?;
        Some(Time::from_micros(*due))
    }

    /// The mark that goes back now.
    pub(crate) fn take_mark(&mut self) -> Option<String> {
        Some(self.marks.pop_front()?.1)
    }

    /// What the caller has heard.
    pub(crate) fn heard(&self, now: Time) -> Vec<u8> {
        let played = self.stretches.iter().map(|stretch| stretch.played(now));
        played.collect::<Vec<_>>().concat()
    }

    /// Milliseconds the caller has heard of the audio with this tag.
    pub(crate) fn heard_ms(&self, tag: u8, now: Time) -> u64 {
        let heard = self.heard(now);
        heard.iter().filter(|byte| **byte == tag).count() as u64 / 8
    }
}
