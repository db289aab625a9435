//! A conversation told again to a new session: there is no resuming one at the model.

use std::fmt::Write as _;

use crate::conversation::{Conversation, Speaker};

/// Bytes of history told; the newest turns win. Text is cheap, but every response pays for it again.
const TOLD: usize = 12_000;

/// The text of a system item that tells a new session what happened so far.
///
/// One labelled text rather than assistant items: a history of assistant *text* can push a model into answering in text.
#[must_use]
pub fn briefing(conversation: &Conversation) -> String {
    told(
        "The line to you was interrupted for a moment and this call goes on. Do not greet again and do not mention the \
         interruption; continue where the conversation stopped.",
        conversation,
    )
}

/// The same for a call whose media stream was interrupted: the caller heard nothing for a moment.
#[must_use]
pub fn briefing_after_silence(conversation: &Conversation) -> String {
    told(
        "The line was interrupted for a moment, the caller heard nothing meanwhile, and this call goes on. Do not greet \
         again; continue where the conversation stopped.",
        conversation,
    )
}

fn told(what_happened: &str, conversation: &Conversation) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut length = 0;
    let turns: Vec<_> = conversation.turns().collect();
    for turn in turns.into_iter().rev() {
        let Some(text) = turn
            .heard
            .as_deref()
            .or(turn.said.as_deref())
            .filter(|text| !text.is_empty())
        else {
            continue;
        };
        let who = match turn.who {
            Speaker::Caller => "Caller",
            Speaker::Agent => "You",
        };
        let mut line = format!("{who}: {text}");
        if turn.cut {
            line.push_str(" [the caller did not hear the rest]");
        }
        length += line.len();
        if length > TOLD {
            break;
        }
        lines.push(line);
    }
    let mut briefing =
        format!("{what_happened} The conversation so far, as the caller heard it:\n");
    for line in lines.iter().rev() {
        // Writing to a string does not fail.
        let _ = writeln!(briefing, "{line}");
    }
    briefing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ModelId;
    use crate::playback::{PartKey, Settled};
    use crate::time::Time;

    #[test]
    fn only_what_was_heard_is_told() {
        let mut conversation = Conversation::default();
        let (agent, caller) = (ModelId::new("a"), ModelId::new("c"));
        conversation.agent_words(&agent, "Hello there, how can I help you today?", Time::ZERO);
        let key = PartKey {
            response: ModelId::new("r"),
            item: agent,
            part: 0,
        };
        let cut = Settled {
            key,
            received_ms: 1_000,
            sent_ms: 600,
            heard_ms: 300,
            began: Some(Time::ZERO),
            cut: true,
        };
        conversation.settle(&cut, Time::ZERO);
        conversation.caller_words(&caller, Some("A massage.".into()), Time::ZERO);
        let told = briefing(&conversation);
        assert!(
            told.ends_with("You: Hello [the caller did not hear the rest]\nCaller: A massage.\n"),
            "{told}"
        );
    }

    #[test]
    fn a_long_history_keeps_its_end() {
        let mut conversation = Conversation::default();
        for n in 0..300 {
            let text = format!("turn {n} {}", "word ".repeat(40));
            conversation.caller_words(&ModelId::new(&format!("i{n}")), Some(text), Time::ZERO);
        }
        let told = briefing(&conversation);
        assert!(told.len() < TOLD + 1_000);
        assert!(told.contains("turn 299") && !told.contains("turn 0 "));
    }
}
