//! What a realtime session brings, in words that fit any model.

use std::time::Duration;

use crate::audio::AudioFormat;
use crate::audio::payload::Payload;
use crate::ids::ModelId;
use crate::model::config_part::Naming;
use crate::wire::{ReadError, SocketFault};

/// What the realtime session brings, in words that fit any realtime model.
#[derive(Clone, Debug)]
pub enum ModelEvent {
    /// The socket is open; the session may be configured.
    Opened,
    /// The socket could not be opened.
    Refused(Refusal),
    /// The session exists, with the server's defaults.
    SessionCreated(SessionInfo),
    /// The session took a configuration; this is the whole of it.
    SessionConfigured(SessionInfo),
    /// Voice activity: the caller began to speak.
    SpeechStarted {
        /// The item their words will become.
        item: ModelId,
    },
    /// Voice activity: the caller fell silent.
    SpeechStopped {
        /// The item their words will become.
        item: ModelId,
    },
    /// The caller's turn was taken into the conversation.
    CallerTurn {
        /// The new item.
        item: ModelId,
    },
    /// The words of a caller's turn; may come at any time.
    CallerTranscript {
        /// The turn's item.
        item: ModelId,
        /// What was said, or `None` if the transcription failed.
        text: Option<String>,
    },
    /// The model began to answer.
    ResponseStarted {
        /// The response.
        response: ModelId,
        /// The format its audio will have, where the server says so.
        format: Option<AudioFormat>,
    },
    /// The model began an item of an answer.
    ItemStarted {
        /// The response.
        response: ModelId,
        /// The item.
        item: ModelId,
        /// The name of the tool, if the item is going to be a tool call.
        tool: Option<String>,
    },
    /// The arguments of a tool call are complete. Its item is told after it, by most servers.
    ToolArguments {
        /// The response.
        response: ModelId,
        /// The item of the call.
        item: ModelId,
        /// Links the answer to the call.
        call: ModelId,
        /// The tool's name, where this event has it.
        name: Option<String>,
        /// JSON text, not yet checked.
        arguments: String,
        /// Whether they are here as a whole.
        complete: bool,
    },
    /// A stretch of the model's voice.
    Audio {
        /// The response.
        response: ModelId,
        /// The item.
        item: ModelId,
        /// The content part of the item.
        part: u32,
        /// The audio.
        payload: Payload,
    },
    /// A content part has no more audio.
    AudioDone {
        /// The response.
        response: ModelId,
        /// The item.
        item: ModelId,
        /// The content part of the item.
        part: u32,
    },
    /// More words of what the model says; they run ahead of the audio.
    AgentTranscriptDelta {
        /// The item.
        item: ModelId,
        /// The content part of the item.
        part: u32,
        /// The words.
        text: String,
    },
    /// All words of a content part; they win over the sum of what was told bit by bit.
    AgentSaid {
        /// The item.
        item: ModelId,
        /// The content part of the item.
        part: u32,
        /// The words.
        text: String,
    },
    /// An item of an answer is complete.
    ItemDone {
        /// The response.
        response: ModelId,
        /// The item, with the tool call in it if it is one.
        item: ItemDone,
    },
    /// An answer is over, one way or another.
    ResponseDone(Box<ResponseDone>),
    /// The server did not reach a server of tools (MCP).
    ToolsUnlisted,
    /// The account's limits, as of this response.
    RateLimits(Vec<RateLimit>),
    /// The server refused something or is in trouble.
    Error(Box<ModelError>),
    /// An event that is known and needs nothing done.
    Ignored,
    /// An event this version does not know.
    Unknown,
    /// A message that could not be used.
    Unusable(ReadError),
    /// The socket broke a WebSocket rule or a limit; the session is closing it.
    Rejected(SocketFault),
    /// The socket is closed.
    Closed {
        /// What its end means.
        why: ModelClose,
        /// The reason given, clipped.
        reason: String,
        /// Since the server's last sign of life.
        quiet: Duration,
    },
    /// The server has given no sign of life for long, or the session takes nothing any more. It is given up; what the
    /// caller said last was heard by nobody.
    Unresponsive,
}

/// A realtime session as its server describes it.
#[derive(Clone, Debug, Default)]
pub struct SessionInfo {
    /// The session's id.
    pub id: Option<ModelId>,
    /// The model behind it.
    pub model: Option<String>,
    /// When it ends, in seconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// Format of the caller's audio.
    pub input: Option<AudioFormat>,
    /// Format of the model's audio.
    pub output: Option<AudioFormat>,
    /// Whether the server cancels a running response when the caller speaks.
    pub interrupts: Option<bool>,
    /// Whether the server answers by itself when the caller falls silent.
    pub answers: Option<bool>,
}

/// What a session says of its formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formats {
    /// As a phone needs them, or not said.
    Right,
    /// It hears the caller as it should, and will speak 24 kHz PCM.
    Bearable,
    /// Others.
    Wrong,
}

impl SessionInfo {
    /// What it says of its formats. What it leaves out is as it was asked to be.
    #[must_use]
    pub const fn formats(&self) -> Formats {
        match (self.input, self.output) {
            (None | Some(AudioFormat::Mulaw), None | Some(AudioFormat::Mulaw)) => Formats::Right,
            (None | Some(AudioFormat::Mulaw), Some(AudioFormat::Pcm24k)) => Formats::Bearable,
            (_, Some(AudioFormat::Other)) | (Some(AudioFormat::Pcm24k | AudioFormat::Other), _) => {
                Formats::Wrong
            }
        }
    }
}

/// Why a session could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The upgrade was answered with this HTTP status.
    Status(u16),
    /// The same, and the server wants to be left alone for a while.
    Later {
        /// The HTTP status.
        status: u16,
        /// How long.
        wait: Duration,
    },
    /// No answer in time.
    Timeout,
    /// The network, DNS or TLS failed.
    Network,
}

impl Refusal {
    /// Whether every further attempt would be refused, too.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::Status(status) | Self::Later { status, .. } => {
                matches!(status, 400..=407 | 410..=428 | 430..=499)
            }
            Self::Timeout | Self::Network => false,
        }
    }
}

/// Why a session's socket was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelClose {
    /// The session is over; another can be opened.
    SessionOver,
    /// No session is to be had: key, billing or model.
    Refused,
    /// The server closed it for another reason.
    Other,
    /// It broke.
    Reset,
}

impl ModelClose {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::SessionOver => "session_over",
            Self::Refused => "refused",
            Self::Other => "closed",
            Self::Reset => "reset",
        }
    }

    /// Whether every further attempt would end so, too.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        matches!(self, Self::Refused)
    }
}

/// A complete item of a response.
#[derive(Clone, Debug)]
pub struct ItemDone {
    /// The item.
    pub id: ModelId,
    /// What it is.
    pub kind: ItemKind,
}

/// What an item of a response is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// Something said.
    Message,
    /// A tool to be run.
    ToolCall {
        /// Links the answer to the call.
        call: ModelId,
        /// The tool's name.
        name: String,
        /// Its arguments: JSON text, not yet checked.
        arguments: String,
        /// Whether the item was finished; a cut one must not be run.
        complete: bool,
    },
    /// A tool the server ran itself (MCP).
    ServerCall {
        /// The label of the server it is of.
        server: String,
        /// Whether it failed.
        failed: bool,
    },
    /// The server asks whether it may run a tool (MCP).
    ApprovalRequest,
    /// Something the server handles itself.
    Other,
}

/// How a response ended.
#[derive(Clone, Debug)]
pub struct ResponseDone {
    /// The response.
    pub id: ModelId,
    /// Its end.
    pub status: ResponseStatus,
    /// Items in it.
    pub items: u32,
    /// Items in it that carry audio.
    pub spoken_items: u32,
    /// Tool calls in it.
    pub tool_calls: u32,
    /// Those of them that name what they want: most servers told them before, item by item.
    pub calls: Vec<ItemDone>,
    /// The last thing said in it.
    pub last_message: Option<ModelId>,
    /// Tools the server ran itself, or asked whether it may, after the last thing it said (MCP): what came of them is not
    /// told yet.
    pub server_calls: u32,
    /// Tokens used, where reported.
    pub usage: Option<Usage>,
    /// What they cost, in US dollars, where the session knows its prices.
    pub dollars: f64,
}

/// The ways a response can end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseStatus {
    /// All was said.
    Completed,
    /// Cancelled, because the caller spoke.
    Interrupted,
    /// Cancelled on our request.
    Cancelled,
    /// Cut by the token limit.
    OutOfTokens,
    /// Cut by the provider's filter.
    Filtered,
    /// Failed; the error says whether to try again.
    Failed(ModelError),
    /// A status this version does not know.
    Other,
}

/// What an error asks of us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorClass {
    /// A race that needs nothing done.
    Benign,
    /// A response was asked for while another ran.
    AlreadyResponding,
    /// Our configuration is not taken as it is, or something else we asked for.
    #[default]
    Configuration,
    /// Try again, not before this long.
    Transient(Duration),
    /// The session is over; another can be opened.
    SessionOver,
    /// No call can be served: key, quota, billing or model.
    Fatal,
}

/// An error as the server words it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ModelError {
    /// `type`.
    pub kind: String,
    /// `code`, often null.
    pub code: Option<String>,
    /// Human text; may hold the wait of a rate limit.
    pub message: String,
    /// The field it is about.
    pub param: Option<String>,
    /// The client event it answers.
    pub event_id: Option<String>,
    /// What it means, as the reader of the dialect understands it.
    #[serde(skip)]
    pub class: ErrorClass,
    /// The parts of a configuration that it names, or may name.
    #[serde(skip)]
    pub names: Vec<Naming>,
}

/// Tokens used by a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Text tokens in, cached ones not counted.
    pub text_in: u64,
    /// Audio tokens in, cached ones not counted.
    pub audio_in: u64,
    /// Tokens in that came from the cache.
    pub cached_in: u64,
    /// Text tokens out.
    pub text_out: u64,
    /// Audio tokens out.
    pub audio_out: u64,
}

/// One limit of the account.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// `requests` or `tokens`.
    pub name: String,
    /// The ceiling.
    pub limit: u64,
    /// What is left.
    pub remaining: u64,
    /// Seconds until it is full again.
    pub reset_seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_final_and_a_busy_server_is_not() {
        for status in [400, 401, 403, 404] {
            assert!(Refusal::Status(status).is_fatal(), "{status}");
        }
        for status in [408, 409, 429, 500, 502, 503] {
            assert!(!Refusal::Status(status).is_fatal(), "{status}");
        }
    }
}
