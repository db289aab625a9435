//! Turn taking: the caller begins and stops to speak, is transcribed, says nothing for too long.

use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use super::answer::Cancel;
use super::conversation::caller_item;
use super::engine::{Engine, Later};
use super::script_cursor::Cause;
use super::vad::VadEvent;

impl Engine {
    /// What voice activity detection noticed.
    pub(crate) fn heard(&mut self, event: VadEvent, now: Instant) {
        match event {
            VadEvent::Started { at_ms } => self.speech_started(at_ms, now),
            VadEvent::Stopped { at_ms } => self.speech_stopped(at_ms, now),
        }
    }

    pub(crate) fn speech_started(&mut self, at_ms: u64, now: Instant) {
        let id = self.stage.outbox.mint.id("item");
        let started = json!({"audio_start_ms": at_ms, "item_id": id});
        self.stage
            .outbox
            .emit("input_audio_buffer.speech_started", started);
        self.input.announced_item = Some(id);
        if self
            .input
            .detection
            .is_some_and(|detection| detection.interrupt_response)
        {
            self.cancel_active(Cancel::TurnDetected, now);
        }
        self.idle_at = None;
    }

    fn speech_stopped(&mut self, at_ms: u64, now: Instant) {
        let id = self.announced_item();
        let stopped = json!({"audio_end_ms": at_ms, "item_id": id});
        self.stage
            .outbox
            .emit("input_audio_buffer.speech_stopped", stopped);
        let audio = self.input.take_turn();
        let text = self.prompter.transcript();
        self.commit_item(&id, audio, text, now);
        self.prompter.caller_turn();
        if self
            .input
            .detection
            .is_some_and(|detection| detection.create_response)
            && let Err(error) = self.respond(Cause::CallerTurn, now)
        {
            self.stage.outbox.emit_error(&error, None);
        }
    }

    /// The id promised by `speech_started`, or a new one.
    pub(crate) fn announced_item(&mut self) -> String {
        let announced = self.input.announced_item.take();
        announced.unwrap_or_else(|| self.stage.outbox.mint.id("item"))
    }

    /// Audio becomes an item of the caller; its transcript follows when it is ready.
    pub(crate) fn commit_item(&mut self, id: &str, audio: Bytes, text: String, now: Instant) {
        let committed = json!({
            "previous_item_id": self.stage.conversation.last_id(),
            "item_id": id,
        });
        self.stage
            .outbox
            .emit("input_audio_buffer.committed", committed);
        let audio_ms = self.input.format().ms(audio.len() as u64);
        self.stage.conversation.append(caller_item(id, audio));
        self.stage.emit_whole(id);
        self.stage.log_item(id, false);
        if self.config.transcribes() {
            let at = now + self.settings.transcription_delay;
            let item_id = id.to_owned();
            self.later.push((
                at,
                Later::Transcript {
                    item_id,
                    text,
                    audio_ms,
                },
            ));
        }
    }

    pub(crate) fn idle(&mut self, now: Instant) {
        let Some(idle_ms) = self
            .input
            .detection
            .and_then(|detection| detection.idle_timeout_ms)
        else {
            return;
        };
        if self.active_response().is_some() || self.input.is_speech() {
            return;
        }
        let id = self.stage.outbox.mint.id("item");
        let end_ms = self.input.clock_ms();
        let audio = self.input.take_turn();
        self.commit_item(&id, audio, String::new(), now);
        let triggered = json!({
            "audio_start_ms": end_ms.saturating_sub(idle_ms),
            "audio_end_ms": end_ms,
            "item_id": id,
        });
        self.stage
            .outbox
            .emit("input_audio_buffer.timeout_triggered", triggered);
        if let Err(error) = self.respond(Cause::Idle, now) {
            self.stage.outbox.emit_error(&error, None);
        }
    }

    pub(crate) fn transcribed(&mut self, item_id: &str, text: &str, audio_ms: u64) {
        if self.quirks.transcription_fails {
            let failed = json!({"item_id": item_id, "content_index": 0, "error": {
                "type": "server_error",
                "code": null,
                "message": format!("Input transcription failed for item '{item_id}'."),
                "param": null,
            }});
            let kind = "conversation.item.input_audio_transcription.failed";
            self.stage.outbox.emit(kind, failed);
            return;
        }
        let logprobs = |text: &str| {
            let token = text.split(' ').next().unwrap_or_default();
            json!([{"token": token, "logprob": -0.021, "bytes": token.as_bytes()}])
        };
        let wants_logprobs = self.config.wants_logprobs() && !text.is_empty();
        if !text.is_empty() {
            let mut delta = json!({"item_id": item_id, "content_index": 0, "delta": text});
            if wants_logprobs {
                delta["logprobs"] = logprobs(text);
            }
            let kind = "conversation.item.input_audio_transcription.delta";
            self.stage.outbox.emit(kind, delta);
        }
        let (heard, said) = (audio_ms / 100, text.len() as u64 / 4);
        let mut completed = json!({
            "item_id": item_id,
            "content_index": 0,
            "transcript": text,
            "usage": {
                "type": "tokens",
                "total_tokens": heard + said,
                "input_tokens": heard,
                "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
                "output_tokens": said,
            },
        });
        if wants_logprobs {
            completed["logprobs"] = logprobs(text);
        }
        let languages = self.config.languages();
        if !languages.is_empty() && !text.is_empty() {
            let codes = languages.iter().map(|code| json!({"code": code}));
            completed["languages"] = codes.collect();
        }
        let kind = "conversation.item.input_audio_transcription.completed";
        self.stage.outbox.emit(kind, completed);
        let item = self.stage.conversation.get_mut(item_id);
        if let Some(part) = item.and_then(|item| item.json.pointer_mut("/content/0/transcript")) {
            *part = text.into();
        }
        self.stage.log_item_text(item_id, text);
    }
}
