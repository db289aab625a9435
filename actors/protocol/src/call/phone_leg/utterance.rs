//! What the caller says as the phone leg brings it, before a server finds it.

use std::time::Duration;

use crate::audio::bytes_to_ms;
use crate::audio::payload::Payload;
use crate::time::Time;

/// Silence between two utterances.
const PAUSE: Duration = Duration::from_millis(500);

/// Shorter sounds are coughs and clicks.
const WORD_MS: u64 = 300;

/// The caller's last utterance, by its loudness.
#[derive(Debug, Default)]
pub(super) struct Utterance {
    /// Milliseconds of sound in it.
    sound_ms: u64,
    /// When the last of them came.
    last: Time,
}

impl Utterance {
    /// A stretch of the caller's audio came.
    pub(super) fn frame(&mut self, payload: &Payload, now: Time) {
        if !payload.is_loud() {
            return;
        }
        if now.since(self.last) > PAUSE {
            self.sound_ms = 0;
        }
        self.sound_ms += bytes_to_ms(payload.audio_bytes() as u64);
        self.last = now;
    }

    /// Whether it went on after the server's last sign of life, which is `quiet` ago.
    pub(super) fn outlasts(&self, quiet: Duration, now: Time) -> bool {
        self.sound_ms >= WORD_MS && now.since(self.last) < quiet
    }
}
