//! An agent: who answers a number, and how. Validated values only; `agent_rules` makes them from the file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use call_protocol::call::Protected;

use super::tool_use::ToolUse;
use super::tools::Fallback;
use switchboard_base::number::PhoneNumber;

/// Voices of the Realtime API (developers.openai.com, *realtime-conversations*). The first is the default.
pub const VOICES: &[&str] = &[
    "marin", "cedar", "alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse",
];

/// Tools that the call itself carries out; a configured tool may not take one of these names.
pub const CALL_TOOLS: &[&str] = &["end_call", "transfer_call"];

/// Tools the service brings along. One of the appointment book gives way to a configured tool of the same name.
pub const BUILT_IN_TOOLS: &[&str] = &[
    "end_call",
    "transfer_call",
    "list_services",
    "find_times",
    "book_appointment",
    "find_appointments",
    "move_appointment",
    "cancel_appointment",
];

/// How long a model may be silent when it is its turn, unless the agent says otherwise.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Name of the agent that answers when no file defines one.
pub const BUILT_IN_AGENT: &str = "default";

/// What the built-in agent is told.
pub const BUILT_IN_INSTRUCTIONS: &str = "\
You are a friendly receptionist answering the telephone. Speak in short, natural sentences, one thought at a time, \
and let the caller finish. Find out who is calling, what they need and how they can be reached. Repeat names, \
numbers and times back to be sure. You have no access to calendars, prices or customer data: never invent facts or \
promise an appointment; say that you will pass the message on. If the line is unclear, ask again. When the caller \
has nothing more, thank them, say goodbye and end the call.";

const BUILT_IN_GREETING: &str = "Greet the caller briefly and ask how you can help.";

/// One agent, with everything a call needs to know at its start.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Its name in the file.
    pub name: String,
    /// Numbers it answers; the default agent also takes all others.
    pub numbers: Vec<PhoneNumber>,
    /// What the model is told.
    pub instructions: String,
    /// The model's voice.
    pub voice: Voice,
    /// Language of the conversation, a BCP 47 tag such as `en` or `pt-BR`.
    pub language: String,
    /// How a call begins.
    pub greeting: Greeting,
    /// Sentences that nothing the caller says cuts.
    pub protected: Protected,
    /// Tools the model may use, in the file's order.
    pub tools: Vec<ToolRef>,
    /// How it uses them.
    pub tool_use: ToolUse,
    /// How the end of the caller's turn is found.
    pub turn_detection: TurnDetection,
    /// The caller's words as text; `None`: not transcribed.
    pub transcription: Option<Transcription>,
    pub model: ModelOptions,
    /// What happens when the caller says nothing; `None`: nothing.
    pub silence: Option<Silence>,
    /// A model silent for this long when it is its turn is asked again, then given up.
    pub answer_within: Duration,
    /// What the caller hears while they wait in silence.
    pub filler: Filler,
    /// Keypad shortcuts: key to name of a transfer target.
    pub keys: BTreeMap<char, String>,
    /// Digits typed by the caller stay out of logs and transcripts.
    pub mask_digits: bool,
    /// Longest call of this agent.
    pub max_call: Duration,
    /// Calls of this agent at once; `None`: as many as the service takes.
    pub max_calls: Option<usize>,
    /// What the caller hears when the model cannot be had.
    pub fallback: Fallback,
}

/// The model's voice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voice {
    /// One of [`VOICES`].
    Named(&'static str),
    /// A custom voice, by its id.
    Custom(String),
}

/// How a call begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// The model speaks first, told to do so by this text.
    Model {
        /// An instruction, not the words to speak.
        text: String,
    },
    /// The caller speaks first.
    Wait,
    /// A recorded clip is played, then the model listens.
    Clip {
        /// An audio file.
        file: PathBuf,
        /// What the clip says, so that the model knows it was said.
        text: Option<String>,
    },
}

/// What the caller hears while they wait in silence: the model is lost, or thinks for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filler {
    /// A soft tone the service makes itself.
    Tone,
    /// Nothing.
    Silence,
    /// A recorded clip, over and over.
    Clip {
        /// An audio file.
        file: PathBuf,
    },
}

/// A tool an agent may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolRef {
    /// One of [`BUILT_IN_TOOLS`].
    BuiltIn(&'static str),
    /// A `[tools.NAME]`.
    Configured(String),
}

impl ToolRef {
    /// The name the model uses.
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn(name) => name,
            Self::Configured(name) => name,
        }
    }
}

/// How the end of the caller's turn is found (developers.openai.com, *realtime-vad*).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TurnDetection {
    /// By silence.
    ServerVad {
        /// Loudness that counts as speech, 0 to 1.
        threshold: f64,
        /// Audio kept from before speech began, milliseconds.
        prefix_padding_ms: u32,
        /// Silence that ends a turn, milliseconds.
        silence_duration_ms: u32,
        /// Silence after which the model speaks up by itself, milliseconds.
        idle_timeout_ms: Option<u32>,
        /// The server answers at the end of a turn.
        create_response: bool,
        /// The caller cuts a response by speaking: the server cancels it, and what was not heard of it is not played.
        interrupt_response: bool,
    },
    /// By what was said.
    SemanticVad {
        /// How soon the model takes the turn.
        eagerness: Eagerness,
        /// The server answers at the end of a turn.
        create_response: bool,
        /// The caller cuts a response by speaking, as above.
        interrupt_response: bool,
    },
}

impl TurnDetection {
    /// Whether callers cut responses by speaking.
    pub const fn interrupts(&self) -> bool {
        match self {
            Self::ServerVad {
                interrupt_response, ..
            }
            | Self::SemanticVad {
                interrupt_response, ..
            } => *interrupt_response,
        }
    }
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self::ServerVad {
            threshold: 0.5,
            prefix_padding_ms: 300,
            // Stated although it is the documented default: captures of real sessions show 200.
            silence_duration_ms: 500,
            idle_timeout_ms: None,
            create_response: true,
            interrupt_response: true,
        }
    }
}

/// How soon the model takes the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eagerness {
    /// Waits up to 8 s.
    Low,
    /// Waits up to 4 s.
    Medium,
    /// Waits up to 2 s.
    High,
    /// The server's choice, as `Medium`.
    Auto,
}

/// The caller's words as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcription {
    /// The transcription model.
    pub model: String,
    /// The language to expect.
    pub language: String,
}

/// The model and its options; only those it has are ever set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelOptions {
    /// Model or deployment name.
    pub name: String,
    /// How long it thinks before it speaks; `None`: the model's own default, nothing is sent.
    pub reasoning: Option<Effort>,
    /// Tokens a response may use; `None`: no limit.
    pub max_output_tokens: Option<u16>,
    /// Filter on the caller's audio; `None`: off.
    pub noise_reduction: Option<NoiseReduction>,
}

/// How long a model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// `minimal`
    Minimal,
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `xhigh`
    XHigh,
}

/// Filter on the caller's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseReduction {
    /// A handset at the ear.
    NearField,
    /// A speaker phone or a car.
    FarField,
}

/// What happens when the caller says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Silence before the agent asks.
    pub after: Duration,
    /// What the model is told to do then.
    pub text: String,
    /// Times it asks before the call is ended.
    pub attempts: u8,
}

/// Gives an enum its wire names, both ways.
macro_rules! wire_names {
    ($kind:ty { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $kind {
            /// All names as the API and the file write them.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name as the API writes it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Reads a name.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

wire_names!(Eagerness { Low = "low", Medium = "medium", High = "high", Auto = "auto" });
wire_names!(Effort { Minimal = "minimal", Low = "low", Medium = "medium", High = "high", XHigh = "xhigh" });
wire_names!(NoiseReduction { NearField = "near_field", FarField = "far_field" });

impl Agent {
    /// The agent that answers when no file defines one.
    pub(super) fn built_in(model: &str, max_call: Duration, fallback: Fallback) -> Self {
        Self {
            name: BUILT_IN_AGENT.to_owned(),
            numbers: Vec::new(),
            instructions: BUILT_IN_INSTRUCTIONS.to_owned(),
            voice: Voice::Named(VOICES[0]),
            language: "en".to_owned(),
            greeting: Greeting::default(),
            protected: Protected::default(),
            tools: vec![ToolRef::BuiltIn("end_call")],
            tool_use: ToolUse::default(),
            turn_detection: TurnDetection::default(),
            transcription: Some(Transcription {
                model: call_protocol::model::openai::models::TRANSCRIPTION.to_owned(),
                language: "en".to_owned(),
            }),
            model: ModelOptions {
                name: model.to_owned(),
                reasoning: None,
                max_output_tokens: None,
                noise_reduction: None,
            },
            silence: None,
            answer_within: ANSWER_WITHIN,
            filler: Filler::Tone,
            keys: BTreeMap::new(),
            mask_digits: true,
            max_call,
            max_calls: None,
            fallback,
        }
    }
}

impl Default for Greeting {
    fn default() -> Self {
        Self::Model {
            text: BUILT_IN_GREETING.to_owned(),
        }
    }
}
