//! Tools beside the conversation: begun once, waited for, answered once; audio and interruption go on meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Call;
use super::effect::{Effect, Peer, Report};
use super::timers::Timer;
use super::tools::ToolCall;
use crate::ids::{CallSid, ModelId, clip};
use crate::model::command::{ModelCommand, Role};
use crate::model::link::Link;
use crate::playback::Settled;
use crate::time::Time;
use crate::tool::memory::{Meaning, TOLD_MS, Told, ToolMemory, ToolRecord};
use crate::tool::{
    FillerWords, MAX_ARGUMENTS, ToolFinished, ToolResult, ToolRun, ToolSpec, failure, key,
    outcome_unknown,
};

/// The runner keeps time itself and knows more; the machine's own deadline comes after its word.
const GRACE: Duration = Duration::from_millis(250);

/// A filler after the first one comes no sooner than this.
const FILLER_AGAIN: Duration = Duration::from_secs(4);

/// Runs at a time in one call.
const AT_ONCE: usize = 32;

/// Responses remembered, to know which outcomes they may have told.
const ANSWERS: usize = 8;

/// Bytes of an output told outside the answer of its call.
const TOLD: usize = 8 * 1024;

const ENOUGH_TOOLS: &str = "Do not call any more tools now. Tell the caller in a sentence or two what you know, and what \
                            you could not find out.";

/// The runs of a call.
#[derive(Debug, Default)]
pub(super) struct ToolRuns {
    pub(super) memory: ToolMemory,
    live: Vec<Live>,
    /// Responses whose tool calls want an answer, when all of them have their outputs.
    asking: Vec<ModelId>,
    /// The last responses, each with the outcomes its model had when it began.
    answers: VecDeque<(ModelId, Vec<u32>)>,
    /// Calls since the caller's last turn.
    in_turn: u32,
    fillers: u32,
}

/// A run that is not over.
#[derive(Debug)]
struct Live {
    number: u32,
    since: Time,
    due: Time,
    /// The calls of this session that want its output.
    waiters: Vec<ToolCall>,
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

    fn answers_of(&self, response: &ModelId) -> bool {
        let mut waiters = self.live.iter().flat_map(|run| &run.waiters);
        waiters.any(|waiter| waiter.response == *response)
    }

    /// The response that made calls wants to be followed by an answer.
    fn want_answer(&mut self, response: &ModelId) {
        if !self.asking.contains(response) {
            self.asking.push(response.clone());
        }
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
            self.owes_answer = true;
            self.run_again(number, now);
        }
        self.watch_tools();
    }

    /// The call's SID, from `start` or the ticket.
    #[must_use]
    pub fn call_sid(&self) -> Option<CallSid> {
        let stream = self.state.stream();
        stream.map(|stream| stream.call).or(self.setup.call)
    }

    /// The model calls a tool the service runs.
    pub(super) fn on_tool_call(&mut self, tool: ToolCall, name: &str, arguments: &str, now: Time) {
        let agent = self.setup.agent.clone();
        self.runs.in_turn += 1;
        if self.runs.in_turn <= agent.tools.calls_a_turn.saturating_add(1) {
            self.runs.want_answer(&tool.response);
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
                    key: key.clone(),
                    effects: spec.effects,
                    intent,
                    at_ms: now.as_millis(),
                    ms: None,
                    result: None,
                    output: None,
                    told: Told::Nobody,
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
        let output = record.and_then(|record| record.output.clone());
        let output = output.unwrap_or_else(outcome_unknown);
        self.answer_tool_with(tool, output, Some(number));
    }

    /// Runs what is under way once more, under its old key.
    fn run_again(&mut self, number: u32, now: Time) {
        let agent = self.setup.agent.clone();
        let Some(record) = self.runs.memory.get(number) else {
            return;
        };
        let arguments = read_arguments(&record.arguments).unwrap_or_default();
        let timeout = agent
            .tools
            .find(&record.tool)
            .map_or(Duration::ZERO, |spec: &ToolSpec| spec.timeout);
        let run = ToolRun {
            number,
            tool: record.tool.clone(),
            call: ModelId::new(&format!("again-{number}")),
            arguments,
            canonical: record.arguments.clone(),
            key: record.key.clone(),
            effects: record.effects,
            timeout,
        };
        if self.runs.live.iter().any(|live| live.number == number) {
            self.effects.push_back(Effect::RunTool(Box::new(run)));
        } else {
            self.begin_run(run, Vec::new(), now);
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
            self.run_again(number, now);
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
            return;
        };
        record.finish(finished.result, &finished.output, ms);
        let report = Report::Tool {
            tool: record.tool.clone(),
            number: finished.number,
            result: finished.result.label(),
            ms,
        };
        self.report(report);
        self.watch_tools();
        let is_news = !run.late
            || matches!(
                finished.result,
                ToolResult::Ok | ToolResult::Repeated | ToolResult::Refused | ToolResult::Failed
            );
        self.tell_outcome(finished.number, run.waiters, &finished.output, is_news);
        self.hand_in_answers();
    }

    /// The deadline of some run has come: the model is told so, and the caller need not wait.
    pub(super) fn on_tool_due(&mut self, now: Time) {
        let mut overdue = Vec::new();
        for run in &mut self.runs.live {
            if !run.late && run.due <= now {
                run.late = true;
                overdue.push((run.number, std::mem::take(&mut run.waiters)));
            }
        }
        for (number, waiters) in overdue {
            let output = match self.runs.memory.get(number) {
                Some(record) if record.effects => outcome_unknown(),
                Some(record) => failure(&format!("{} did not answer in time", record.tool)),
                None => continue,
            };
            self.tell_outcome(number, waiters, &output, true);
        }
        self.hand_in_answers();
        self.watch_tools();
    }

    /// Hands an outcome in where it was asked for; in a session that did not ask, it is told as news.
    fn tell_outcome(&mut self, number: u32, waiters: Vec<ToolCall>, output: &str, is_news: bool) {
        if !waiters.is_empty() {
            for waiter in waiters {
                self.keep_answer(waiter, output.to_owned(), Some(number));
            }
            return;
        }
        if !is_news {
            return;
        }
        if !matches!(self.link, Link::Ready(_)) {
            // The next session learns it from its briefing.
            self.owes_answer = true;
            return;
        }
        let Some(record) = self.runs.memory.get(number) else {
            return;
        };
        let text = format!(
            "The tool {}, called earlier with {}, has answered: {}",
            record.tool,
            clip(&record.arguments, TOLD),
            clip(output, TOLD)
        );
        self.ask_model(ModelCommand::Tell {
            role: Role::System,
            text,
        });
        self.outcome_given(number);
        if !self.caller_speaks {
            self.ask_for_answer(None);
        }
    }

    /// The server ran tools of its own (MCP) and has the outputs; the model is asked to go on, within the same limit.
    pub(super) fn on_server_calls(&mut self, calls: u32) {
        let most = self.setup.agent.tools.calls_a_turn;
        let before = self.runs.in_turn;
        self.runs.in_turn = before.saturating_add(calls);
        if before > most {
            self.violation(Peer::Model, "tool_loop");
            return;
        }
        if !self.caller_speaks {
            self.ask_about_tools();
        }
    }

    /// The model has the outcome of a run.
    pub(super) fn outcome_given(&mut self, number: u32) {
        if let Some(record) = self.runs.memory.get_mut(number)
            && record.result.is_some()
            && record.told == Told::Nobody
        {
            record.told = Told::Model;
        }
    }

    /// All outputs of a response are handed in: now, and once, the model is asked to go on.
    pub(super) fn answer_to_tools(&mut self) {
        let (asking, runs) = (std::mem::take(&mut self.runs.asking), &self.runs);
        let (wait, ready): (Vec<_>, Vec<_>) = asking.into_iter().partition(|response| {
            self.responses.is_running(response)
                || runs.answers_of(response)
                || self.tools.is_waiting_for(response)
        });
        self.runs.asking = wait;
        if ready.is_empty() || self.caller_speaks {
            // A caller who speaks is answered when he is done, with all of this before it.
            return;
        }
        self.ask_about_tools();
    }

    fn ask_about_tools(&mut self) {
        let enough = self.runs.in_turn > self.setup.agent.tools.calls_a_turn;
        self.ask_for_answer(enough.then(|| ENOUGH_TOOLS.to_owned()));
    }

    /// A running response is about to be done: if all its calls have their outputs, the answer to them and any other
    /// that is owed are one.
    pub(super) fn join_tool_answer(&mut self, response: &ModelId) {
        let wants = self.runs.asking.contains(response);
        if !wants || self.runs.answers_of(response) || !self.responses.is_running(response) {
            return;
        }
        self.runs.asking.retain(|asking| asking != response);
        if !self.caller_speaks {
            self.ask_about_tools();
        }
    }

    /// A response begins: what its model knows now, it may tell.
    pub(super) fn tools_answered_in(&mut self, response: &ModelId) {
        let given = |record: &&ToolRecord| record.told == Told::Model;
        let known: Vec<u32> = self
            .runs
            .memory
            .records()
            .filter(given)
            .map(|record| record.number)
            .collect();
        if known.is_empty() {
            return;
        }
        if self.runs.answers.len() == ANSWERS {
            self.runs.answers.pop_front();
        }
        self.runs.answers.push_back((response.clone(), known));
    }

    /// The caller heard a part of a response.
    pub(super) fn tools_told(&mut self, settled: &Settled) {
        if settled.heard_ms == 0 || (settled.cut && settled.heard_ms < TOLD_MS) {
            return;
        }
        let of_response = |(response, _): &&(ModelId, Vec<u32>)| *response == settled.key.response;
        let Some((_, known)) = self.runs.answers.iter().find(of_response) else {
            return;
        };
        for number in known {
            if let Some(record) = self.runs.memory.get_mut(*number)
                && record.told == Told::Model
            {
                record.told = Told::Caller;
            }
        }
    }

    /// The caller took a turn.
    pub(super) fn caller_asks(&mut self) {
        self.runs.in_turn = 0;
        self.runs.memory.caller_spoke();
    }

    /// The session is gone: runs go on, and the next session is told what came of them.
    pub(super) fn lose_tool_session(&mut self) {
        let unanswered = self.runs.live.iter().any(|run| !run.waiters.is_empty());
        self.owes_answer |= unanswered || !self.runs.asking.is_empty();
        for run in &mut self.runs.live {
            run.waiters.clear();
        }
        self.runs.asking.clear();
        self.runs.answers.clear();
        self.runs.memory.session_lost();
    }

    /// A new session was told what came of the tools.
    pub(super) fn tools_briefed(&mut self) {
        let records = self.runs.memory.records();
        let numbers: Vec<u32> = records.map(|record| record.number).collect();
        for number in numbers {
            self.outcome_given(number);
        }
    }

    fn watch_tools(&mut self) {
        let due = self.runs.next_due();
        self.timers.set_or_stop(Timer::Tool, due);
    }

    /// The line is quiet, or is not: silence with a tool running is filled.
    pub(super) fn watch_filler(&mut self, quiet: bool, now: Time) {
        let agent = self.setup.agent.clone();
        let Some(filler) = agent
            .tools
            .filler
            .as_ref()
            .filter(|_| quiet && self.runs.awaits())
        else {
            self.timers.stop(Timer::Filler);
            return;
        };
        if !self.timers.is_set(Timer::Filler) {
            let after = if self.runs.fillers == 0 {
                filler.after
            } else {
                filler.after.max(FILLER_AGAIN)
            };
            self.timers.set(Timer::Filler, now + after);
        }
    }

    pub(super) fn on_filler_due(&mut self, now: Time) {
        let agent = self.setup.agent.clone();
        let Some(filler) = agent.tools.filler.as_ref().filter(|_| self.runs.awaits()) else {
            return;
        };
        self.runs.fillers += 1;
        match &filler.words {
            FillerWords::Model { instructions } => {
                self.ask_for_answer(Some(instructions.clone()));
            }
            FillerWords::Clip { audio, text } => {
                let item = format!("filler-{}", now.as_millis());
                self.play_clip(&item, audio, text, now);
                self.tell_of_clip(text);
            }
        }
    }
}
