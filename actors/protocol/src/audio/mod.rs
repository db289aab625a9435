//! Audio: µ-law as numbers, as base64, as a file; what is played in place of it; the guard that looks whether it is any.
//!
//! | module | question it answers |
//! | --- | --- |
//! | [`payload`] | audio as base64, as both wires carry it |
//! | [`guard`] | is the model's audio what was asked for? |
//! | [`tone`] | what a caller hears while they wait |
//! | [`wav`] | audio as a file |

pub mod guard;
mod mulaw;
pub mod payload;
pub mod tone;
mod transcode;
pub mod wav;

pub use mulaw::{
    BYTES_PER_MS, FRAME_BYTES, FRAME_MS, SILENCE, bytes_to_ms, decode_sample, encode_sample,
    ms_to_bytes,
};

/// An audio format as a realtime session declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioFormat {
    /// `audio/pcmu`: µ-law, 8,000 Hz.
    Mulaw,
    /// `audio/pcm`: 16-bit linear, 24,000 Hz.
    Pcm24k,
    /// Anything else.
    Other,
}
