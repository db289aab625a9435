//! A conversation told again to a new session: there is no resuming one at the model.

use std::fmt::Write as _;

use crate::conversation::{Conversation, Speaker, Turn};
use crate::ids::clip;
use crate::tool::memory::{TOLD_OF_TOOL, ToolMemory, ToolRecord};

/// Bytes of history told; the newest turns win. Text is cheap, but every response pays for it again.
const TOLD: usize = 12_000;

/// What a session is told whose call goes on from one that may have missed what the caller said.
pub const DEAF: &str = "For some seconds you could not hear the caller, who may have spoken; this call goes on. Do not \
                        greet again; if it is not clear what they want, ask them in one short sentence to say it once more.";

/// The text of a system item that tells a new session what happened so far.
///
/// One labelled text rather than assistant items: a history of assistant *text* can push a model into answering in text.
#[must_use]
pub fn briefing(conversation: &Conversation, tools: &ToolMemory) -> String {
    told(
        "The line to you was interrupted for a moment and this call goes on. Do not greet again and do not mention the \
         interruption; continue where the conversation stopped.",
        conversation,
        tools,
    )
}

/// The same where the session before was stuck: what the caller said meanwhile went nowhere.
#[must_use]
pub fn briefing_after_deafness(conversation: &Conversation, tools: &ToolMemory) -> String {
    told(DEAF, conversation, tools)
}

/// The same for a call whose media stream was interrupted: the caller heard nothing for a moment.
#[must_use]
pub fn briefing_after_silence(conversation: &Conversation, tools: &ToolMemory) -> String {
    told(
        "The line was interrupted for a moment, the caller heard nothing meanwhile, and this call goes on. Do not greet \
         again; continue where the conversation stopped.",
        conversation,
        tools,
    )
}

/// The same for a caller who is back from a transfer that failed; which one, a note says.
#[must_use]
pub fn briefing_after_transfer(conversation: &Conversation, tools: &ToolMemory) -> String {
    told(
        "You sent the caller to somebody else, nobody took the call, and the caller is back with you. Do not greet \
         again; continue where the conversation stopped.",
        conversation,
        tools,
    )
}

fn told(what_happened: &str, conversation: &Conversation, tools: &ToolMemory) -> String {
    let told = lines(conversation.turns(), tools.records());
    format!("{what_happened} The conversation so far, as the caller heard it:\n{told}")
}

/// Turns and tool calls as lines of text, in the order of time, the newest as far as there is room.
pub(super) fn lines<'a>(
    turns: impl Iterator<Item = &'a Turn>,
    records: impl Iterator<Item = &'a ToolRecord>,
) -> String {
    let mut told: Vec<(u64, String)> = Vec::new();
    for turn in turns {
        if let Some(line) = turn_line(turn) {
            told.push((turn.at_ms, line));
        }
    }
    for record in records {
        told.push((record.at_ms, tool_line(record)));
    }
    // Stable: what a turn and a tool call of the same millisecond say stays in this order.
    told.sort_by_key(|(at_ms, _)| *at_ms);
    let mut lines: Vec<String> = Vec::new();
    let mut length = 0;
    for (_, line) in told.into_iter().rev() {
        length += line.len();
        if length > TOLD {
            break;
        }
        lines.push(line);
    }
    let mut text = String::new();
    for line in lines.iter().rev() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

fn turn_line(turn: &Turn) -> Option<String> {
    let text = turn.heard.as_deref().or(turn.said.as_deref());
    let text = text.filter(|text| !text.is_empty())?;
    let who = match turn.who {
        Speaker::Caller => "Caller",
        Speaker::Agent => "You",
    };
    let mut line = format!("{who}: {text}");
    if turn.cut {
        line.push_str(" [the caller did not hear the rest]");
    }
    Some(line)
}

/// A tool call with what came of it: a session that does not know it would call again.
fn tool_line(record: &ToolRecord) -> String {
    let asked = clip(&record.arguments, TOLD_OF_TOOL);
    let came = match &record.output {
        Some(output) => clip(output, TOLD_OF_TOOL),
        None => "[still running; you will be told what came of it; do not call it again]",
    };
    format!("[You called the tool {} with {asked}: {came}]", record.tool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ModelId;
    use crate::ids::PartKey;
    use crate::phone::playback::Settled;
    use crate::time::Time;

    #[test]
    fn only_what_was_heard_is_told() {
        let mut conversation = Conversation::default();
        let (agent, caller) = (ModelId::new("a"), ModelId::new("c"));
        conversation.agent_words(
            &agent,
            0,
            "Hello there, how can I help you today?",
            Time::ZERO,
        );
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
        let told = briefing(&conversation, &ToolMemory::default());
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
        let told = briefing(&conversation, &ToolMemory::default());
        assert!(told.len() < TOLD + 1_000);
        assert!(told.contains("turn 299") && !told.contains("turn 0 "));
    }
}
