//! One response, played event by event and cut short at any moment.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::conversation::{Item, Sound};
use super::inspect::ResponseTruth;
use super::mcp::Ask;
use super::output::{Body, Output, Phase};
use super::plan::{Beat, DeltaSize, Pace, Terms};
use super::prepared::Line;
use super::script::Ending;
use super::script_cursor::Source;
use super::send_queue::{Outgoing, Place};
use super::session_io::SessionIo;

/// Why a response is cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    TurnDetected,
    ClientCancelled,
}

/// A response that is not done.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) source: Source,
    pub(super) terms: Terms,
    pub(super) ending: Ending,
    pub(super) outputs: Vec<Output>,
    pub(super) beats: VecDeque<(Instant, Beat)>,
    /// Nothing goes on before a server of tools has answered.
    pub(super) waits: bool,
    /// Of text and of audio.
    pub(super) input_tokens: (u64, u64),
}

/// What is left of a response when it is done.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) in_conversation: bool,
    /// Nothing was said or called, or it failed: a new `response.create` should try again.
    pub(crate) came_to_nothing: bool,
    pub(crate) audio_ms: u64,
    /// The audio deltas that a cancellation has kept back, for those who want to see them arrive late.
    pub(crate) withheld: Vec<(String, usize, Bytes)>,
}

impl Answer {
    /// Plans a response and sends what it begins with.
    pub(crate) fn begin(
        line: &Line,
        source: Source,
        ending: Ending,
        terms: Terms,
        pace: Pace,
        stage: &mut SessionIo,
        now: Instant,
    ) -> Self {
        let (items, audio) = stage.conversation.input_tokens(stage.input_format);
        let mut answer = Self {
            id: stage.outbox.mint.id("resp"),
            source,
            outputs: Vec::new(),
            beats: VecDeque::new(),
            waits: false,
            input_tokens: (stage.instructions_length / 4 + items, audio),
            terms,
            ending,
        };
        answer.plan(line, pace, stage, now);
        let created = json!({"response": answer.resource("in_progress", Value::Null, Value::Null)});
        stage.outbox.emit("response.created", created);
        stage.rate_limits();
        let truth = ResponseTruth {
            id: answer.id.clone(),
            source,
            status: "in_progress".to_owned(),
            created: now,
            first_audio: None,
            done: None,
            audio_ms: 0,
        };
        stage.log.update(|state| state.responses.push(truth));
        answer
    }

    /// Begins a response whose only item is open at once and grows by what is sent from outside.
    pub(crate) fn begin_open_ended(terms: Terms, stage: &mut SessionIo, now: Instant) -> Self {
        let line = Line::default();
        let pace = Pace {
            think: Duration::ZERO,
            speed: 1.0,
            delta_size: DeltaSize::default(),
        };
        let mut answer = Self::begin(&line, Source::Echo, Ending::Hangs, terms, pace, stage, now);
        let body = Body::Spoken {
            audio: Bytes::new(),
            transcript: String::new(),
        };
        answer
            .outputs
            .push(Output::new(stage.outbox.mint.id("item"), body));
        answer.open(0, stage);
        answer
    }

    /// The beginning of a hand-made audio delta for the first item, up to the event's number.
    pub(crate) fn delta_head(&self) -> String {
        let place = self.place(0);
        format!(
            "{{\"type\":\"response.output_audio.delta\",\"response_id\":\"{}\",\"item_id\":\"{}\",\"output_index\":0,\"content_index\":0,\"event_id\":\"event_",
            place.response_id, place.item_id
        )
    }

    /// Books audio that was sent for the first item past [`Answer::play`].
    pub(crate) fn book(&mut self, bytes: u64, stage: &mut SessionIo) {
        let output = &mut self.outputs[0];
        output.sent_bytes = bytes as usize;
        let ms = self.terms.wire_format.ms(bytes);
        if let Some(item) = stage.conversation.get_mut(&output.item_id)
            && let Sound::Generated {
                bytes: generated, ..
            } = &mut item.sound
        {
            *generated = bytes;
        }
        stage
            .log
            .item(&output.item_id, |item| item.generated_ms = ms);
        stage
            .log
            .response(&self.id, |response| response.audio_ms = ms);
    }

    /// Ends an open-ended response normally.
    pub(crate) fn finish(&mut self, stage: &mut SessionIo, now: Instant) -> Finished {
        self.ending = Ending::Completed;
        self.close(0, false, stage);
        self.done(None, stage, now)
    }

    /// When the next thing happens; never if the response hangs.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let next = self.beats.front().filter(|_| !self.waits);
        next.map(|(at, _)| *at)
    }

    pub(crate) fn in_conversation(&self) -> bool {
        self.terms.conversation_id.is_some()
    }

    /// Sends what is due. `Some` once the response is done.
    pub(crate) fn play(&mut self, stage: &mut SessionIo, now: Instant) -> Option<Finished> {
        while self.deadline().is_some_and(|at| at <= now)
            && let Some((_, beat)) = self.beats.pop_front()
        {
            match beat {
                Beat::Open(index) => self.open(index, stage),
                Beat::Words(index, range) => self.words(index, range, stage),
                Beat::Audio(index, range) => self.audio(index, range, stage, now),
                Beat::Serve(index) => self.serve(index, stage),
                Beat::Close(index) => self.close(index, self.outputs[index].cut, stage),
                Beat::Done => return Some(self.done(None, stage, now)),
            }
        }
        None
    }

    /// Ends the response early, with all its closing events.
    pub(crate) fn cancel(&mut self, why: Cancel, stage: &mut SessionIo, now: Instant) -> Finished {
        let mut withheld = Vec::new();
        for (_, beat) in std::mem::take(&mut self.beats) {
            if let Beat::Audio(index, range) = beat
                && let Body::Spoken { audio, .. } = &self.outputs[index].body
            {
                let item_id = self.outputs[index].item_id.clone();
                withheld.push((item_id, index, audio.slice(range)));
            }
        }
        for index in 0..self.outputs.len() {
            if self.outputs[index].phase == Phase::Open {
                self.close(index, true, stage);
            }
        }
        let mut finished = self.done(Some(why), stage, now);
        finished.withheld = withheld;
        finished
    }

    fn place(&self, index: usize) -> Place<'_> {
        Place {
            response_id: &self.id,
            item_id: &self.outputs[index].item_id,
            output_index: index,
        }
    }

    fn open(&mut self, index: usize, stage: &mut SessionIo) {
        let wire_format = self.terms.wire_format;
        let output = &mut self.outputs[index];
        output.phase = Phase::Open;
        let item = output.item("in_progress");
        let sound = match &output.body {
            Body::Spoken { .. } => Sound::Generated {
                bytes: 0,
                format: wire_format,
            },
            Body::Written { .. } | Body::Call { .. } | Body::Served { .. } => Sound::None,
        };
        let id = output.item_id.clone();
        let added = json!({"response_id": self.id, "output_index": index, "item": item});
        stage.outbox.emit("response.output_item.added", added);
        if self.in_conversation() {
            stage.conversation.append(Item {
                id: id.clone(),
                json: item,
                sound,
            });
            stage.emit_added(&id);
            stage.log_item(&id, false);
        }
        if let Some(part) = self.outputs[index].part("") {
            let mut fields = self.place(index).fields();
            fields["part"] = part;
            stage.outbox.emit("response.content_part.added", fields);
        }
    }

    fn words(&mut self, index: usize, range: Range<usize>, stage: &mut SessionIo) {
        let mut fields = self.place(index).fields();
        let output = &mut self.outputs[index];
        let (kind, text) = match &output.body {
            Body::Spoken { transcript, .. } => {
                ("response.output_audio_transcript.delta", transcript)
            }
            Body::Written { text } => ("response.output_text.delta", text),
            Body::Call {
                arguments, call_id, ..
            } => {
                fields["call_id"] = call_id.clone().into();
                if let Some(fields) = fields.as_object_mut() {
                    fields.remove("content_index");
                }
                ("response.function_call_arguments.delta", arguments)
            }
            Body::Served { arguments, .. } => {
                if let Some(fields) = fields.as_object_mut() {
                    fields.remove("content_index");
                }
                ("response.mcp_call_arguments.delta", arguments)
            }
        };
        let words = text.get(range).unwrap_or_default().to_owned();
        output.sent_text.push_str(&words);
        fields["delta"] = words.into();
        stage.outbox.emit(kind, fields);
    }

    fn audio(&mut self, index: usize, range: Range<usize>, stage: &mut SessionIo, now: Instant) {
        let Body::Spoken { audio, .. } = &self.outputs[index].body else {
            return;
        };
        stage
            .outbox
            .emit_audio(self.place(index), &audio[range.clone()]);
        let output = &mut self.outputs[index];
        output.sent_bytes = range.end;
        let format = self.terms.wire_format;
        let ms = format.ms(range.end as u64);
        if let Some(item) = stage.conversation.get_mut(&output.item_id)
            && let Sound::Generated { bytes, .. } = &mut item.sound
        {
            *bytes = range.end as u64;
            stage.conversation.assistant_spoke = true;
            stage
                .log
                .item(&output.item_id, |item| item.generated_ms = ms);
        }
        let total = self.audio_ms();
        stage.log.response(&self.id, |response| {
            response.first_audio.get_or_insert(now);
            response.audio_ms = total;
        });
    }

    /// Asks the server of tools.
    fn serve(&mut self, index: usize, stage: &mut SessionIo) {
        let output = &self.outputs[index];
        let Body::Served {
            server,
            name,
            arguments,
            ..
        } = &output.body
        else {
            return;
        };
        let item_id = output.item_id.clone();
        let done = json!({
            "response_id": self.id, "item_id": item_id, "output_index": index, "arguments": arguments,
        });
        let ask = Ask::Call {
            item_id: item_id.clone(),
            server: server.clone(),
            name: name.clone(),
            arguments: arguments.clone(),
        };
        stage.outbox.emit("response.mcp_call_arguments.done", done);
        let begun = json!({"item_id": item_id, "output_index": index});
        stage.outbox.emit("response.mcp_call.in_progress", begun);
        stage.outbox.push(Outgoing::Ask(ask));
        self.waits = true;
    }

    /// A server of tools has answered; says whether it was asked here.
    pub(super) fn served(
        &mut self,
        item_id: &str,
        result: &Result<String, String>,
        stage: &mut SessionIo,
        now: Instant,
    ) -> bool {
        let found = self
            .outputs
            .iter()
            .position(|output| output.item_id == item_id);
        let Some(index) = found else {
            return false;
        };
        if let Body::Served { output, .. } = &mut self.outputs[index].body {
            *output = Some(result.clone());
        }
        let told = json!({"item_id": item_id, "output_index": index});
        let kind = if result.is_ok() {
            "response.mcp_call.completed"
        } else {
            "response.mcp_call.failed"
        };
        stage.outbox.emit(kind, told);
        self.waits = false;
        let late = self
            .beats
            .front()
            .map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at));
        for (at, _) in &mut self.beats {
            *at += late;
        }
        true
    }

    fn close(&mut self, index: usize, cut: bool, stage: &mut SessionIo) {
        let fields = self.place(index).fields();
        let output = &mut self.outputs[index];
        output.phase = Phase::Closed;
        output.cut = cut;
        match &output.body {
            Body::Spoken { .. } => {
                stage
                    .outbox
                    .emit("response.output_audio.done", fields.clone());
                let mut done = fields.clone();
                done["transcript"] = output.sent_text.clone().into();
                stage
                    .outbox
                    .emit("response.output_audio_transcript.done", done);
            }
            Body::Written { .. } => {
                let mut done = fields.clone();
                done["text"] = output.sent_text.clone().into();
                stage.outbox.emit("response.output_text.done", done);
            }
            // Its end was told when the server of tools had answered.
            Body::Served { .. } => {}
            Body::Call { call_id, name, .. } => {
                let done = json!({
                    "response_id": self.id,
                    "item_id": output.item_id,
                    "output_index": index,
                    "call_id": call_id,
                    "name": name,
                    "arguments": output.sent_text,
                });
                stage
                    .outbox
                    .emit("response.function_call_arguments.done", done);
            }
        }
        if let Some(part) = output.part(&output.sent_text) {
            let mut done = fields;
            done["part"] = part;
            stage.outbox.emit("response.content_part.done", done);
        }
        let item = output.item(if cut { "incomplete" } else { "completed" });
        let id = output.item_id.clone();
        let is_call = matches!(output.body, Body::Call { .. });
        if self.in_conversation() {
            stage.emit_done(&id, &item);
            stage.log_item_text(&id, &self.outputs[index].sent_text);
            // A call is not part of the conversation before its response is done.
            if !is_call && let Some(stored) = stage.conversation.get_mut(&id) {
                stored.json = item.clone();
            }
        }
        let done = json!({"response_id": self.id, "output_index": index, "item": item});
        stage.outbox.emit("response.output_item.done", done);
    }

    fn done(&mut self, cancelled: Option<Cancel>, stage: &mut SessionIo, now: Instant) -> Finished {
        for output in &self.outputs {
            if let (Body::Call { .. }, Some(stored)) =
                (&output.body, stage.conversation.get_mut(&output.item_id))
            {
                stored.json = output.item(if output.cut {
                    "incomplete"
                } else {
                    "completed"
                });
            }
        }
        let (status, details) = self.status(cancelled, &stage.model);
        let usage = match self.ending {
            Ending::Quota if cancelled.is_none() => Value::Null,
            _ => self.usage(status),
        };
        let done = json!({"response": self.resource(status, details, usage)});
        stage.outbox.emit("response.done", done);
        stage.log.response(&self.id, |response| {
            response.status = status.to_owned();
            response.done = Some(now);
        });
        Finished {
            in_conversation: self.in_conversation(),
            came_to_nothing: cancelled.is_none()
                && (status != "completed" || self.outputs.is_empty()),
            audio_ms: self.audio_ms(),
            withheld: Vec::new(),
        }
    }
}
