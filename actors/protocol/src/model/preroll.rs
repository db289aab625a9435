//! Caller audio that has no session to go to yet.

use std::time::Duration;

use bytes::{Buf, BytesMut};

use crate::audio::ms_to_bytes;
use crate::audio::payload::Payload;

/// Milliseconds kept. A dial with one retry takes about as long; what is older the caller has given up on.
pub const KEPT_MS: u64 = 6_000;

/// Milliseconds in one message when it is delivered.
const DELIVERED_MS: u64 = 300;

/// Between two such messages: three times as fast as it was said. A burst of seconds would have a server's voice
/// detection find turns that begin and end in the same moment, and the answer to the first is cut by the second.
pub const CATCH_UP_EVERY: Duration = Duration::from_millis(100);

/// A bounded store of the caller's voice: the oldest is dropped and counted.
#[derive(Debug, Default)]
pub struct Preroll {
    audio: BytesMut,
    dropped: u64,
}

impl Preroll {
    /// Keeps a stretch of audio; returns how many bytes of the oldest had to go for it.
    pub fn hold(&mut self, payload: &Payload) -> u64 {
        let limit = ms_to_bytes(KEPT_MS) as usize;
        payload.decode_into(&mut self.audio);
        let excess = self.audio.len().saturating_sub(limit);
        self.audio.advance(excess);
        self.dropped += excess as u64;
        excess as u64
    }

    /// Hands out the oldest of what is kept, one message of it; the memory is given back with the last.
    pub fn deliver(&mut self) -> Option<Payload> {
        if self.audio.is_empty() {
            return None;
        }
        let length = self.audio.len().min(ms_to_bytes(DELIVERED_MS) as usize);
        let stretch = Payload::from_audio(&self.audio.split_to(length));
        if self.audio.is_empty() {
            self.audio = BytesMut::new();
        }
        Some(stretch)
    }

    /// Forgets all but the last `ms` milliseconds.
    pub fn keep_last(&mut self, ms: u64) {
        let excess = self.audio.len().saturating_sub(ms_to_bytes(ms) as usize);
        self.audio.advance(excess);
    }

    /// Bytes kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.audio.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.audio.is_empty()
    }

    /// Bytes dropped so far.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_delivered_in_order() {
        let mut preroll = Preroll::default();
        let mut expected = Vec::new();
        for n in 0..100u8 {
            let frame = [n; 160];
            preroll.hold(&Payload::from_audio(&frame));
            expected.extend_from_slice(&frame);
        }
        let mut delivered = BytesMut::new();
        while let Some(payload) = preroll.deliver() {
            payload.decode_into(&mut delivered);
        }
        assert_eq!(&delivered[..], &expected[..]);
        assert!(preroll.is_empty());
    }

    #[test]
    fn the_oldest_goes_first_and_is_counted() {
        let mut preroll = Preroll::default();
        let frames = KEPT_MS / 20 + 5;
        let mut dropped = 0;
        for n in 0..frames {
            dropped += preroll.hold(&Payload::from_audio(&[n as u8; 160]));
        }
        assert_eq!(dropped, 5 * 160);
        assert_eq!(preroll.dropped(), dropped);
        assert_eq!(preroll.len() as u64, ms_to_bytes(KEPT_MS));
        let mut first = BytesMut::new();
        preroll.deliver().unwrap().decode_into(&mut first);
        assert_eq!(first[0], 5);
    }
}
