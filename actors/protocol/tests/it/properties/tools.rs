//! The books of the tool calls: each complete one is answered once, when its response is done, if the call goes on;
//! an effect is begun once for each wish.

use std::collections::BTreeMap;

use call_protocol::call::{END_CALL, TRANSFER_CALL};
use call_protocol::time::Time;
use call_protocol::tool::{ToolResult, ToolRun};

/// What a tool call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// An answer, and nothing else.
    Answer,
    /// A run; answered when it is over, or late.
    Run,
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
    runs: Vec<Run>,
    /// Turns of the caller.
    caller_turns: u32,
}

/// A run the machine asked for.
#[derive(Debug)]
struct Run {
    wish: ToolRun,
    result: Option<ToolResult>,
    /// Turns of the caller when it was over.
    caller_turns: u32,
}

/// Name and arguments of a call, by number.
pub(crate) fn tool(number: u8) -> (&'static str, &'static str) {
    match number {
        0 => ("gossip", "{}"),
        1 => (END_CALL, "{}"),
        2 => (TRANSFER_CALL, r#"{"target":"front_desk"}"#),
        3 => (TRANSFER_CALL, r#"{"target":"the moon"}"#),
        4 => ("lookup", r#"{"who":"Ann"}"#),
        5 => ("book", r#"{"at":9,"for":"Ann"}"#),
        6 => ("book", r#"{"for":"Ann","at":9.0,"note":null}"#),
        _ => ("book", "[]"),
    }
}

/// The timeout of the tools, and the machine's grace.
const LONGEST_RUN_MS: u64 = 5_250;

/// No call that is to end lives longer than this: the longest farewell, and the wait for one.
const LONGEST_END_MS: u64 = 76_000;

impl ToolBook {
    /// The model made a call. A repetition of one that came before is none.
    pub(crate) fn make(&mut self, call: &str, response: u32, number: u8, at: Time) {
        let asks = match number {
            1 | 2 => Asks::End,
            4..=6 => Asks::Run,
            _ => Asks::Answer,
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
            let longest = match made.asks {
                Asks::Answer => 0,
                Asks::Run => LONGEST_RUN_MS,
                Asks::End => LONGEST_END_MS,
            };
            let waits = now.millis_since(made.at);
            assert!(
                longest > 0 && waits <= longest,
                "{call} was not answered for {waits} ms: {made:?}"
            );
        }
    }

    /// Whether a call that asked for the end is not answered.
    pub(crate) fn awaits_end(&self) -> bool {
        let mut open = self.made.values().filter(|made| made.answers == 0);
        open.any(|made| made.asks == Asks::End)
    }

    /// The machine asks for a run.
    pub(crate) fn begin(&mut self, run: &ToolRun) {
        let same_key = self.runs.iter().any(|before| before.wish.key == run.key);
        assert!(!same_key, "begun twice: {run:?}");
        let same = |before: &&Run| before.wish.effects && before.wish.canonical == run.canonical;
        if run.effects
            && let Some(before) = self.runs.iter().rfind(same)
        {
            let result = before
                .result
                .expect("a wish that is under way is not begun again");
            let spoke_since = self.caller_turns > before.caller_turns;
            assert!(
                result.left_no_effect() || spoke_since,
                "nobody asked for it again: {run:?}"
            );
        }
        self.runs.push(Run {
            wish: run.clone(),
            result: None,
            caller_turns: 0,
        });
    }

    /// The run begun so many before the last one is over; over again if it was before.
    pub(crate) fn finish(&mut self, back: usize, result: ToolResult) -> Option<u32> {
        let caller_turns = self.caller_turns;
        let run = self.runs.iter_mut().rev().nth(back)?;
        if run.result.is_none() {
            run.result = Some(result);
            run.caller_turns = caller_turns;
        }
        Some(run.wish.number)
    }

    /// The caller took a turn.
    pub(crate) fn caller_turn(&mut self) {
        self.caller_turns += 1;
    }

    /// The session is gone, and the calls with it.
    pub(crate) fn forget(&mut self) {
        self.made.clear();
    }
}
