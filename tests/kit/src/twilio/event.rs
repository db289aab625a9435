//! What happens on the line, as it happens, for a live display.

use std::sync::Arc;

use serde::Serialize;

use super::outcome::{CallEnd, StreamEnd};

/// One event of one call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhoneEvent {
    /// Milliseconds since the call began.
    pub at_ms: u64,
    pub call_sid: Arc<str>,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What can happen on the line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// A request for TwiML was answered.
    WebhookAnswered {
        /// The URL asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Milliseconds from request to complete answer.
        took_ms: u64,
    },
    /// A request for TwiML failed, or its answer cannot be run.
    WebhookFailed {
        /// The URL asked.
        url: String,
        /// Twilio's error code.
        code: u32,
        /// What went wrong.
        text: String,
    },
    /// A verb begins.
    VerbStarted {
        /// Its name and what matters of it, for people.
        verb: String,
    },
    /// The media socket is open.
    SocketOpen {
        /// Milliseconds from dialling to the 101 answer.
        upgrade_ms: u64,
    },
    /// `connected` was sent.
    ConnectedSent,
    /// `start` was sent.
    StartSent {
        stream_sid: String,
    },
    /// The first audio for the caller arrived.
    FirstAudio {
        /// Milliseconds since `start`.
        after_start_ms: u64,
    },
    /// The agent is audibly speaking.
    AgentStartedSpeaking,
    /// The agent fell silent.
    AgentStoppedSpeaking {
        /// How long it spoke.
        spoke_ms: u64,
    },
    CallerStartedSpeaking,
    /// The caller fell silent.
    CallerStoppedSpeaking {
        /// How long the caller spoke.
        spoke_ms: u64,
    },
    /// A mark was sent back.
    MarkEchoed {
        name: String,
        /// True when a `clear` flushed it: its audio was not heard.
        flushed: bool,
    },
    /// The service emptied the playback queue.
    Cleared {
        /// Milliseconds of audio thrown away.
        discarded_ms: u64,
    },
    /// The caller pressed a key.
    KeyPressed {
        key: char,
    },
    /// Twilio would show a warning or an error.
    Warned {
        code: u32,
        /// What it is about.
        text: String,
    },
    StreamEnded {
        /// How.
        end: StreamEnd,
    },
    CallEnded {
        /// How.
        end: CallEnd,
    },
}
