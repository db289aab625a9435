//! What the phone leg brings, in words that fit any carrier's media stream.

use std::collections::BTreeMap;

use super::{AccountSid, CallSid, StreamSid};
use crate::audio::payload::Payload;
use crate::ids::clip;
use crate::wire::{ReadError, SocketFault};

/// What Twilio's media stream brings.
#[derive(Clone, Debug)]
pub enum PhoneEvent {
    /// `connected`: the first message, before any SID is known.
    Connected {
        /// Always `Call` so far.
        protocol: String,
        /// Version of the stream protocol; only logged.
        version: String,
    },
    /// `start`: the stream has a SID and audio will follow.
    Start(Box<StreamStart>),
    /// `media`: a stretch of the caller's voice.
    Audio(CallerAudio),
    /// `dtmf`: the caller pressed a key.
    Key {
        /// The stream it came on.
        stream: Option<StreamSid>,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
    },
    /// `mark`: one of ours came back.
    Mark {
        /// The stream it came on.
        stream: Option<StreamSid>,
        /// The name we gave it.
        name: String,
    },
    /// `stop`: the stream ends; not guaranteed to be sent.
    Stop {
        /// The stream it came on.
        stream: Option<StreamSid>,
    },
    /// An event this version does not know.
    Unknown {
        /// Its name, clipped.
        event: String,
    },
    /// A message that could not be used.
    Unusable(ReadError),
    /// The socket broke a WebSocket rule or a limit; the session has already answered with a close code.
    Rejected(SocketFault),
    /// The socket is closed, with its close code where there was one.
    Closed {
        /// The WebSocket close code, if the peer sent one.
        code: Option<u16>,
    },
}

impl PhoneEvent {
    /// Whether nothing more can come from that socket.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Closed { .. })
    }
}

/// What `start` says.
#[derive(Clone, Debug, Default)]
pub struct StreamStart {
    /// The stream's SID; `None` when it is missing, malformed or contradictory.
    pub stream: Option<StreamSid>,
    /// The account's SID; `None` when it is missing or malformed.
    pub account: Option<AccountSid>,
    /// The call's SID.
    pub call: Option<CallSid>,
    /// The audio format of the stream.
    pub format: MediaFormat,
    /// `<Parameter>`s of our TwiML, at most 32.
    pub parameters: BTreeMap<String, String>,
    /// Parameters left out because they were too many, too long or unprintable.
    pub refused_parameters: u32,
}

/// The `mediaFormat` of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaFormat {
    /// `audio/x-mulaw` in everything documented.
    pub encoding: String,
    /// Samples a second.
    pub sample_rate: u64,
    /// Channels.
    pub channels: u64,
}

impl MediaFormat {
    /// Whether this is µ-law, 8,000 Hz, mono: the one format both legs share.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        self.encoding == "audio/x-mulaw" && self.sample_rate == 8_000 && self.channels == 1
    }
}

impl std::fmt::Display for MediaFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            encoding,
            sample_rate,
            channels,
        } = self;
        let encoding = clip(encoding, 64).escape_debug();
        write!(
            f,
            "the stream is {encoding}, {sample_rate} Hz, {channels} channels; only audio/x-mulaw, 8000 Hz, 1 channel is served"
        )
    }
}

/// One `media` message.
#[derive(Clone, Debug)]
pub struct CallerAudio {
    /// The stream it names.
    pub stream: Option<StreamSid>,
    /// `sequenceNumber`, over all messages of the stream.
    pub sequence: Option<u64>,
    /// Presentation time in milliseconds since the stream began.
    pub timestamp_ms: Option<u64>,
    /// The audio.
    pub payload: Payload,
}
