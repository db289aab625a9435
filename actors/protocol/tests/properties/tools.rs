//! The books of the tool calls: each complete one is answered once, when its response is done, if the call goes on.

use std::collections::BTreeMap;

use call_protocol::call::{END_CALL, TRANSFER_CALL};
use call_protocol::time::Time;

/// What a tool call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// An answer, and nothing else.
    Answer,
    /// The end of the call; answered only if the call goes on.
    End,
}

#[derive(Debug)]
struct Made {
    response: u32,
    at: Time,
    asks: Asks,
    answers: u32,
}

/// The tool calls of a session.
#[derive(Debug, Default)]
pub(crate) struct ToolBook {
    made: BTreeMap<String, Made>,
}

/// Name and arguments of a call, by number.
pub(crate) fn tool(number: u8) -> (&'static str, &'static str) {
    match number {
        0 => ("lookup", "{}"),
        1 => (END_CALL, "{}"),
        2 => (TRANSFER_CALL, r#"{"target":"front_desk"}"#),
        _ => (TRANSFER_CALL, r#"{"target":"the moon"}"#),
    }
}

/// No call that is to end lives longer than this: the longest farewell, and the wait for one.
const LONGEST_END_MS: u64 = 76_000;

impl ToolBook {
    /// The model made a call. A repetition of one that came before is none.
    pub(crate) fn make(&mut self, call: &str, response: u32, number: u8, at: Time) {
        let asks = if matches!(number, 1 | 2) {
            Asks::End
        } else {
            Asks::Answer
        };
        self.made.entry(call.to_owned()).or_insert(Made {
            response,
            at,
            asks,
            answers: 0,
        });
    }

    /// The machine answered a call.
    pub(crate) fn answer(&mut self, call: &str, running: Option<u32>) {
        let made = self.made.get_mut(call);
        let made = made.unwrap_or_else(|| panic!("{call} was not made in this session"));
        assert_ne!(Some(made.response), running, "{call} answered too early");
        made.answers += 1;
        assert_eq!(made.answers, 1, "{call} answered again");
    }

    /// Holds what is not answered against what may be.
    pub(crate) fn check(&self, running: Option<u32>, now: Time) {
        for (call, made) in &self.made {
            let is_done = Some(made.response) != running;
            if made.answers > 0 || !is_done {
                continue;
            }
            assert_eq!(made.asks, Asks::End, "{call} was not answered: {made:?}");
            let waits = now.millis_since(made.at);
            assert!(
                waits < LONGEST_END_MS,
                "{call} neither ended the call nor was answered"
            );
        }
    }

    /// Whether a call that asked for the end is not answered.
    pub(crate) fn awaits_end(&self) -> bool {
        self.made.values().any(|made| made.answers == 0)
    }

    /// The session is gone, and the calls with it.
    pub(crate) fn forget(&mut self) {
        self.made.clear();
    }
}
