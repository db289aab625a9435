//! Client events: read strictly, carried out or refused as the API does (developers.openai.com, *Realtime client events*).

use std::borrow::Cow;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Cancel;
use super::check::{ApiError, At, Checked};
use super::engine::Engine;
use super::plan::Terms;
use super::script_cursor::Cause;
use super::sound::Format;
use super::{echo, schema};

/// Longest `audio` of one append.
const APPEND_LIMIT: usize = 15 * 1024 * 1024;

const KINDS: &[&str] = &[
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "output_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "conversation.item.delete",
    "response.create",
    "response.cancel",
];

/// `input_audio_buffer.append`, borrowed from the frame: fifty of them come every second.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Append<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    audio: Cow<'a, str>,
    #[serde(borrow, default)]
    event_id: Option<Cow<'a, str>>,
}

impl Engine {
    /// A text frame of the client.
    pub(crate) fn receive(&mut self, text: &str, now: Instant) {
        if let Ok(append) = serde_json::from_str::<Append<'_>>(text)
            && append.kind == "input_audio_buffer.append"
        {
            if let Err(error) = self.append(&append.audio, now) {
                self.stage
                    .outbox
                    .emit_error(&error, append.event_id.as_deref());
            }
            return;
        }
        let event: Value = serde_json::from_str(text).unwrap_or_default();
        let kind = event
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.stage.log.received(now, kind, text);
        self.book_echo();
        let event_id = event.get("event_id").and_then(Value::as_str);
        if let Err(error) = self.carry_out(&event, now) {
            self.stage.outbox.emit_error(&error, event_id);
        }
    }

    /// A binary frame: nothing the API knows.
    pub(crate) fn receive_binary(&mut self) {
        let error = ApiError::new("invalid_event", "Binary frames are not supported.");
        self.stage.outbox.emit_error(&error, None);
    }

    fn carry_out(&mut self, event: &Value, now: Instant) -> Checked<()> {
        let at = At::new("", event);
        if !event.is_object() {
            return Err(ApiError::new(
                "invalid_event",
                "The event is not a JSON object.",
            ));
        }
        let Some(kind_at) = at.given("type") else {
            return Err(ApiError::new("invalid_event", "The 'type' field is missing.").at("type"));
        };
        if let Some(event_id) = at.given("event_id") {
            event_id.text_up_to(512)?;
        }
        match kind_at.choice(KINDS)? {
            "session.update" => self.session_update(&at),
            "input_audio_buffer.append" => {
                at.object(&["type", "event_id", "audio"])?;
                self.append(at.need("audio")?.text()?, now)
            }
            "input_audio_buffer.commit" => {
                at.object(&["type", "event_id"])?;
                self.commit(now)
            }
            "input_audio_buffer.clear" => {
                at.object(&["type", "event_id"])?;
                self.input.clear();
                self.stage
                    .outbox
                    .emit("input_audio_buffer.cleared", json!({}));
                Ok(())
            }
            // Means something on WebRTC and SIP only.
            "output_audio_buffer.clear" => at.object(&["type", "event_id"]).map(|_| ()),
            "conversation.item.create" => self.item_create(&at),
            "conversation.item.retrieve" => {
                at.object(&["type", "event_id", "item_id"])?;
                let item = self
                    .stage
                    .conversation
                    .retrieve(at.need("item_id")?.text()?)?;
                self.stage
                    .outbox
                    .emit("conversation.item.retrieved", json!({"item": item}));
                Ok(())
            }
            "conversation.item.truncate" => self.item_truncate(&at),
            "conversation.item.delete" => {
                at.object(&["type", "event_id", "item_id"])?;
                let id = at.need("item_id")?.text()?;
                self.stage.conversation.delete(id)?;
                self.stage.log.item(id, |item| item.deleted = true);
                self.stage
                    .outbox
                    .emit("conversation.item.deleted", json!({"item_id": id}));
                Ok(())
            }
            "response.create" => self.response_create(&at, now),
            _ => self.response_cancel(&at, now),
        }
    }

    fn session_update(&mut self, at: &At<'_>) -> Checked<()> {
        at.object(&["type", "event_id", "session"])?;
        let assistant_spoke = self.stage.conversation.assistant_spoke;
        self.config
            .update(at.need("session")?.value(), assistant_spoke)?;
        if self.quirks.other_formats {
            self.config.force_output_format(Format::Pcm);
        }
        if self.quirks.never_interrupts {
            self.config.never_interrupt();
        }
        self.took_configuration();
        let mut updated = json!({"session": self.config.to_json()});
        if self.quirks.silent_on_formats
            && let Some(session) = updated["session"].as_object_mut()
        {
            session.remove("audio");
        }
        self.stage.outbox.emit("session.updated", updated);
        self.list_tools();
        Ok(())
    }

    fn append(&mut self, audio: &str, now: Instant) -> Checked<()> {
        if echo::is_probe(audio) {
            self.probe(audio, now);
            return Ok(());
        }
        if self.echo_swallows(now) {
            return Ok(());
        }
        if audio.len() > APPEND_LIMIT {
            let length = audio.len();
            return Err(ApiError::new(
                "string_above_max_length",
                format!("Invalid 'audio': string too long. Expected a string with maximum length {APPEND_LIMIT}, but got a string with length {length} instead."),
            )
            .at("audio"));
        }
        let format = self.input.format();
        let bytes = STANDARD.decode(audio).unwrap_or_default();
        if bytes.is_empty() || (format == Format::Pcm && !bytes.len().is_multiple_of(2)) {
            return Err(ApiError::new(
                "invalid_value",
                "Invalid 'audio'. Expected base64-encoded audio bytes but got an invalid value.",
            )
            .at("audio"));
        }
        self.stage.log.appended(now, &bytes, format);
        for slice in bytes.chunks(self.input.slice_bytes()) {
            if let Some(event) = self.input.feed(slice) {
                self.heard(event, now);
            }
        }
        Ok(())
    }

    fn commit(&mut self, now: Instant) -> Checked<()> {
        let audio = self.input.commit()?;
        let id = self.announced_item();
        let text = self.prompter.transcript();
        self.commit_item(&id, audio, text, now);
        self.prompter.caller_turn();
        Ok(())
    }

    fn item_create(&mut self, at: &At<'_>) -> Checked<()> {
        at.object(&["type", "event_id", "previous_item_id", "item"])?;
        let mint = &mut self.stage.outbox.mint;
        let item = at.need("item")?;
        let previous = at.given("previous_item_id");
        let item = self
            .stage
            .conversation
            .create(&item, previous.as_ref(), || mint.id("item"))?;
        match (item.kind(), item.role()) {
            ("message", Some("user")) => self.prompter.user_item(),
            ("message", Some("assistant")) | ("function_call", _) => self.prompter.assistant_item(),
            ("function_call_output", _) => self.prompter.tool_output(),
            _ => {}
        }
        let id = item.id.clone();
        self.stage.emit_whole(&id);
        self.stage.log_item(&id, true);
        let position = self.prompter.position();
        self.stage.log.update(|state| state.position = position);
        Ok(())
    }

    fn item_truncate(&mut self, at: &At<'_>) -> Checked<()> {
        at.object(&[
            "type",
            "event_id",
            "item_id",
            "content_index",
            "audio_end_ms",
        ])?;
        let id = at.need("item_id")?.text()?;
        let content_index = at.need("content_index")?.integer(0, i64::from(u32::MAX))?;
        let end_ms = at.need("audio_end_ms")?.integer(0, i64::from(u32::MAX))?;
        let cut = end_ms.unsigned_abs();
        self.stage.conversation.truncate(id, content_index, cut)?;
        self.stage
            .log
            .item(id, |item| item.truncated_to_ms = Some(cut));
        let truncated =
            json!({"item_id": id, "content_index": content_index, "audio_end_ms": end_ms});
        self.stage
            .outbox
            .emit("conversation.item.truncated", truncated);
        Ok(())
    }

    fn response_create(&mut self, at: &At<'_>, now: Instant) -> Checked<()> {
        at.object(&["type", "event_id", "response"])?;
        let mut terms = self.terms();
        if let Some(response) = at.given("response") {
            self.read_terms(&response, &mut terms)?;
        }
        let cause = match terms.conversation_id {
            Some(_) => Cause::Create,
            None => Cause::Aside,
        };
        self.respond_with(cause, terms, now)
    }

    fn read_terms(&self, at: &At<'_>, terms: &mut Terms) -> Checked<()> {
        at.object(&[
            "conversation",
            "input",
            "instructions",
            "output_modalities",
            "audio",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "reasoning",
            "max_output_tokens",
            "metadata",
            "prompt",
        ])?;
        schema::generation(at, &self.config.model)?;
        if let Some(conversation) = at.given("conversation")
            && conversation.choice(&["auto", "none"])? == "none"
        {
            terms.conversation_id = None;
        }
        if let Some(modalities) = at.get("output_modalities") {
            terms.output_modalities = modalities.value().clone();
        }
        if let Some(limit) = at.get("max_output_tokens") {
            terms.max_output_tokens = limit.value().clone();
        }
        if let Some(metadata) = at.given("metadata") {
            schema::metadata(&metadata)?;
            terms.metadata = metadata.value().clone();
        }
        if let Some(audio) = at.given("audio") {
            audio.object(&["output"])?;
            if let Some(output) = audio.given("output") {
                schema::audio_output(&output, &["format", "voice"])?;
                self.read_output(&output, terms);
            }
        }
        if let Some(input) = at.given("input") {
            for item in input.items()? {
                self.check_input(&item)?;
            }
        }
        Ok(())
    }

    fn read_output(&self, output: &At<'_>, terms: &mut Terms) {
        if let Some(format) = output.get("format") {
            terms.format = Format::from_json(format.value());
            if self.quirks.other_formats {
                terms.format = Format::Pcm;
            }
            if !self.quirks.wrong_audio {
                terms.wire_format = terms.format;
            }
        }
        if let Some(voice) = output.get("voice") {
            terms.voice = voice.value().clone();
        }
    }

    /// An entry of `response.input`: a whole item, or a reference to one of the conversation.
    fn check_input(&self, at: &At<'_>) -> Checked<()> {
        at.any_object()?;
        let kind = at.need("type")?;
        if kind.text()? != "item_reference" {
            return kind
                .choice(&[
                    "item_reference",
                    "message",
                    "function_call",
                    "function_call_output",
                ])
                .map(|_| ());
        }
        at.object(&["type", "id"])?;
        let id = at.need("id")?;
        match self.stage.conversation.get(id.text()?) {
            Some(_) => Ok(()),
            None => Err(id.invalid(format!("Item with id '{}' not found.", id.text()?))),
        }
    }

    fn response_cancel(&mut self, at: &At<'_>, now: Instant) -> Checked<()> {
        at.object(&["type", "event_id", "response_id"])?;
        let cancelled = match at.given("response_id") {
            None => self.cancel_active(Cancel::ClientCancelled, now),
            Some(wanted) => {
                let wanted = wanted.text()?;
                if self.active_response() == Some(wanted) {
                    self.cancel_active(Cancel::ClientCancelled, now)
                } else {
                    let index = self.answers.iter().position(|answer| answer.id == wanted);
                    if let Some(index) = index {
                        self.cancel(index, Cancel::ClientCancelled, now);
                    }
                    index.is_some()
                }
            }
        };
        if cancelled {
            return Ok(());
        }
        Err(ApiError::new(
            "response_cancel_not_active",
            "Cancellation failed: no active response found",
        ))
    }
}
