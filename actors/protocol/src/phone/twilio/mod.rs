//! Twilio Media Streams messages, both ways.
//!
//! Source: <https://www.twilio.com/docs/voice/media-streams/websocket-messages>. Every number but the two in
//! `mediaFormat` travels as a string there; both are taken here. Unknown fields are ignored, unknown events reported.

pub(super) mod ids;
mod read;
mod write;

pub use ids::{AccountSid, CallSid, StreamSid};
pub use read::read;
pub use write::{write_clear, write_mark, write_media};

/// Largest message taken from Twilio, in bytes: a 20 ms frame is about 400, and 64 KiB still holds five seconds.
pub const MAX_MESSAGE: usize = 64 * 1024;
