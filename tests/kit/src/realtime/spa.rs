//! The conversations that come with the kit: a booking at the spa, and small talk without tools.

use serde_json::json;

use super::script::{Say, Script, Step, ToolCall};
use crate::speech;

/// The treatment and the therapist that the caller's `hello` asks for.
const SERVICE: &str = "Classic massage";
const THERAPIST: &str = "Maria";
/// Who the caller's `name` says they are.
const CALLER: &str = "Anna Weber";

/// What `find_times` and `book_appointment` answer, see the service's appointment book.
const DAY: &str = "{find_times:/day}";
const WHO: &str = "{find_times:/options/0/times/0/therapist}";
const FIRST: &str = "{find_times:/options/0/times/0/time}";
const SECOND: &str = "{find_times:/options/0/times/1/time}";

impl Script {
    /// A booking at the spa, with the tools of the service's appointment book: the caller asks for a massage with Maria
    /// on the next free afternoon, is offered two of the times that `find_times` gives, interrupts and takes the first,
    /// says the name, and hears the day, the time and the code that `book_appointment` gives. Without the book, or when
    /// it has nothing, the caller is told so and is promised a call.
    #[must_use]
    pub fn spa() -> Self {
        let find = call(
            "find_times",
            json!({"service": SERVICE, "therapist": THERAPIST, "part_of_day": "afternoon"}),
        );
        let book = call(
            "book_appointment",
            json!({
                "service": "{find_times:/options/0/service}", "day": DAY, "time": FIRST, "therapist": WHO, "name": CALLER,
            }),
        );
        let asks = Step {
            tools: vec![find],
            ..hearing("hello", Say::clip("moment"))
        };
        let no_book = Step::clip(None, "no_book");
        let offer = |times: &[&str]| {
            let mut pieces = vec!["with_pleasure", WHO, "is_free_on", DAY, "at"];
            pieces.extend(times);
            pieces.extend([".", "sauna"]);
            saying(Say::phrase(&pieces))
        };
        let takes = hearing(
            "interrupt",
            Say::phrase(&["the_first_one", FIRST, ".", "your_name"]),
        );
        let names = Step {
            hears: words_of("name"),
            tools: vec![book],
            ..Step::default()
        };
        let booked = saying(Say::phrase(&[
            "thank_you_anna",
            "your_massage_with",
            "{book_appointment:/booked/therapist}",
            "is_booked_for",
            "{book_appointment:/booked/day}",
            "at",
            "{book_appointment:/booked/time}",
            ".",
            "your_code_is",
            "{book_appointment:/booked/code}",
            ".",
            "anything_else",
        ]));
        Self {
            name: "spa".to_owned(),
            turns: vec![
                asks,
                // Late in the afternoon there may be one time only.
                or_else(
                    offer(&[FIRST, "or_at", SECOND]),
                    or_else(offer(&[FIRST]), no_book.clone()),
                ),
                or_else(takes, Step::clip(None, "your_name")),
                or_else(names, no_book.clone()),
                or_else(booked, no_book),
                hearing("thanks", Say::clip("goodbye")),
            ],
            aside: Step {
                says: vec![Say::written("The caller asked for a massage with Maria.")],
                ..Step::default()
            },
            ..Self::chat()
        }
    }

    /// Small talk of a spa without tools: greeting, a long list of times (meant to be interrupted), the name, the
    /// goodbye. The same words in every call.
    #[must_use]
    pub fn chat() -> Self {
        Self {
            name: "chat".to_owned(),
            greeting: Step::clip(None, "greeting"),
            turns: vec![
                hearing("hello", Say::clip("times_long")),
                hearing("interrupt", Say::clip("half_past")),
                hearing("name", Say::clip("booked")),
                hearing("thanks", Say::clip("goodbye")),
            ],
            otherwise: Step::clip(None, "sorry"),
            idle: Step::clip(None, "still_there"),
            unprompted: Step::clip(None, "filler"),
            aside: Step {
                says: vec![Say::written("The caller booked a hot stone massage.")],
                ..Step::default()
            },
            ..Self::default()
        }
    }
}

fn words_of(clip: &str) -> Option<String> {
    speech::caller(clip).map(|clip| clip.text.to_owned())
}

fn saying(say: Say) -> Step {
    Step {
        says: vec![say],
        ..Step::default()
    }
}

fn hearing(clip: &str, say: Say) -> Step {
    Step {
        hears: words_of(clip),
        ..saying(say)
    }
}

fn or_else(step: Step, instead: Step) -> Step {
    Step {
        instead: Some(Box::new(instead)),
        ..step
    }
}

fn call(name: &str, arguments: serde_json::Value) -> ToolCall {
    ToolCall {
        name: name.to_owned(),
        arguments,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::prepared::{Prepared, Utterance};

    /// What is offered when `find_times` has answered that.
    fn offered(answer: &serde_json::Value) -> String {
        let spa = Prepared::new(&Script::spa()).unwrap();
        let line = spa.turns[1].line(&|tool| (tool == "find_times").then(|| answer.clone()));
        match line.says.as_slice() {
            [Utterance::Spoken { text, .. }] => text.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_only_time_left_is_offered_alone_and_none_is_none() {
        let with =
            |times: serde_json::Value| json!({"day": "2026-11-27", "options": [{"times": times}]});
        let late = json!({"time": "17:30", "therapist": "Maria"});
        assert!(
            offered(&with(json!([late])))
                .starts_with("With pleasure. Maria is free on Friday at five thirty. You are")
        );
        let sorry = speech::receptionist("no_book").map(|clip| clip.text.to_owned());
        for nothing in [
            with(json!([])),
            json!({"error": "Nothing is free in the next two weeks."}),
        ] {
            assert_eq!(Some(offered(&nothing)), sorry);
        }
    }
}
