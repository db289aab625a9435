//! What all wires share: why a message or a socket could not be used.

pub(crate) mod json;

use crate::audio::payload::PayloadError;

/// Why a message of a peer could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not a JSON object, nested too deep, or fields of the wrong kind.
    #[error("message is not the JSON it should be")]
    Malformed,
    /// A field the event cannot do without is missing.
    #[error("message lacks a field")]
    Incomplete,
    /// The audio in it is not usable.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

impl ReadError {
    /// The name of this error in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Incomplete => "incomplete",
            Self::Payload(_) => "bad_payload",
        }
    }
}

/// Why a socket was closed on a peer that broke the rules of WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFault {
    /// Reserved bits, unmasked frames, unknown opcodes, stray continuations.
    Protocol,
    /// A text that is no UTF-8.
    NotUtf8,
    /// A frame or message beyond the limit.
    TooLarge,
    /// A binary frame where the protocol has only text.
    Binary,
    /// More control frames than a peer has reason to send.
    Flood,
}

impl SocketFault {
    /// The WebSocket close code that answers it (RFC 6455, section 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
            Self::Binary => 1003,
            Self::Flood => 1008,
        }
    }

    /// The name in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Protocol => "websocket_protocol",
            Self::NotUtf8 => "invalid_utf8",
            Self::TooLarge => "too_large",
            Self::Binary => "binary_frame",
            Self::Flood => "control_flood",
        }
    }
}
