//! What WebSocket's rules and ours make of a frame.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use actix_http::ws::{CloseReason, Frame, Message, ProtocolError};
use actix_web::error::PayloadError;
use bytes::Bytes;
use bytestring::ByteString;
use call_protocol::wire::SocketFault;

use super::assembler::Assembler;
use crate::limits::CONTROL_FRAMES;

/// What is to be done about a frame.
#[derive(Debug)]
pub(crate) enum FrameAction {
    /// A whole text message.
    Text(ByteString),
    /// A ping, to be answered with its own words.
    Answer(Bytes),
    /// Nothing: a pong, or a piece of a message that is not whole yet.
    Nothing,
    /// The peer says goodbye and is to be told the same.
    Closed(Option<CloseReason>),
    /// The peer is gone without a word.
    Vanished(io::Error),
    /// A rule is broken: say so, close, and read no further. The codec repeats some errors for ever.
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

    /// Judges the next frame as a client's codec gives it, which lets a text be anything.
    pub(crate) fn judge_frame(
        &mut self,
        item: Result<Frame, ProtocolError>,
        now: Instant,
    ) -> FrameAction {
        let message = match item {
            Ok(Frame::Text(text)) => match ByteString::try_from(text) {
                Ok(text) => Ok(Message::Text(text)),
                Err(_) => return FrameAction::Reject(SocketFault::NotUtf8),
            },
            Ok(Frame::Binary(data)) => Ok(Message::Binary(data)),
            Ok(Frame::Continuation(piece)) => Ok(Message::Continuation(piece)),
            Ok(Frame::Ping(data)) => Ok(Message::Ping(data)),
            Ok(Frame::Pong(data)) => Ok(Message::Pong(data)),
            Ok(Frame::Close(reason)) => Ok(Message::Close(reason)),
            Err(error) => Err(error),
        };
        self.judge(message, now)
    }

    /// Judges the next frame as a server's codec gives it, whose texts are UTF-8.
    pub(crate) fn judge(
        &mut self,
        item: Result<Message, ProtocolError>,
        now: Instant,
    ) -> FrameAction {
        match item {
            Ok(Message::Text(text)) => FrameAction::Text(text),
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
            Err(ProtocolError::Io(error)) => match told_as_io(&error) {
                Some(fault) => FrameAction::Reject(fault),
                None => FrameAction::Vanished(error),
            },
            Err(_) => FrameAction::Reject(SocketFault::Protocol),
        }
    }
}

/// The broken rule that a codec tells as an error of input and output; none if the peer is gone.
///
/// The server's codec makes a text of all errors below it, so only their words are left to tell them apart.
fn told_as_io(error: &io::Error) -> Option<SocketFault> {
    let words = error.to_string();
    match error.kind() {
        ErrorKind::FileTooLarge => Some(SocketFault::TooLarge),
        // A broken TLS record is of this kind, too.
        ErrorKind::InvalidData if words.contains("reserved bits") => Some(SocketFault::Protocol),
        ErrorKind::Other if words == PayloadError::Overflow.to_string() => {
            Some(SocketFault::TooLarge)
        }
        ErrorKind::Other if words.contains("utf-8") => Some(SocketFault::NotUtf8),
        _ => None,
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
