//! What every part of a session writes to: the outbox, the conversation, the log.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::conversation::Conversation;
use super::inspect::{ItemTruth, SessionLog};
use super::mcp::Server;
use super::send_queue::Outbox;
use super::sound::Format;

/// The shared part of a session.
#[derive(Debug)]
pub(crate) struct SessionIo {
    pub(crate) outbox: Outbox,
    pub(crate) conversation: Conversation,
    pub(crate) log: Arc<SessionLog>,
    pub(crate) input_format: Format,
    pub(crate) instructions_length: u64,
    pub(crate) model: String,
    /// Tokens left in a hundred, and the seconds until they are there again, if that is to be told.
    pub(crate) scarce: Option<(u8, u8)>,
    /// Tools of servers, by name.
    pub(crate) served: HashMap<String, Server>,
    responses: u64,
}

impl SessionIo {
    pub(crate) fn new(seed: u64, log: Arc<SessionLog>) -> Self {
        Self {
            outbox: Outbox::new(seed),
            conversation: Conversation::default(),
            log,
            input_format: Format::Pcm,
            instructions_length: 0,
            model: String::new(),
            scarce: None,
            served: HashMap::new(),
            responses: 0,
        }
    }

    /// `conversation.item.added` for an item that is in the conversation.
    pub(crate) fn emit_added(&mut self, id: &str) {
        let Some(item) = self.conversation.get(id) else {
            return;
        };
        let previous = self.conversation.previous_id(id);
        let added = json!({"previous_item_id": previous, "item": item.json});
        self.outbox.emit("conversation.item.added", added);
    }

    /// `conversation.item.done`, with the item as it is now.
    pub(crate) fn emit_done(&mut self, id: &str, item: &Value) {
        let previous = self.conversation.previous_id(id);
        let done = json!({"previous_item_id": previous, "item": item});
        self.outbox.emit("conversation.item.done", done);
    }

    /// Both, for an item that is complete when it comes.
    pub(crate) fn emit_whole(&mut self, id: &str) {
        self.emit_added(id);
        if let Some(json) = self.conversation.get(id).map(|item| item.json.clone()) {
            self.emit_done(id, &json);
        }
    }

    /// Begins the truth about an item.
    pub(crate) fn log_item(&self, id: &str, from_client: bool) {
        let Some(item) = self.conversation.get(id) else {
            return;
        };
        let truth = ItemTruth {
            id: id.to_owned(),
            kind: item.kind().to_owned(),
            role: item.role().map(str::to_owned),
            text: item.text(),
            generated_ms: item.generated_ms().unwrap_or(0),
            truncated_to_ms: None,
            deleted: false,
            from_client,
        };
        self.log.update(|state| state.items.push(truth));
    }

    pub(crate) fn log_item_text(&self, id: &str, text: &str) {
        self.log.item(id, |item| text.clone_into(&mut item.text));
    }

    /// `rate_limits.updated`, as at the start of each response. The numbers go down and come back.
    pub(crate) fn rate_limits(&mut self) {
        self.responses += 1;
        let used = self.responses % 100;
        let (tokens, token_reset) = match self.scarce {
            Some((percent, seconds)) => (8_000 * u64::from(percent), f64::from(seconds)),
            None => (800_000 - 1_500 * used, 3.285),
        };
        let limits = json!({"rate_limits": [
            {"name": "requests", "limit": 200, "remaining": 200 - used, "reset_seconds": 0.3},
            {"name": "tokens", "limit": 800_000, "remaining": tokens, "reset_seconds": token_reset},
        ]});
        self.outbox.emit("rate_limits.updated", limits);
    }
}
