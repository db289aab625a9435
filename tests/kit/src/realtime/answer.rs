//! One response: planned as a list of timed beats, played event by event, cut short at any moment.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::conversation::{Item, Sound};
use super::inspect::ResponseTruth;
use super::outbox::Place;
use super::prompter::{Line, Source, Utterance};
use super::script::Ending;
use super::sound::Format;
use super::stage::Stage;

/// Size of audio deltas, in bytes of the output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeltaSize {
    /// All the same, odd or even; the last one is what is left.
    Fixed(usize),
    /// Between these, evenly spread.
    Random(usize, usize),
}

impl Default for DeltaSize {
    fn default() -> Self {
        Self::Random(3_500, 4_500)
    }
}

/// How fast a server answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    pub(crate) think: Duration,
    /// Multiple of real time at which audio is sent.
    pub(crate) speed: f64,
    pub(crate) delta_size: DeltaSize,
}

/// What `response.create` or the session says about a response.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// `None` for a response beside the conversation.
    pub(crate) conversation_id: Option<String>,
    pub(crate) output_modalities: Value,
    pub(crate) max_output_tokens: Value,
    pub(crate) format: Format,
    pub(crate) voice: Value,
    pub(crate) metadata: Value,
    /// The format audio is really sent in; another one only if that has been asked for as a fault.
    pub(crate) wire_format: Format,
}

impl Terms {
    fn wants_text(&self) -> bool {
        self.output_modalities.get(0).and_then(Value::as_str) == Some("text")
    }
}

#[derive(Debug)]
enum Body {
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Planned,
    Open,
    Closed,
}

#[derive(Debug)]
struct Output {
    item_id: String,
    body: Body,
    phase: Phase,
    sent_bytes: usize,
    sent_text: String,
    /// Ends as `incomplete`, as its response does.
    cut: bool,
}

#[derive(Debug)]
enum Beat {
    Open(usize),
    Words(usize, Range<usize>),
    Audio(usize, Range<usize>),
    Close(usize),
    Done,
}

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
    terms: Terms,
    ending: Ending,
    outputs: Vec<Output>,
    beats: VecDeque<(Instant, Beat)>,
    input_tokens: (u64, u64),
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
        line: &Arc<Line>,
        source: Source,
        ending: Ending,
        terms: Terms,
        pace: Pace,
        stage: &mut Stage,
        now: Instant,
    ) -> Self {
        let (items, audio) = stage.conversation.input_tokens(stage.input_format);
        let mut answer = Self {
            id: stage.outbox.mint.id("resp"),
            source,
            outputs: Vec::new(),
            beats: VecDeque::new(),
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
    pub(crate) fn begin_open_ended(terms: Terms, stage: &mut Stage, now: Instant) -> Self {
        let line = Arc::new(Line {
            hears: None,
            says: Vec::new(),
            tools: Vec::new(),
            ending: Ending::Hangs,
            think_ms: None,
        });
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
            .push(output(stage.outbox.mint.id("item"), body));
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
    pub(crate) fn book(&mut self, bytes: u64, stage: &mut Stage) {
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
    pub(crate) fn finish(&mut self, stage: &mut Stage, now: Instant) -> Finished {
        self.ending = Ending::Completed;
        self.close(0, false, stage);
        self.done(None, stage, now)
    }

    fn plan(&mut self, line: &Line, pace: Pace, stage: &mut Stage, now: Instant) {
        let think = line.think_ms.map_or(pace.think, Duration::from_millis);
        let mut at = now + think;
        if self.ending.is_silent() {
            if self.ending != Ending::Hangs {
                self.beats.push_back((at, Beat::Done));
            }
            return;
        }
        for utterance in &line.says {
            let body = match utterance {
                Utterance::Spoken { mulaw, text } if !self.terms.wants_text() => Body::Spoken {
                    audio: self.terms.wire_format.encode(mulaw),
                    transcript: text.clone(),
                },
                Utterance::Spoken { text, .. } | Utterance::Written { text } => {
                    Body::Written { text: text.clone() }
                }
            };
            self.outputs
                .push(output(stage.outbox.mint.id("item"), body));
        }
        for tool in &line.tools {
            let body = Body::Call {
                call_id: stage.outbox.mint.call_id(),
                name: tool.name.clone(),
                arguments: tool.arguments.to_string(),
            };
            self.outputs
                .push(output(stage.outbox.mint.id("item"), body));
        }
        self.cut_short();
        for index in 0..self.outputs.len() {
            at = self.plan_output(index, pace, stage.outbox.mint.rng(), at);
        }
        self.beats.push_back((at, Beat::Done));
    }

    /// What an incomplete response leaves out.
    fn cut_short(&mut self) {
        let parts = match self.ending {
            Ending::MaxOutputTokens => 2,
            Ending::ContentFilter => 20,
            _ => return,
        };
        let mut newest_first = self.outputs.iter_mut().rev();
        let Some(last) = newest_first.next() else {
            return;
        };
        last.cut = true;
        match &mut last.body {
            Body::Spoken { audio, transcript } => {
                audio.truncate(audio.len() / parts);
                truncate_text(transcript, parts);
            }
            Body::Written { text }
            | Body::Call {
                arguments: text, ..
            } => {
                truncate_text(text, parts);
            }
        }
    }

    fn plan_output(
        &mut self,
        index: usize,
        pace: Pace,
        rng: &mut fastrand::Rng,
        start: Instant,
    ) -> Instant {
        self.beats.push_back((start, Beat::Open(index)));
        let mut at = start;
        match &self.outputs[index].body {
            Body::Spoken { audio, transcript } => {
                let bytes_per_second =
                    self.terms.wire_format.bytes_per_second() as f64 * pace.speed;
                let mut words = 0;
                let mut sent = 0;
                while sent < audio.len() {
                    let size = match pace.delta_size {
                        DeltaSize::Fixed(size) => size,
                        DeltaSize::Random(from, to) => rng.usize(from..=to.max(from)),
                    };
                    let end = (sent + size.max(1)).min(audio.len());
                    // The transcript runs ahead of the sound.
                    let share = (end * 3 / 2).min(audio.len());
                    let until = word_end(transcript, transcript.len() * share / audio.len());
                    if until > words {
                        self.beats.push_back((at, Beat::Words(index, words..until)));
                        words = until;
                    }
                    self.beats.push_back((at, Beat::Audio(index, sent..end)));
                    sent = end;
                    at = start + Duration::from_secs_f64(sent as f64 / bytes_per_second);
                }
            }
            Body::Written { text }
            | Body::Call {
                arguments: text, ..
            } => {
                let mut written = 0;
                while written < text.len() {
                    let end = word_end(text, (written + 16).min(text.len()));
                    self.beats.push_back((at, Beat::Words(index, written..end)));
                    written = end;
                    at += Duration::from_secs_f64(0.02 / pace.speed);
                }
            }
        }
        self.beats.push_back((at, Beat::Close(index)));
        at
    }

    /// When the next thing happens; never if the response hangs.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.beats.front().map(|(at, _)| *at)
    }

    pub(crate) fn in_conversation(&self) -> bool {
        self.terms.conversation_id.is_some()
    }

    /// Sends what is due. `Some` once the response is done.
    pub(crate) fn play(&mut self, stage: &mut Stage, now: Instant) -> Option<Finished> {
        while let Some((_, beat)) = self.beats.pop_front_if(|(at, _)| *at <= now) {
            match beat {
                Beat::Open(index) => self.open(index, stage),
                Beat::Words(index, range) => self.words(index, range, stage),
                Beat::Audio(index, range) => self.audio(index, range, stage, now),
                Beat::Close(index) => self.close(index, self.outputs[index].cut, stage),
                Beat::Done => return Some(self.done(None, stage, now)),
            }
        }
        None
    }

    /// Ends the response early, with all its closing events.
    pub(crate) fn cancel(&mut self, why: Cancel, stage: &mut Stage, now: Instant) -> Finished {
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

    fn open(&mut self, index: usize, stage: &mut Stage) {
        let wire_format = self.terms.wire_format;
        let output = &mut self.outputs[index];
        output.phase = Phase::Open;
        let item = output.item("in_progress");
        let sound = match &output.body {
            Body::Spoken { .. } => Sound::Generated {
                bytes: 0,
                format: wire_format,
            },
            Body::Written { .. } | Body::Call { .. } => Sound::None,
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

    fn words(&mut self, index: usize, range: Range<usize>, stage: &mut Stage) {
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
        };
        let words = text.get(range).unwrap_or_default().to_owned();
        output.sent_text.push_str(&words);
        fields["delta"] = words.into();
        stage.outbox.emit(kind, fields);
    }

    fn audio(&mut self, index: usize, range: Range<usize>, stage: &mut Stage, now: Instant) {
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

    fn close(&mut self, index: usize, cut: bool, stage: &mut Stage) {
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

    fn done(&mut self, cancelled: Option<Cancel>, stage: &mut Stage, now: Instant) -> Finished {
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

    fn status(&self, cancelled: Option<Cancel>, model: &str) -> (&'static str, Value) {
        if let Some(why) = cancelled {
            let reason = match why {
                Cancel::TurnDetected => "turn_detected",
                Cancel::ClientCancelled => "client_cancelled",
            };
            return ("cancelled", json!({"type": "cancelled", "reason": reason}));
        }
        let failed = |kind: &str, code: Value, message: String| {
            let error = json!({"type": kind, "code": code, "message": message});
            ("failed", json!({"type": "failed", "error": error}))
        };
        match &self.ending {
            Ending::Completed | Ending::Hangs => ("completed", Value::Null),
            Ending::MaxOutputTokens => (
                "incomplete",
                json!({"type": "incomplete", "reason": "max_output_tokens"}),
            ),
            Ending::ContentFilter => (
                "incomplete",
                json!({"type": "incomplete", "reason": "content_filter"}),
            ),
            Ending::RateLimited(wait) => failed(
                "tokens",
                "rate_limit_exceeded".into(),
                format!(
                    "Rate limit reached for {model} on tokens per min (TPM): Limit 40000, Used 38120, Requested 6035. Please try again in {wait}."
                ),
            ),
            Ending::ServerError => failed(
                "server_error",
                Value::Null,
                "The server had an error while processing your request.".to_owned(),
            ),
            Ending::Quota => failed(
                "insufficient_quota",
                "credit_balance_exhausted".into(),
                "Credit balance exhausted.".to_owned(),
            ),
        }
    }

    /// The `response` object of `response.created` and `response.done`.
    fn resource(&self, status: &str, details: Value, usage: Value) -> Value {
        let said = self
            .outputs
            .iter()
            .filter(|output| output.phase == Phase::Closed);
        let output: Vec<Value> = said
            .map(|output| {
                output.item(if output.cut {
                    "incomplete"
                } else {
                    "completed"
                })
            })
            .collect();
        json!({
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": self.terms.conversation_id,
            "output_modalities": self.terms.output_modalities,
            "max_output_tokens": self.terms.max_output_tokens,
            "audio": {"output": {"format": self.terms.format.to_json(), "voice": self.terms.voice}},
            "usage": usage,
            "metadata": self.terms.metadata,
        })
    }

    fn audio_ms(&self) -> u64 {
        let sent: usize = self.outputs.iter().map(|output| output.sent_bytes).sum();
        self.terms.wire_format.ms(sent as u64)
    }

    /// One token for 50 ms of speech, one for four letters; nothing for what failed.
    fn usage(&self, status: &str) -> Value {
        let letters: usize = self
            .outputs
            .iter()
            .map(|output| output.sent_text.len())
            .sum();
        let (mut text_in, mut audio_in) = self.input_tokens;
        let (mut text_out, mut audio_out) = (letters as u64 / 4, self.audio_ms() / 50);
        if status == "failed" {
            (text_in, audio_in, text_out, audio_out) = (0, 0, 0, 0);
        }
        // The cache works on blocks.
        let cached = text_in / 64 * 64;
        json!({
            "total_tokens": text_in + audio_in + text_out + audio_out,
            "input_tokens": text_in + audio_in,
            "output_tokens": text_out + audio_out,
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": audio_in,
                "image_tokens": 0,
                "cached_tokens": cached,
                "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
        })
    }
}

fn output(item_id: String, body: Body) -> Output {
    Output {
        item_id,
        body,
        phase: Phase::Planned,
        sent_bytes: 0,
        sent_text: String::new(),
        cut: false,
    }
}

impl Output {
    /// The item as events show it.
    fn item(&self, status: &str) -> Value {
        let mut item = json!({"id": self.item_id, "object": "realtime.item", "status": status});
        if let Body::Call { call_id, name, .. } = &self.body {
            item["type"] = "function_call".into();
            item["name"] = name.clone().into();
            item["call_id"] = call_id.clone().into();
            item["arguments"] = self.sent_text.clone().into();
            return item;
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
    fn part(&self, text: &str) -> Option<Value> {
        match &self.body {
            Body::Spoken { .. } => Some(json!({"type": "audio", "transcript": text})),
            Body::Written { .. } => Some(json!({"type": "text", "text": text})),
            Body::Call { .. } => None,
        }
    }
}

/// The end of the word that position is in.
fn word_end(text: &str, position: usize) -> usize {
    let bytes = text.as_bytes();
    let rest = bytes.get(position..).unwrap_or_default();
    let more = rest.iter().position(|&byte| byte == b' ');
    position + more.unwrap_or(rest.len())
}

/// The first `1/parts` of a text.
fn truncate_text(text: &mut String, parts: usize) {
    let mut end = text.len() / parts;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}
