//! What the call asks of a realtime session, in words that fit any realtime model.

use serde::{Deserialize, Serialize};

use crate::audio::payload::Payload;
use crate::ids::ModelId;

/// One wish to the model.
#[derive(Clone, Debug)]
pub enum ModelCommand {
    /// Configure the session; answered by `SessionConfigured` or an error that names `request`.
    Configure {
        /// Comes back in an error.
        request: String,
        /// What to set; boxed, since every frame of audio is a command, too, and is moved a few times.
        setup: Box<SessionSetup>,
    },
    /// Find turns like this from now on; answered by `SessionConfigured` or an error that names `request`.
    FindTurns {
        /// Comes back in an error.
        request: String,
        /// How.
        turns: TurnDetection,
    },
    /// More of the caller's voice.
    Append(Payload),
    /// Forget what the caller did not hear of an item.
    Truncate {
        /// The item.
        item: ModelId,
        /// Its content part.
        part: u32,
        /// Milliseconds of it that were heard.
        heard_ms: u64,
    },
    /// Forget an item of which nothing was heard.
    Delete {
        /// The item.
        item: ModelId,
    },
    /// Answer now.
    Respond {
        /// Comes back in an error.
        request: String,
        /// What this answer is for, if not simply to go on.
        instructions: Option<String>,
    },
    /// Stop answering.
    Cancel {
        /// The response.
        response: ModelId,
    },
    /// Add a text to the conversation.
    Tell {
        /// In whose name.
        role: Role,
        /// The text.
        text: String,
    },
    /// Refuse what the server asks approval for (MCP).
    Refuse {
        /// The item that asks.
        request: ModelId,
    },
    /// Give back what a tool found.
    ToolOutput {
        /// The call it answers.
        call: ModelId,
        /// JSON or plain text.
        output: String,
    },
}

/// In whose name a text stands in the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The service.
    System,
    /// The caller.
    User,
    /// The agent.
    Assistant,
}

impl Role {
    /// The role's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// How a session is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSetup {
    /// The system prompt.
    pub instructions: String,
    /// Voice, by name or custom id.
    pub voice: Voice,
    /// Tools offered, as JSON objects in the provider's form.
    pub tools: Vec<serde_json::Value>,
    /// Everything else; `None` asks only for what no call can do without, after a fuller wish was refused.
    pub options: Option<SessionOptions>,
}

/// A voice of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Leave as it is: it cannot be changed once the assistant has spoken.
    Keep,
    /// A built-in voice.
    Named(String),
    /// A custom voice, by id.
    Custom(String),
}

/// Options of a session beyond the least.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionOptions {
    /// How turns of the caller are found; `None`: as the server does it by itself.
    pub turns: Option<TurnDetection>,
    /// Transcription of the caller's voice, if wanted.
    pub transcription: Option<Transcription>,
    /// `near_field` or `far_field`, if wanted.
    pub noise_reduction: Option<String>,
    /// Reasoning effort, for models that reason.
    pub reasoning: Option<String>,
    /// Token ceiling of one answer.
    pub max_output_tokens: Option<u32>,
}

/// How the caller's turns are found.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnDetection {
    /// By energy and silence.
    Server {
        /// 0.0 to 1.0.
        threshold: f64,
        /// Milliseconds kept before speech.
        prefix_padding_ms: u32,
        /// Milliseconds of silence that end a turn.
        silence_duration_ms: u32,
        /// Milliseconds of nothing after which the model speaks by itself.
        idle_timeout_ms: Option<u32>,
        /// Whether the server answers by itself when the caller falls silent.
        answer: bool,
        /// Whether a running answer is cancelled when the caller speaks.
        interrupt: bool,
    },
    /// By meaning.
    Semantic {
        /// `low`, `medium`, `high` or `auto`.
        eagerness: String,
        /// Whether the server answers by itself when the caller falls silent.
        answer: bool,
        /// Whether a running answer is cancelled when the caller speaks.
        interrupt: bool,
    },
}

impl TurnDetection {
    /// Whether the server is asked to answer by itself when the caller falls silent.
    #[must_use]
    pub const fn answers(&self) -> bool {
        match self {
            Self::Server { answer, .. } | Self::Semantic { answer, .. } => *answer,
        }
    }

    /// Milliseconds of silence after which the server calls a turn over, where that is what it goes by.
    #[must_use]
    pub const fn silence_ms(&self) -> u32 {
        match self {
            Self::Server {
                silence_duration_ms,
                ..
            } => *silence_duration_ms,
            Self::Semantic { .. } => 0,
        }
    }

    /// Asks the server to leave running answers alone when the caller speaks.
    pub const fn never_interrupt(&mut self) {
        match self {
            Self::Server { interrupt, .. } | Self::Semantic { interrupt, .. } => *interrupt = false,
        }
    }

    /// Whether the server is asked to cancel a running answer when the caller speaks.
    #[must_use]
    pub const fn interrupts(&self) -> bool {
        match self {
            Self::Server { interrupt, .. } | Self::Semantic { interrupt, .. } => *interrupt,
        }
    }
}

/// Transcription of the caller's voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcription {
    /// The model that transcribes.
    pub model: String,
    /// Language of the caller as an ISO 639-1 code, if known.
    pub language: Option<String>,
}
