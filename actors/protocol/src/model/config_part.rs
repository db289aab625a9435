//! The parts of a session's configuration. A server refuses an update as a whole for one bad field; it is asked again
//! without that part, so that a call does not lose all its tools for one.

use crate::model::command::{SessionSetup, Voice};

/// A part of a configuration that a call can do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A tool, by name; of a server of tools (MCP), by its label.
    Tool(String),
    /// The voice: the server takes its own.
    Voice,
    /// How turns are found: the server's own way.
    Turns,
    /// The caller's words as text.
    Transcription,
    /// Noise reduction.
    NoiseReduction,
    /// Reasoning effort.
    Reasoning,
    /// The token ceiling of an answer.
    MaxOutputTokens,
}

impl Part {
    /// The name in logs, as the settings have it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Tool(name) => format!("tools.{name}"),
            Self::Voice => "voice".to_owned(),
            Self::Turns => "turn_detection".to_owned(),
            Self::Transcription => "transcription".to_owned(),
            Self::NoiseReduction => "model.noise_reduction".to_owned(),
            Self::Reasoning => "model.reasoning".to_owned(),
            Self::MaxOutputTokens => "model.max_output_tokens".to_owned(),
        }
    }

    /// The kind of violation it is counted as.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tool(_) => "refused_tool",
            Self::Voice
            | Self::Turns
            | Self::Transcription
            | Self::NoiseReduction
            | Self::Reasoning
            | Self::MaxOutputTokens => "refused_option",
        }
    }

    /// The part of `asked` that an error is about: the first it names. `None` if it names no part that was asked for, or one
    /// no call can do without.
    #[must_use]
    pub fn named_by(names: &[Naming], asked: &SessionSetup) -> Option<Self> {
        names.iter().find_map(|name| match name {
            Naming::ToolAt(number) => {
                let tool = asked.tools.get(*number)?;
                Some(Self::Tool(name_of(tool)?.to_owned()))
            }
            Naming::Part(part) => part.is_in(asked).then(|| part.clone()),
        })
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_in(&self, asked: &SessionSetup) -> bool {
        let options = asked.options.as_ref();
        match self {
            Self::Tool(name) => asked.tools.iter().any(|tool| name_of(tool) == Some(name)),
            Self::Voice => asked.voice != Voice::Keep,
            Self::Turns => options.is_some_and(|options| options.turns.is_some()),
            Self::Transcription => options.is_some_and(|options| options.transcription.is_some()),
            Self::NoiseReduction => {
                options.is_some_and(|options| options.noise_reduction.is_some())
            }
            Self::Reasoning => options.is_some_and(|options| options.reasoning.is_some()),
            Self::MaxOutputTokens => {
                options.is_some_and(|options| options.max_output_tokens.is_some())
            }
        }
    }

    /// Takes the part out of a wish.
    pub fn leave_out(&self, wish: &mut SessionSetup) {
        match (self, &mut wish.options) {
            (Self::Tool(name), _) => wish.tools.retain(|tool| name_of(tool) != Some(name)),
            (Self::Voice, _) => wish.voice = Voice::Keep,
            (_, None) => {}
            (Self::Turns, Some(options)) => options.turns = None,
            (Self::Transcription, Some(options)) => options.transcription = None,
            (Self::NoiseReduction, Some(options)) => options.noise_reduction = None,
            (Self::Reasoning, Some(options)) => options.reasoning = None,
            (Self::MaxOutputTokens, Some(options)) => options.max_output_tokens = None,
        }
    }
}

/// What an error says, or may say, that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// The tool at this place in the list.
    ToolAt(usize),
    /// This part.
    Part(Part),
}

/// A tool's name as the model and the settings use it.
fn name_of(tool: &serde_json::Value) -> Option<&str> {
    let name = tool.get("name").or_else(|| tool.get("server_label"));
    name.and_then(serde_json::Value::as_str)
}
