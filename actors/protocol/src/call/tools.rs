//! What the model asks to be done.

use super::Call;
use super::effect::Peer;
use super::event::{ItemDone, ItemKind};
use crate::ids::ModelId;
use crate::model::command::ModelCommand;
use crate::time::Time;

/// The tool by which the model ends the call.
pub const END_CALL: &str = "end_call";

/// The tool by which the model sends the caller to somebody else; its argument `target` names whom.
pub const TRANSFER_CALL: &str = "transfer_call";

impl Call {
    pub(super) fn on_item_done(&mut self, response: &ModelId, item: ItemDone, now: Time) {
        match item.kind {
            ItemKind::Message | ItemKind::Other => {}
            ItemKind::ToolCall {
                call,
                name,
                arguments,
                complete,
            } => {
                if !complete {
                    self.violation(Peer::Model, "incomplete_tool_call");
                    return;
                }
                match name.as_str() {
                    END_CALL => self.on_end_call(response, call, now),
                    TRANSFER_CALL => self.on_transfer_call(call, &arguments, now),
                    _ => {
                        // An unanswered call leaves the model waiting; it is told the truth and goes on talking.
                        let text = format!("there is no tool named {name}");
                        let output = serde_json::json!({ "error": text }).to_string();
                        self.give_output(call, output);
                        self.ask_for_answer(None);
                    }
                }
            }
        }
    }

    /// Answers a tool call: at once, or when the response that holds it is done. Earlier the server does not know it.
    pub(super) fn give_output(&mut self, call: ModelId, output: String) {
        let command = ModelCommand::ToolOutput { call, output };
        if self.responses.is_running() {
            self.outputs.push(command);
        } else {
            self.ask_model(command);
        }
    }

    fn on_transfer_call(&mut self, call: ModelId, arguments: &str, now: Time) {
        let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap_or_default();
        let target = arguments["target"].as_str().unwrap_or_default();
        if self
            .setup
            .agent
            .transfer_targets
            .iter()
            .any(|known| known == target)
        {
            self.transfer(target.to_owned(), Some(call), now);
            return;
        }
        self.violation(Peer::Model, "unknown_transfer_target");
        let known = self.setup.agent.transfer_targets.join(", ");
        let output = serde_json::json!({"error": format!("nobody by that name; known: {known}")})
            .to_string();
        self.give_output(call, output);
        self.ask_for_answer(None);
    }
}
