//! Tools beside the conversation: begun once, waited for, answered once; audio and interruption go on meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Call;
use super::effect::{Effect, Peer, Report};
use super::timers::Timer;
use super::tools::ToolCall;
use crate::ids::{ModelId, clip};
use crate::model::link::Link;
use crate::phone::CallSid;
use crate::time::Time;
use crate::tool::memory::{Delivery, Meaning, ToolMemory, ToolRecord};
use crate::tool::{
    MAX_ARGUMENTS, ToolFinished, ToolResult, ToolRun, ToolSpec, failure, key, outcome_unknown,
};

/// The runner keeps time itself and knows more; the machine's own deadline comes after its word.
const GRACE: Duration = Duration::from_millis(250);

/// A deadline that passes while there is no session is looked at again after this long.
const NEXT_LOOK: Duration = Duration::from_secs(1);

/// Runs at a time in one call.
const AT_ONCE: usize = 32;

/// The runs of a call.
#[derive(Debug, Default)]
pub(super) struct ToolRuns {
    pub(super) memory: ToolMemory,
    pub(super) live: Vec<Live>,
    /// The last responses, each with the outcomes its model had when it began.
    pub(super) answers: VecDeque<(ModelId, Vec<u32>)>,
    /// The next response is the sentence with which a resumed call goes on.
    pub(super) going_on: bool,
    /// Calls since the caller's last turn.
    pub(super) in_turn: u32,
    pub(super) fillers: u32,
}

/// A run that is not over.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) number: u32,
    since: Time,
    due: Time,
    /// The calls of this session that want its output.
    pub(super) waiters: Vec<ToolCall>,
    /// Its deadline has passed, and was told.
    late: bool,
}

impl ToolRuns {
    /// Whether the caller waits for a tool.
    pub(super) fn awaits(&self) -> bool {
        self.live.iter().any(|run| !run.late)
    }

    fn next_due(&self) -> Option<Time> {
        let waited_for = self.live.iter().filter(|run| !run.late);
        waited_for.map(|run| run.due).min()
    }

    pub(super) fn answers_of(&self, response: &ModelId) -> bool {
        let mut waiters = self.live.iter().flat_map(|run| &run.waiters);
        waiters.any(|waiter| waiter.response == *response)
    }
}

/// Arguments as a tool takes them: an object, and no more than anybody needs.
fn read_arguments(text: &str) -> Result<Map<String, Value>, &'static str> {
    if text.len() > MAX_ARGUMENTS {
        return Err("the arguments are too long");
    }
    // Some models write nothing where nothing is wanted.
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) | Err(_) => Err("the arguments are not a JSON object"),
    }
}

impl Call {
    /// The tool calls of this call and what came of them, for a checkpoint.
    #[must_use]
    pub const fn tool_memory(&self) -> &ToolMemory {
        &self.runs.memory
    }

    /// Takes over the tool calls of a call that is continued from a checkpoint. Effects that were under way are run
    /// again under their old keys: the journal knows what became of them.
    pub fn restore_tools(&mut self, mut memory: ToolMemory, now: Time) {
        memory.session_lost();
        memory.drop_unfinished_reads();
        self.runs = ToolRuns {
            memory,
            ..ToolRuns::default()
        };
        let unfinished: Vec<u32> = self
            .runs
            .memory
            .records()
            .filter(|record| record.result.is_none())
            .map(|record| record.number)
            .collect();
        for number in unfinished {
            self.floor.owe();
            self.run_again(number, Vec::new(), now);
        }
        self.watch_tools();
    }

    /// The call's SID, from `start` or the ticket.
    #[must_use]
    pub fn call_sid(&self) -> Option<CallSid> {
        let known = self.state.known();
        known.map(|(call, _)| call).or(self.setup.call)
    }

    /// The model calls a tool the service runs.
    pub(super) fn on_tool_call(&mut self, tool: ToolCall, name: &str, arguments: &str, now: Time) {
        let agent = self.setup.agent.clone();
        self.runs.in_turn += 1;
        if self.runs.in_turn <= agent.tools.calls_a_turn.saturating_add(1) {
            self.floor.tools_called(&tool.response);
        }
        if self.runs.in_turn > agent.tools.calls_a_turn {
            self.violation(Peer::Model, "tool_loop");
            self.refuse_tool(
                tool,
                "too many tool calls in one turn; answer with what is known",
            );
            return;
        }
        let Some(spec) = agent.tools.find(name) else {
            // An unanswered call leaves the model waiting; it is told the truth and goes on talking.
            self.violation(Peer::Model, "unknown_tool");
            self.refuse_tool(tool, &format!("there is no tool named {}", clip(name, 64)));
            return;
        };
        let arguments = match read_arguments(arguments) {
            Ok(arguments) => arguments,
            Err(why) => {
                self.violation(Peer::Model, "bad_tool_arguments");
                self.refuse_tool(tool, why);
                return;
            }
        };
        let Some(call) = self.call_sid() else {
            self.refuse_tool(tool, "the call has not begun yet");
            return;
        };
        let canonical = key::canonical(&arguments);
        let meaning = if spec.effects {
            self.runs.memory.meaning(name, &canonical)
        } else {
            Meaning::New(0)
        };
        match meaning {
            Meaning::SameAs(number) => self.repeat_tool(tool, number, spec.timeout, now),
            Meaning::New(_) if self.runs.live.len() >= AT_ONCE => {
                self.refuse_tool(tool, "too many tools are running");
            }
            Meaning::New(intent) => {
                let number = self.runs.memory.next_number();
                let key = if spec.effects {
                    key::effect_key(&call, name, &canonical, intent)
                } else {
                    key::run_key(&call, name, number)
                };
                self.runs.memory.add(ToolRecord {
                    number,
                    tool: name.to_owned(),
                    arguments: canonical.clone(),
                    asked: Value::Object(arguments.clone()).to_string(),
                    call: tool.call.as_str().to_owned(),
                    key: key.clone(),
                    effects: spec.effects,
                    intent,
                    at_ms: now.as_millis(),
                    ms: None,
                    result: None,
                    output: None,
                    clipped: false,
                    told: Delivery::Pending,
                });
                let run = ToolRun {
                    number,
                    tool: name.to_owned(),
                    call: tool.call.clone(),
                    arguments,
                    canonical,
                    key,
                    effects: spec.effects,
                    timeout: spec.timeout,
                    again: false,
                };
                self.begin_run(run, vec![tool], now);
            }
        }
    }

    fn begin_run(&mut self, run: ToolRun, waiters: Vec<ToolCall>, now: Time) {
        if !self.runs.awaits() {
            self.runs.fillers = 0;
        }
        self.runs.live.push(Live {
            number: run.number,
            since: now,
            due: now + run.timeout + GRACE,
            waiters,
            late: false,
        });
        self.report(Report::ToolStarted {
            tool: run.tool.clone(),
            number: run.number,
        });
        if run.effects && self.state.stream().is_some() {
            // Before the effect: an owner that goes on with the call must know that it may have happened.
            self.effects.push_back(Effect::Checkpoint);
        }
        self.effects.push_back(Effect::RunTool(Box::new(run)));
        self.watch_tools();
    }

    /// The model repeats a wish: it waits for the outcome of the first, or gets it at once.
    fn repeat_tool(&mut self, tool: ToolCall, number: u32, timeout: Duration, now: Time) {
        self.violation(Peer::Model, "tool_wish_again");
        if let Some(run) = self.runs.live.iter_mut().find(|run| run.number == number) {
            run.waiters.push(tool);
            if run.late {
                run.late = false;
                run.due = now + timeout + GRACE;
            }
            self.watch_tools();
            return;
        }
        let record = self.runs.memory.get(number);
        if record.is_some_and(|record| record.clipped && record.effects) {
            // The part that is kept is not valid JSON any more; the journal has all of it.
            return self.run_again(number, vec![tool], now);
        }
        let output = record.map_or_else(outcome_unknown, ToolRecord::known);
        self.answer_tool_with(tool, output, Some(number));
    }

    /// Runs what was begun once more, under its old key: whose effect has happened gives its outcome.
    fn run_again(&mut self, number: u32, waiters: Vec<ToolCall>, now: Time) {
        let agent = self.setup.agent.clone();
        let Some(record) = self.runs.memory.get(number) else {
            return;
        };
        // A checkpoint of an earlier version knows the canonical form alone.
        let asked = if record.asked.is_empty() {
            &record.arguments
        } else {
            &record.asked
        };
        let arguments = read_arguments(asked).unwrap_or_default();
        let timeout = agent
            .tools
            .find(&record.tool)
            .map_or(Duration::ZERO, |spec: &ToolSpec| spec.timeout);
        let run = ToolRun {
            number,
            tool: record.tool.clone(),
            call: ModelId::new(&record.call),
            arguments,
            canonical: record.arguments.clone(),
            key: record.key.clone(),
            effects: record.effects,
            timeout,
            again: true,
        };
        if self.runs.live.iter().any(|live| live.number == number) {
            self.effects.push_back(Effect::RunTool(Box::new(run)));
        } else {
            self.begin_run(run, waiters, now);
        }
    }

    /// After a fault: a result may have been lost with the step that failed, or the wish to run. Effects are run again
    /// under their old keys, which repeats nothing; what has none was kept in `unsent`.
    pub(super) fn revive_tools(&mut self, unsent: Vec<Effect>, now: Time) {
        let effectful = |run: &&Live| {
            let record = self.runs.memory.get(run.number);
            record.is_some_and(|record| record.effects)
        };
        let live = self.runs.live.iter().filter(effectful);
        let numbers: Vec<u32> = live.map(|run| run.number).collect();
        for effect in unsent {
            if matches!(&effect, Effect::RunTool(run) if !run.effects) {
                self.effects.push_back(effect);
            }
        }
        for number in numbers {
            self.run_again(number, Vec::new(), now);
        }
        self.watch_tools();
        self.hand_in_answers();
    }

    /// A run is over.
    pub(super) fn on_tool_finished(&mut self, finished: ToolFinished, now: Time) {
        if self.is_over() {
            return;
        }
        let of_run = |run: &Live| run.number == finished.number;
        let Some(place) = self.runs.live.iter().position(of_run) else {
            // Run again after a fault, and told already.
            return;
        };
        let run = self.runs.live.swap_remove(place);
        let ms = now.millis_since(run.since);
        let Some(record) = self.runs.memory.get_mut(finished.number) else {
            // Forgotten meanwhile, as one of too many; the calls that wait for it are answered all the same.
            self.tell_outcome(finished.number, run.waiters, &finished.output, false);
            self.hand_in_answers();
            return;
        };
        let known_before = record.result.is_some();
        let mut output = finished.output;
        let answered = matches!(finished.result, ToolResult::Ok | ToolResult::Repeated);
        if known_before && !answered {
            // Asked for the whole of an outcome that is known, the journal did not answer: it stays known.
            output = record.known();
        } else {
            record.finish(finished.result, &output, ms);
        }
        let report = Report::Tool {
            tool: record.tool.clone(),
            number: finished.number,
            result: finished.result.label(),
            ms,
        };
        self.report(report);
        self.keep();
        self.watch_tools();
        let is_news = !run.late
            || matches!(
                finished.result,
                ToolResult::Ok | ToolResult::Repeated | ToolResult::Refused | ToolResult::Failed
            );
        if !is_news {
            // It was told at the deadline that nobody knows.
            self.outcome_given(finished.number);
        }
        self.tell_outcome(finished.number, run.waiters, &output, is_news);
        self.hand_in_answers();
    }

    /// The deadline of some run has come: the model is told so, and the caller need not wait.
    pub(super) fn on_tool_due(&mut self, now: Time) {
        let has_session = matches!(self.link, Link::Ready(_));
        let mut overdue = Vec::new();
        for run in &mut self.runs.live {
            if run.late || run.due > now {
                continue;
            }
            if has_session {
                run.late = true;
                overdue.push((run.number, std::mem::take(&mut run.waiters)));
            } else {
                // Told as soon as there is somebody to tell.
                run.due = now + NEXT_LOOK;
            }
        }
        for (number, waiters) in overdue {
            let output = match self.runs.memory.get(number) {
                Some(record) if record.effects => record.known(),
                Some(record) => failure(&format!("{} did not answer in time", record.tool)),
                None => continue,
            };
            self.tell_outcome(number, waiters, &output, true);
        }
        self.hand_in_answers();
        self.watch_tools();
    }

    fn watch_tools(&mut self) {
        let due = self.runs.next_due();
        self.timers.set_or_stop(Timer::Tool, due);
    }
}
