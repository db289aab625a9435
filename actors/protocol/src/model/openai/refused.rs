//! The part of a session's configuration that a server refused. A server refuses an update as a whole for one bad field.
//! It is asked again without that part, so that a call does not lose all its tools for one.

use crate::model::command::{SessionSetup, Voice};
use crate::model::event::ModelError;

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

    /// The part of `asked` that an error is about: by its `param` (`session.tools[1].parameters`), else by what its
    /// message puts in quotes. `None` if it names no part that was asked for, or one no call can do without.
    #[must_use]
    pub fn named_by(error: &ModelError, asked: &SessionSetup) -> Option<Self> {
        let of_param = error.param.as_deref();
        let of_param = of_param.and_then(|param| Self::at(param, asked));
        of_param.or_else(|| {
            // Every other piece is between two quotes.
            let mut quoted = error.message.split('\'').skip(1).step_by(2);
            quoted.find_map(|word| Self::at(word, asked).or_else(|| Self::called(word, asked)))
        })
    }

    /// The part at a path in the session object.
    fn at(path: &str, asked: &SessionSetup) -> Option<Self> {
        let mut steps = path.split(['.', '[', ']']).filter(|step| {
            !step.is_empty() && !matches!(*step, "session" | "audio" | "input" | "output")
        });
        let part = match steps.next()? {
            "tools" => {
                let number: usize = steps.next()?.parse().ok()?;
                Self::Tool(name_of(asked.tools.get(number)?)?.to_owned())
            }
            "voice" => Self::Voice,
            "turn_detection" => Self::Turns,
            "transcription" => Self::Transcription,
            "noise_reduction" => Self::NoiseReduction,
            "reasoning" => Self::Reasoning,
            "max_output_tokens" => Self::MaxOutputTokens,
            _ => return None,
        };
        part.is_in(asked).then_some(part)
    }

    /// The tool of that name.
    fn called(name: &str, asked: &SessionSetup) -> Option<Self> {
        let tool = Self::Tool(name.to_owned());
        tool.is_in(asked).then_some(tool)
    }

    fn is_in(&self, asked: &SessionSetup) -> bool {
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

/// A tool's name as the model and the settings use it.
fn name_of(tool: &serde_json::Value) -> Option<&str> {
    let name = tool.get("name").or_else(|| tool.get("server_label"));
    name.and_then(serde_json::Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command::{SessionOptions, TurnDetection};
    use serde_json::json;

    fn wish() -> SessionSetup {
        SessionSetup {
            instructions: "Be kind.".to_owned(),
            voice: Voice::Named("marin".to_owned()),
            tools: vec![
                json!({"type": "function", "name": "end_call"}),
                json!({"type": "function", "name": "lookup"}),
                json!({"type": "mcp", "server_label": "weather"}),
            ],
            options: Some(SessionOptions {
                turns: Some(TurnDetection::Semantic {
                    eagerness: "low".to_owned(),
                    answer: true,
                    interrupt: true,
                }),
                transcription: None,
                noise_reduction: Some("near_field".to_owned()),
                reasoning: Some("low".to_owned()),
                max_output_tokens: Some(99),
            }),
        }
    }

    fn error(param: Option<&str>, message: &str) -> ModelError {
        ModelError {
            param: param.map(ToOwned::to_owned),
            message: message.to_owned(),
            ..ModelError::default()
        }
    }

    #[test]
    fn the_part_an_error_is_about_is_found_by_its_param_or_by_its_words() {
        let lookup = Part::Tool("lookup".to_owned());
        for (param, message, part) in [
            (
                Some("session.tools[1].parameters"),
                "No.",
                Some(lookup.clone()),
            ),
            (Some("session.tools.1"), "No.", Some(lookup.clone())),
            (
                Some("tools[2].server_url"),
                "No.",
                Some(Part::Tool("weather".to_owned())),
            ),
            (Some("session.audio.output.voice"), "No.", Some(Part::Voice)),
            (
                Some("session.audio.input.turn_detection.eagerness"),
                "No.",
                Some(Part::Turns),
            ),
            (Some("session.turn_detection"), "No.", Some(Part::Turns)),
            (
                Some("session.audio.input.noise_reduction.type"),
                "No.",
                Some(Part::NoiseReduction),
            ),
            (
                Some("session.reasoning.effort"),
                "No.",
                Some(Part::Reasoning),
            ),
            (
                Some("session.max_output_tokens"),
                "No.",
                Some(Part::MaxOutputTokens),
            ),
            (
                None,
                "Invalid schema for function 'lookup': In context=(), array schema missing items.",
                Some(lookup.clone()),
            ),
            (
                None,
                "The 'reasoning' session option is not supported by the model x.",
                Some(Part::Reasoning),
            ),
            (
                None,
                "Unknown parameter: 'session.tools[1].strict'.",
                Some(lookup),
            ),
            // Nothing a call can do without, or nothing that was asked for.
            (Some("session.tools[7]"), "No.", None),
            (Some("session.tools"), "No.", None),
            (Some("session.audio.output.format.type"), "No.", None),
            (Some("session.type"), "Missing 'session.type'.", None),
            (Some("session.audio.input.transcription.model"), "No.", None),
            (None, "It isn't 'nothing'.", None),
        ] {
            assert_eq!(
                Part::named_by(&error(param, message), &wish()),
                part,
                "{param:?} {message}"
            );
        }
    }

    #[test]
    fn what_is_left_out_is_not_named_again() {
        let mut wish = wish();
        let mut left = 0;
        for param in [
            "session.tools[1]",
            "session.tools[1]",
            "session.tools[0]",
            "session.voice",
            "session.turn_detection",
            "session.noise_reduction",
            "session.reasoning",
            "session.max_output_tokens",
        ] {
            let part = Part::named_by(&error(Some(param), ""), &wish).unwrap();
            part.leave_out(&mut wish);
            assert!(!part.is_in(&wish), "{param}");
            left += 1;
        }
        assert_eq!(left, 8);
        assert!(wish.tools.is_empty());
        assert_eq!(
            Part::named_by(&error(Some("session.tools[0]"), "'lookup'"), &wish),
            None
        );
    }
}
