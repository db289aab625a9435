//! What an error says of the configuration: by its `param` (`session.tools[1].parameters`), else by what its message puts in
//! quotes.

use crate::model::config_part::{Naming, Part};

/// The parts that an error names, or may name, by its likeliest word first.
pub(super) fn names_in(param: Option<&str>, message: &str) -> Vec<Naming> {
    let of_param = param.and_then(at);
    // Every other piece is between two quotes.
    let quoted = message.split('\'').skip(1).step_by(2);
    let of_message = quoted.flat_map(|word| {
        let called = Naming::Part(Part::Tool(word.to_owned()));
        at(word).into_iter().chain([called])
    });
    of_param.into_iter().chain(of_message).collect()
}

/// The part at a path in the session object.
fn at(path: &str) -> Option<Naming> {
    let mut steps = path.split(['.', '[', ']']).filter(|step| {
        !step.is_empty() && !matches!(*step, "session" | "audio" | "input" | "output")
    });
    Some(Naming::Part(match steps.next()? {
        "tools" => return Some(Naming::ToolAt(steps.next()?.parse().ok()?)),
        "voice" => Part::Voice,
        "turn_detection" => Part::Turns,
        "transcription" => Part::Transcription,
        "noise_reduction" => Part::NoiseReduction,
        "reasoning" => Part::Reasoning,
        "max_output_tokens" => Part::MaxOutputTokens,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command::{SessionOptions, SessionSetup, TurnDetection, Voice};
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

    fn named(param: Option<&str>, message: &str, asked: &SessionSetup) -> Option<Part> {
        Part::named_by(&names_in(param, message), asked)
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
            assert_eq!(named(param, message, &wish()), part, "{param:?} {message}");
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
            let part = named(Some(param), "", &wish).unwrap();
            part.leave_out(&mut wish);
            assert!(!part.is_in(&wish), "{param}");
            left += 1;
        }
        assert_eq!(left, 8);
        assert!(wish.tools.is_empty());
        assert_eq!(named(Some("session.tools[0]"), "'lookup'", &wish), None);
    }
}
