//! Server events on their way to the socket: ids, names, the order they go out in.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::check::ApiError;
use super::faults::Telling;
use super::mcp::Ask;

/// Every how many events a stranger is mixed in.
const STRANGER_EVERY: u64 = 4;

/// Invents ids of the API's shape; the same ones for the same seed.
#[derive(Debug)]
pub(crate) struct Ids(fastrand::Rng);

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// `prefix_` and 21 letters and digits.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        self.sized(prefix, 21)
    }

    /// Call ids are shorter.
    pub(crate) fn call_id(&mut self) -> String {
        self.sized("call", 16)
    }

    pub(crate) fn rng(&mut self) -> &mut fastrand::Rng {
        &mut self.0
    }

    fn sized(&mut self, prefix: &str, length: usize) -> String {
        let mut id = String::with_capacity(prefix.len() + 1 + length);
        id.push_str(prefix);
        id.push('_');
        id.extend(std::iter::repeat_with(|| self.0.alphanumeric()).take(length));
        id
    }
}

/// What the socket's task has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// Send this event.
    Event { text: Utf8Bytes, audio: bool },
    /// Send this event and do not record it.
    Unrecorded(Utf8Bytes),
    /// Send these frames as they are.
    Frames(Vec<Message>),
    /// Send a close frame; nothing follows.
    Close { code: u16, reason: String },
    /// End the connection with a TCP reset.
    Reset,
    /// Do nothing, for that long or for ever.
    Stall(Option<Duration>),
    /// Ask a server of tools, and tell the engine.
    Ask(Ask),
}

/// Where an audio delta belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) response_id: &'a str,
    pub(crate) item_id: &'a str,
    pub(crate) output_index: usize,
}

impl Place<'_> {
    /// The fields every event about a content part has.
    pub(crate) fn fields(&self) -> Value {
        json!({
            "response_id": self.response_id,
            "item_id": self.item_id,
            "output_index": self.output_index,
            "content_index": 0,
        })
    }
}

/// Whether an event is told by a server that tells of tool calls in one event alone; takes them out of others.
fn is_told(telling: Telling, kind: &str, fields: &mut Value) -> bool {
    let is_call = |item: &Value| item["type"] == "function_call";
    match kind {
        "response.function_call_arguments.done" => telling == Telling::Arguments,
        "response.function_call_arguments.delta" => false,
        "response.done" => {
            let output = fields["response"]["output"].as_array_mut();
            if let (Telling::Arguments, Some(output)) = (telling, output) {
                output.retain(|item| !is_call(item));
            }
            true
        }
        _ => !is_call(&fields["item"]),
    }
}

/// Builds events and keeps them in order.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) mint: Ids,
    pub(crate) beta_names: bool,
    pub(crate) strangers: bool,
    pub(crate) items_twice: bool,
    pub(crate) calls_told_in: Option<Telling>,
    pub(crate) other_transcript: Option<String>,
    queue: VecDeque<Outgoing>,
    emitted: u64,
}

impl Outbox {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            mint: Ids::new(seed),
            beta_names: false,
            strangers: false,
            items_twice: false,
            calls_told_in: None,
            other_transcript: None,
            queue: VecDeque::new(),
            emitted: 0,
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Outgoing> {
        self.queue.pop_front()
    }

    pub(crate) fn push(&mut self, outgoing: Outgoing) {
        self.queue.push_back(outgoing);
    }

    /// Before everything that still waits.
    pub(crate) fn push_front(&mut self, outgoing: Outgoing) {
        self.queue.push_front(outgoing);
    }

    /// Queues an event; `fields` is an object.
    pub(crate) fn emit(&mut self, kind: &str, mut fields: Value) {
        if let Some(telling) = self.calls_told_in
            && !is_told(telling, kind, &mut fields)
        {
            return;
        }
        if let Some(text) = &self.other_transcript
            && kind == "response.output_audio_transcript.done"
        {
            fields["transcript"] = text.clone().into();
        }
        self.stranger();
        if self.strangers
            && let Some(fields) = fields.as_object_mut()
        {
            fields.insert("x_new_field".to_owned(), json!({"deep": [1, null]}));
        }
        let event_id = self.mint.id("event");
        let twice = self.items_twice && kind == "response.output_item.done";
        let kind = self.wire_name(kind);
        let fields = fields.to_string();
        let mut text = format!("{{\"type\":\"{kind}\",\"event_id\":\"{event_id}\"");
        if fields.len() > 2 {
            text.push(',');
            text.push_str(&fields[1..]);
        } else {
            text.push('}');
        }
        let text: Utf8Bytes = text.into();
        if twice {
            self.queue.push_back(Outgoing::Event {
                text: text.clone(),
                audio: false,
            });
        }
        self.queue.push_back(Outgoing::Event { text, audio: false });
    }

    pub(crate) fn emit_error(&mut self, error: &ApiError, event_id: Option<&str>) {
        self.emit("error", error.body(event_id));
    }

    /// Queues audio. Written by hand: it is most of what a session sends.
    pub(crate) fn emit_audio(&mut self, place: Place<'_>, audio: &[u8]) {
        self.stranger();
        let text = self.audio_delta(place, audio);
        self.queue.push_back(Outgoing::Event { text, audio: true });
    }

    /// The text of an audio delta, not queued.
    pub(crate) fn audio_delta(&mut self, place: Place<'_>, audio: &[u8]) -> Utf8Bytes {
        let event_id = self.mint.id("event");
        let kind = self.wire_name("response.output_audio.delta");
        let mut text = String::with_capacity(260 + audio.len() * 4 / 3);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{{\"type\":\"{kind}\",\"event_id\":\"{event_id}\",\"response_id\":\"{}\",\"item_id\":\"{}\",\"output_index\":{},\"content_index\":0,\"delta\":\"",
            place.response_id, place.item_id, place.output_index
        );
        STANDARD.encode_string(audio, &mut text);
        text.push_str("\"}");
        text.into()
    }

    fn wire_name<'a>(&self, kind: &'a str) -> std::borrow::Cow<'a, str> {
        if self.beta_names && kind.starts_with("response.output_") && !kind.contains("output_item")
        {
            return kind.replacen("output_", "", 1).into();
        }
        kind.into()
    }

    fn stranger(&mut self) {
        self.emitted += 1;
        if !self.strangers || !self.emitted.is_multiple_of(STRANGER_EVERY) {
            return;
        }
        let event_id = self.mint.id("event");
        let text =
            json!({"type": "response.mood.updated", "event_id": event_id, "mood": {"calm": 0.7}});
        self.queue.push_back(Outgoing::Event {
            text: text.to_string().into(),
            audio: false,
        });
    }
}
