//! The way of a tool's outcome: to the model, into one answer, to the caller, and again to a new session.

use super::Call;
use super::effect::Peer;
use super::tools::ToolCall;
use crate::ids::{ModelId, clip};
use crate::model::command::{ModelCommand, Role};
use crate::model::link::Link;
use crate::phone::playback::Settled;
use crate::tool::memory::{Delivery, TOLD_MS, ToolRecord};

/// Responses remembered, to know which outcomes they may have told.
const ANSWERS: usize = 8;

/// Bytes of an output told outside the answer of its call.
const TOLD: usize = 8 * 1024;

const ENOUGH_TOOLS: &str = "Do not call any more tools now. Tell the caller in a sentence or two what you know, and what \
                            you could not find out.";

impl Call {
    /// Hands an outcome in where it was asked for; in a session that did not ask, it is told as news.
    pub(super) fn tell_outcome(
        &mut self,
        number: u32,
        waiters: Vec<ToolCall>,
        output: &str,
        is_news: bool,
    ) {
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
            self.floor.owe();
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
        let command = self.floor.tools_ran(None);
        self.ask_model_if(command);
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
        let words = self.tool_words();
        let command = self.floor.tools_ran(words);
        self.ask_model_if(command);
    }

    /// The model has the outcome of a run.
    pub(super) fn outcome_given(&mut self, number: u32) {
        if let Some(record) = self.runs.memory.get_mut(number)
            && record.result.is_some()
            && record.told == Delivery::Pending
        {
            record.told = Delivery::ToModel;
        }
    }

    /// All outputs of a response are handed in: now, and once, the model is asked to go on.
    pub(super) fn answer_to_tools(&mut self) {
        let words = self.tool_words();
        let (runs, tools) = (&self.runs, &self.tools);
        let awaits =
            |response: &ModelId| runs.answers_of(response) || tools.is_waiting_for(response);
        let command = self.floor.tools_answered(awaits, words);
        self.ask_model_if(command);
    }

    /// What an answer to tools is for: after too many calls in a turn, to come to an end.
    pub(super) fn tool_words(&self) -> Option<String> {
        let enough = self.runs.in_turn > self.setup.agent.tools.calls_a_turn;
        enough.then(|| ENOUGH_TOOLS.to_owned())
    }

    /// A response begins: what its model knows now, it may tell.
    pub(super) fn tools_answered_in(&mut self, response: &ModelId) {
        if std::mem::take(&mut self.runs.going_on) {
            return;
        }
        let given = |record: &&ToolRecord| record.told == Delivery::ToModel;
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
                && record.told == Delivery::ToModel
            {
                record.told = Delivery::Heard;
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
        self.floor.forget_tools(unanswered);
        for run in &mut self.runs.live {
            run.waiters.clear();
        }
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
}
