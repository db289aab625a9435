//! What a response will send, and when: a list of timed beats, made when it begins.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::answer::Answer;
use super::output::{Body, Output};
use super::prepared::{Line, Utterance};
use super::script::Ending;
use super::session_io::SessionIo;
use super::sound::Format;

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
    pub(super) fn wants_text(&self) -> bool {
        self.output_modalities.get(0).and_then(Value::as_str) == Some("text")
    }
}

#[derive(Debug)]
pub(super) enum Beat {
    Open(usize),
    Words(usize, Range<usize>),
    Audio(usize, Range<usize>),
    /// A server of tools is asked; what follows waits for its answer.
    Serve(usize),
    Close(usize),
    Done,
}

impl Answer {
    pub(super) fn plan(&mut self, line: &Line, pace: Pace, stage: &mut SessionIo, now: Instant) {
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
                .push(Output::new(stage.outbox.mint.id("item"), body));
        }
        let said = self.outputs.len();
        for tool in &line.tools {
            let (name, arguments) = (tool.name.clone(), tool.arguments.to_string());
            let body = match stage.served.get(&name) {
                Some(server) => Body::Served {
                    server: server.clone(),
                    name,
                    arguments,
                    output: None,
                },
                None => Body::Call {
                    call_id: stage.outbox.mint.call_id(),
                    name,
                    arguments,
                },
            };
            self.outputs
                .push(Output::new(stage.outbox.mint.id("item"), body));
        }
        if line.calls_first {
            self.outputs.rotate_left(said);
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
            }
            | Body::Served {
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
            }
            | Body::Served {
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
        if matches!(self.outputs[index].body, Body::Served { .. }) {
            self.beats.push_back((at, Beat::Serve(index)));
        }
        self.beats.push_back((at, Beat::Close(index)));
        at
    }
}

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
