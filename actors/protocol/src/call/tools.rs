//! What the model asks to be done.

use std::collections::VecDeque;

use super::Call;
use super::closing::Farewell;
use super::effect::Peer;
use super::outcome::{Destination, EndReason};
use crate::ids::ModelId;
use crate::model::command::ModelCommand;
use crate::model::event::{ItemDone, ItemKind, ResponseDone, ResponseStatus};
use crate::model::responses::Verdict;
use crate::time::Time;
use crate::tool::failure;

/// The tool by which the model ends the call.
pub const END_CALL: &str = "end_call";

/// The tool by which the model sends the caller to somebody else; its argument `target` names whom.
pub const TRANSFER_CALL: &str = "transfer_call";

/// Calls remembered, so that one told twice is answered once; servers repeat only the last ones.
const REMEMBERED: usize = 64;

/// What a tool is told that would have ended a call in which the caller speaks.
const CALLER_SPEAKS: &str = r#"{"status":"the caller went on speaking, so the call goes on"}"#;

/// What a tool is told that was called in an answer the caller has spoken over.
const SPOKEN_OVER: &str = r#"{"status":"not done, because the caller went on speaking; call again if it is still wanted"}"#;

/// A tool call of the model.
#[derive(Clone, Debug)]
pub(super) struct ToolCall {
    /// The response that made it.
    pub(super) response: ModelId,
    /// Links the answer to it.
    pub(super) call: ModelId,
}

/// The tool calls of one session.
#[derive(Debug, Default)]
pub(super) struct ToolCalls {
    seen: VecDeque<ModelId>,
    /// Answers that wait until the response that made the call is done: earlier the server does not know it.
    waiting: Vec<Answer>,
    /// Calls whose arguments are complete and whose item has not been told, with their response.
    announced: VecDeque<(ModelId, ItemDone)>,
    /// The last response that called something; not every server lists that when the response is done.
    called_in: Option<ModelId>,
}

/// Calls announced at a time; a response has a few.
const ANNOUNCED: usize = 32;

/// The answer to a tool call.
#[derive(Debug)]
struct Answer {
    tool: ToolCall,
    output: String,
    /// The run whose outcome it is.
    run: Option<u32>,
}

impl ToolCalls {
    /// Whether this call came for the first time.
    fn is_new(&mut self, call: &ModelId) -> bool {
        if self.seen.contains(call) {
            return false;
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(call.clone());
        true
    }

    /// The arguments of a call are complete; most servers tell the whole of it next.
    pub(super) fn keep_arguments(&mut self, response: ModelId, item: ItemDone) {
        if self.announced.len() == ANNOUNCED {
            self.announced.pop_front();
        }
        self.announced.push_back((response, item));
    }

    fn forget_arguments(&mut self, call: &ModelId) {
        self.announced.retain(
            |(_, item)| !matches!(&item.kind, ItemKind::ToolCall { call: of, .. } if of == call),
        );
    }

    /// Calls of a response that were announced, or stand in its end, and were never told as items.
    fn untold(&mut self, done: &mut ResponseDone) -> Vec<ItemDone> {
        let mut untold = std::mem::take(&mut done.calls);
        let (of_response, others) = std::mem::take(&mut self.announced)
            .into_iter()
            .partition(|(response, _)| *response == done.id);
        self.announced = others;
        // Only the end of a response says whether what was announced in it is whole.
        if done.status == ResponseStatus::Completed {
            let of_response: VecDeque<(ModelId, ItemDone)> = of_response;
            untold.extend(of_response.into_iter().map(|(_, item)| item));
        }
        let mut calls: Vec<ModelId> = Vec::new();
        untold.retain(|item| {
            let ItemKind::ToolCall { call, .. } = &item.kind else {
                return false;
            };
            let is_first = !self.seen.contains(call) && !calls.contains(call);
            calls.push(call.clone());
            is_first
        });
        untold
    }

    /// Whether an answer waits for the end of this response.
    pub(super) fn is_waiting_for(&self, response: &ModelId) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|answer| answer.tool.response == *response)
    }
}

impl Call {
    pub(super) fn on_item_done(&mut self, response: &ModelId, item: ItemDone, now: Time) {
        let (call, name, arguments, complete) = match item.kind {
            ItemKind::ToolCall {
                call,
                name,
                arguments,
                complete,
            } => (call, name, arguments, complete),
            ItemKind::ServerCall { server, failed } => {
                return self.on_server_call(&item.id, &server, failed, now);
            }
            ItemKind::ApprovalRequest => return self.on_approval_request(item.id),
            ItemKind::Message | ItemKind::Other => return,
        };
        self.tools.forget_arguments(&call);
        if !complete {
            self.violation(Peer::Model, "incomplete_tool_call");
            return;
        }
        if !self.tools.is_new(&call) {
            self.violation(Peer::Model, "tool_call_again");
            return;
        }
        self.tools.called_in = Some(response.clone());
        // The caller has spoken over this response: what it wanted is no longer sure, and they will be answered anyway.
        let wanted = self.floor.verdict(response) == Verdict::Play;
        let tool = ToolCall {
            response: response.clone(),
            call,
        };
        match name.as_str() {
            END_CALL | TRANSFER_CALL if !wanted => self.answer_that_caller_speaks(tool),
            END_CALL => self.leave(EndReason::AgentHungUp, Farewell::Said(tool), now),
            TRANSFER_CALL => self.on_transfer_call(tool, &arguments, now),
            _ if !wanted => self.answer_tool(tool, SPOKEN_OVER.to_owned()),
            _ => self.on_tool_call(tool, &name, &arguments, now),
        }
    }

    /// A response is over: calls that were told in no item of their own are taken now. Whether it called anything.
    pub(super) fn take_untold_calls(&mut self, done: &mut ResponseDone, now: Time) -> bool {
        for item in self.tools.untold(done) {
            let response = done.id.clone();
            self.on_item_done(&response, item, now);
        }
        done.tool_calls > 0 || self.tools.called_in.as_ref() == Some(&done.id)
    }

    fn on_transfer_call(&mut self, tool: ToolCall, arguments: &str, now: Time) {
        let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap_or_default();
        let target = arguments["target"].as_str().unwrap_or_default();
        let targets = &self.setup.agent.transfer_targets;
        if targets.iter().any(|known| known == target) {
            let to = Destination::Target(target.to_owned());
            self.connect(to, Farewell::Said(tool), now);
            let summary = arguments["summary"].as_str().unwrap_or_default();
            self.closing.brief(summary);
            return;
        }
        let known = targets.join(", ");
        self.violation(Peer::Model, "unknown_transfer_target");
        self.refuse_tool(tool, &format!("nobody by that name; known: {known}"));
        self.ask_for_answer(None);
    }

    pub(super) fn refuse_tool(&mut self, tool: ToolCall, why: &str) {
        self.answer_tool(tool, failure(why));
    }

    pub(super) fn answer_that_caller_speaks(&mut self, tool: ToolCall) {
        self.answer_tool(tool, CALLER_SPEAKS.to_owned());
    }

    /// Answers a tool call: at once, or when the response that made it is done.
    pub(super) fn answer_tool(&mut self, tool: ToolCall, output: String) {
        self.answer_tool_with(tool, output, None);
    }

    /// The same with the outcome of a run, by its number.
    pub(super) fn answer_tool_with(&mut self, tool: ToolCall, output: String, run: Option<u32>) {
        self.keep_answer(tool, output, run);
        self.hand_in_answers();
    }

    /// Whether an answer waits for its response to be done.
    pub(super) fn has_answers_to_hand_in(&self) -> bool {
        !self.tools.waiting.is_empty()
    }

    /// Keeps an answer, to be handed in with others.
    pub(super) fn keep_answer(&mut self, tool: ToolCall, output: String, run: Option<u32>) {
        self.tools.waiting.push(Answer { tool, output, run });
    }

    /// Sends the answers whose response runs no more, then asks the model to go on where all are in.
    pub(super) fn hand_in_answers(&mut self) {
        for answer in std::mem::take(&mut self.tools.waiting) {
            if self.floor.is_running(&answer.tool.response) {
                self.tools.waiting.push(answer);
                continue;
            }
            let (call, output) = (answer.tool.call, answer.output);
            self.ask_model(ModelCommand::ToolOutput { call, output });
            if let Some(run) = answer.run {
                self.outcome_given(run);
            }
        }
        self.answer_to_tools();
    }

    /// There is another session, or none: it knows nothing of the calls before.
    pub(super) fn forget_tools(&mut self) {
        self.tools = ToolCalls::default();
        self.lose_tool_session();
    }
}
