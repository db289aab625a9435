//! One item of a response: what it will be, and how much of it has been sent.

use bytes::Bytes;
use serde_json::{Value, json};

use super::mcp::Server;

#[derive(Debug)]
pub(super) enum Body {
    Spoken {
        audio: Bytes,
        transcript: String,
    },
    Written {
        text: String,
    },
    Call {
        call_id: String,
        name: String,
        arguments: String,
    },
    /// A call the server makes itself.
    Served {
        server: Server,
        name: String,
        arguments: String,
        output: Option<Result<String, String>>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Planned,
    Open,
    Closed,
}

#[derive(Debug)]
pub(super) struct Output {
    pub(super) item_id: String,
    pub(super) body: Body,
    pub(super) phase: Phase,
    pub(super) sent_bytes: usize,
    pub(super) sent_text: String,
    /// Ends as `incomplete`, as its response does.
    pub(super) cut: bool,
}

impl Output {
    pub(super) fn new(item_id: String, body: Body) -> Self {
        Self {
            item_id,
            body,
            phase: Phase::Planned,
            sent_bytes: 0,
            sent_text: String::new(),
            cut: false,
        }
    }

    /// The item as events show it.
    pub(super) fn item(&self, status: &str) -> Value {
        let mut item = json!({"id": self.item_id, "object": "realtime.item", "status": status});
        if let Body::Call { call_id, name, .. } = &self.body {
            item["type"] = "function_call".into();
            item["name"] = name.clone().into();
            item["call_id"] = call_id.clone().into();
            item["arguments"] = self.sent_text.clone().into();
            return item;
        }
        if let Body::Served {
            server,
            name,
            output,
            ..
        } = &self.body
        {
            let (output, error) = match output {
                None => (Value::Null, Value::Null),
                Some(Ok(output)) => (output.clone().into(), Value::Null),
                Some(Err(error)) => (
                    Value::Null,
                    json!({"type": "tool_execution_error", "message": error}),
                ),
            };
            return json!({
                "id": self.item_id, "type": "mcp_call", "server_label": server.label, "name": name,
                "arguments": self.sent_text, "approval_request_id": null, "output": output, "error": error,
            });
        }
        item["type"] = "message".into();
        item["role"] = "assistant".into();
        item["content"] = match &self.body {
            _ if status == "in_progress" => json!([]),
            Body::Spoken { .. } => json!([{"type": "output_audio", "transcript": self.sent_text}]),
            _ => json!([{"type": "output_text", "text": self.sent_text}]),
        };
        item
    }

    /// The content part; a call has none.
    pub(super) fn part(&self, text: &str) -> Option<Value> {
        match &self.body {
            Body::Spoken { .. } => Some(json!({"type": "audio", "transcript": text})),
            Body::Written { .. } => Some(json!({"type": "text", "text": text})),
            Body::Call { .. } | Body::Served { .. } => None,
        }
    }
}
