//! What WebSocket's rules (RFC 6455) and ours make of a frame. The codec answers no ping, joins no fragments, and tells
//! several troubles by the same error.

use std::io;
use std::time::{Duration, Instant};

use actix_http::ws::{CloseReason, Message, ProtocolError};
use actix_web::error::PayloadError;
use bytes::Bytes;
use call_protocol::wire::SocketFault;

use super::assembler::Assembler;
use crate::limits::CONTROL_FRAMES;

/// What is to be done about a frame.
#[derive(Debug)]
pub(crate) enum FrameAction {
    /// A whole text message.
    Text(Bytes),
    /// A ping, to be answered with its own words.
    Answer(Bytes),
    /// Nothing: a pong, or a piece of a message that is not whole yet.
    Nothing,
    /// The peer says goodbye and is to be told the same.
    Closed(Option<CloseReason>),
    /// The peer is gone without a word.
    Vanished,
    /// A rule is broken: say so, close, and read no further.
    Reject(SocketFault),
}

/// The frames of one socket so far, as far as the next one's verdict depends on them.
#[derive(Debug)]
pub(crate) struct InboundFrames {
    limit: usize,
    assembler: Assembler,
    control: ControlRate,
}

impl InboundFrames {
    /// A socket that has said nothing yet, and whose messages have at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            assembler: Assembler::default(),
            control: ControlRate {
                since: Instant::now(),
                frames: 0,
            },
        }
    }

    /// Judges the next frame. After [`FrameAction::Reject`] the codec repeats some errors for ever: that was the last frame.
    pub(crate) fn judge(
        &mut self,
        item: Result<Message, ProtocolError>,
        now: Instant,
    ) -> FrameAction {
        match item {
            Ok(Message::Text(_)) if self.assembler.is_open() => {
                FrameAction::Reject(SocketFault::Protocol)
            }
            Ok(Message::Text(text)) => FrameAction::Text(text.into_bytes()),
            Ok(Message::Continuation(piece)) => match self.assembler.take(piece, self.limit) {
                Ok(Some(text)) => FrameAction::Text(text),
                Ok(None) => FrameAction::Nothing,
                Err(fault) => FrameAction::Reject(fault),
            },
            Ok(Message::Ping(_) | Message::Pong(_)) if self.control.is_flooded(now) => {
                FrameAction::Reject(SocketFault::Flood)
            }
            Ok(Message::Ping(data)) => FrameAction::Answer(data),
            Ok(Message::Pong(_) | Message::Nop) => FrameAction::Nothing,
            Ok(Message::Binary(_)) => FrameAction::Reject(SocketFault::Binary),
            Ok(Message::Close(reason)) => FrameAction::Closed(reason),
            Err(ProtocolError::Overflow) => FrameAction::Reject(SocketFault::TooLarge),
            Err(ProtocolError::Io(error)) if is_overflow(&error) => {
                FrameAction::Reject(SocketFault::TooLarge)
            }
            Err(ProtocolError::Io(error)) if is_not_utf8(&error) => {
                FrameAction::Reject(SocketFault::NotUtf8)
            }
            // Reserved bits come as another kind.
            Err(ProtocolError::Io(error)) if error.kind() == io::ErrorKind::Other => {
                FrameAction::Vanished
            }
            Err(_) => FrameAction::Reject(SocketFault::Protocol),
        }
    }
}

/// Control frames in the running second.
#[derive(Debug)]
struct ControlRate {
    since: Instant,
    frames: u32,
}

impl ControlRate {
    fn is_flooded(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            self.since = now;
            self.frames = 0;
        }
        self.frames += 1;
        self.frames > CONTROL_FRAMES
    }
}

/// The gate's error has lost its type on the way here.
fn is_overflow(error: &io::Error) -> bool {
    error.to_string() == PayloadError::Overflow.to_string()
}

/// A vanished peer and broken UTF-8 are told by the same kind; only the first leaves nobody to answer.
fn is_not_utf8(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other && error.to_string().contains("utf-8")
}
