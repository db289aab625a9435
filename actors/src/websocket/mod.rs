//! WebSocket (RFC 6455), once for both legs: what the codec below them leaves undone.
//!
//! ```text
//!   socket ──▶ FrameLimit ──▶ codec ──▶ InboundFrames ──▶ FrameAction
//!              heads           frames    rules, texts      what a session does
//! ```
//!
//! The codec (`actix_http::ws`) knows frames: heads, masks, opcodes, the bodies of close frames. It answers no ping, joins no
//! fragments, lets a client's text be anything, buffers a frame before it finds it too large, and repeats some errors for
//! ever. The session of either leg reads through this folder and so refuses the same frames with the same close codes.

mod assembler;
mod encode;
mod frame_headers;
mod frame_limit;
mod inbound;
#[cfg(test)]
mod tests;

use actix_http::ws::{CloseCode, CloseReason};

pub(crate) use encode::encode_text;
pub(crate) use frame_limit::FrameLimit;
pub(crate) use inbound::{FrameAction, InboundFrames};

/// The body of a close frame with this code and no words.
pub(crate) fn close_reason(code: u16) -> CloseReason {
    CloseCode::from(code).into()
}
