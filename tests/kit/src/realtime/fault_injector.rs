//! Faults inside a session: what waits to strike, and what is crooked all the time.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::check::ApiError;
use super::engine::Engine;
use super::faults::{Fault, When};
use super::script::Ending;
use super::send_queue::{Outgoing, Place};
use super::sound::Format;

/// The reason and message of a session that is too old.
const EXPIRED: &str = "Your session hit the maximum duration of 60 minutes.";

/// Ways in which a session is not as it should be.
#[derive(Debug, Default)]
pub(crate) struct Quirks {
    pub(crate) withhold_pong: bool,
    pub(crate) wrong_audio: bool,
    pub(crate) other_formats: bool,
    pub(crate) silent_on_formats: bool,
    pub(crate) never_interrupts: bool,
    pub(crate) transcription_fails: bool,
    pub(crate) late_deltas: usize,
    failures: Option<(u32, Ending)>,
}

impl Quirks {
    /// How the response that starts now has to fail.
    pub(crate) fn next_failure(&mut self) -> Option<Ending> {
        let (left, ending) = self.failures.as_mut()?;
        *left = left.checked_sub(1)?;
        Some(ending.clone())
    }
}

#[derive(Debug)]
enum Trigger {
    At(Instant),
    Events(u64),
    Deltas(u64),
}

/// A fault that waits.
#[derive(Debug)]
pub(crate) struct FaultInjector {
    trigger: Trigger,
    fault: Fault,
}

impl FaultInjector {
    /// What ends every session that lives long enough.
    pub(crate) fn end_of_session(at: Instant) -> Self {
        Self {
            trigger: Trigger::At(at),
            fault: Fault::Expire { after_ms: 0 },
        }
    }

    pub(crate) fn at(&self) -> Option<Instant> {
        match self.trigger {
            Trigger::At(at) => Some(at),
            Trigger::Events(_) | Trigger::Deltas(_) => None,
        }
    }
}

impl Engine {
    /// Lets something go wrong, now or when its time comes.
    pub(crate) fn inject(&mut self, fault: Fault, now: Instant) {
        let trigger = match fault.when() {
            When::Now => Trigger::At(now),
            When::AfterMs(ms) => Trigger::At(now + Duration::from_millis(ms)),
            When::AfterEvents(count) => Trigger::Events(count),
            When::AfterDeltas(count) => Trigger::Deltas(count),
        };
        match fault {
            Fault::WithholdPong => self.quirks.withhold_pong = true,
            Fault::WrongAudio => self.quirks.wrong_audio = true,
            Fault::OtherFormats => self.quirks.other_formats = true,
            Fault::TranscriptionFails => self.quirks.transcription_fails = true,
            Fault::LateDeltas { count } => self.quirks.late_deltas = count as usize,
            Fault::FailResponses { count, ending } => self.quirks.failures = Some((count, ending)),
            Fault::ScarceTokens {
                left_percent,
                reset_seconds,
            } => self.stage.scarce = Some((left_percent, reset_seconds)),
            Fault::BetaNames => self.stage.outbox.beta_names = true,
            Fault::ItemsTwice => self.stage.outbox.items_twice = true,
            Fault::Strangers => self.stage.outbox.strangers = true,
            Fault::CallsToldIn(telling) => self.stage.outbox.calls_told_in = Some(telling),
            Fault::OtherTranscript { text } => self.stage.outbox.other_transcript = Some(text),
            Fault::NeverInterrupts => self.quirks.never_interrupts = true,
            Fault::SilentOnFormats => self.quirks.silent_on_formats = true,
            // These are over once there is a session.
            Fault::RefuseUpgrade { .. } | Fault::HangHandshake | Fault::SlowHandshake { .. } => {}
            fault if matches!(trigger, Trigger::Events(0) | Trigger::Deltas(0)) => {
                self.strike(fault);
            }
            fault => self.armed.push(FaultInjector { trigger, fault }),
        }
    }

    /// From here on nothing goes wrong but old age.
    pub(crate) fn clear_faults(&mut self) {
        self.quirks = Quirks::default();
        self.stage.scarce = None;
        self.stage.outbox.beta_names = false;
        self.stage.outbox.strangers = false;
        self.stage.outbox.items_twice = false;
        self.stage.outbox.calls_told_in = None;
        self.stage.outbox.other_transcript = None;
        self.armed
            .retain(|armed| matches!(armed.fault, Fault::Expire { .. }));
    }

    pub(crate) fn strike_due(&mut self, now: Instant) {
        while let Some(index) = self
            .armed
            .iter()
            .position(|armed| armed.at().is_some_and(|at| at <= now))
        {
            let armed = self.armed.remove(index);
            self.strike(armed.fault);
        }
    }

    /// An event goes out; `audio` if it is an audio delta.
    pub(crate) fn strike_counted(&mut self, audio: bool) {
        let mut index = 0;
        while index < self.armed.len() {
            let left = match &mut self.armed[index].trigger {
                Trigger::Events(left) => left,
                Trigger::Deltas(left) if audio => left,
                _ => {
                    index += 1;
                    continue;
                }
            };
            *left = left.saturating_sub(1);
            if *left > 0 {
                index += 1;
                continue;
            }
            let armed = self.armed.remove(index);
            self.strike(armed.fault);
        }
    }

    fn strike(&mut self, fault: Fault) {
        let outbox = &mut self.stage.outbox;
        match fault {
            Fault::Close { code, reason, .. } => {
                outbox.push_front(Outgoing::Close { code, reason })
            }
            Fault::Reset { .. } => outbox.push_front(Outgoing::Reset),
            Fault::Stall { ms, .. } => {
                outbox.push_front(Outgoing::Stall(ms.map(Duration::from_millis)));
            }
            Fault::Expire { .. } => {
                outbox.emit_error(&ApiError::new("session_expired", EXPIRED), None);
                outbox.push(Outgoing::Close {
                    code: 1001,
                    reason: EXPIRED.to_owned(),
                });
            }
            Fault::Error {
                kind,
                code,
                message,
                ..
            } => {
                let error = json!({"type": kind, "code": code, "message": message, "param": null, "event_id": null});
                outbox.emit("error", json!({"error": error}));
            }
            Fault::Malformed { .. } => outbox.push(Outgoing::Event {
                text: "{\"type\":\"response.output_audio.delta\",\"delta\":\"/v7+".into(),
                audio: false,
            }),
            Fault::Text { text, count, .. } => {
                let frame = Message::text(text);
                outbox.push(Outgoing::Frames(vec![frame; count as usize]));
            }
            Fault::Binary { .. } => {
                outbox.push(Outgoing::Frames(vec![Message::binary(vec![0xFF; 160])]));
            }
            Fault::NotUtf8 { .. } => {
                let frame = Frame::message(vec![0xC3, 0x28], OpCode::Data(Data::Text), true);
                outbox.push(Outgoing::Frames(vec![Message::Frame(frame)]));
            }
            Fault::ReservedBit { .. } => {
                let mut frame = Frame::message("{}", OpCode::Data(Data::Text), true);
                frame.header_mut().rsv1 = true;
                outbox.push(Outgoing::Frames(vec![Message::Frame(frame)]));
            }
            Fault::Pings { count, .. } => {
                let ping = Message::Ping(Bytes::from_static(b"!"));
                outbox.push(Outgoing::Frames(vec![ping; count as usize]));
            }
            Fault::Fragments { count, bytes, .. } => {
                let piece = |kind| {
                    let blanks = vec![b' '; bytes];
                    Message::Frame(Frame::message(blanks, OpCode::Data(kind), false))
                };
                let mut frames = vec![piece(Data::Text)];
                frames.resize(count as usize, piece(Data::Continue));
                outbox.push(Outgoing::Frames(frames));
            }
            Fault::Oversized { bytes, .. } => {
                let head = "{\"type\":\"response.weight.updated\",\"filler\":\"";
                let mut text = String::with_capacity(bytes.max(head.len() + 2));
                text.push_str(head);
                text.extend(std::iter::repeat_n(
                    'x',
                    bytes.saturating_sub(head.len() + 2),
                ));
                text.push_str("\"}");
                outbox.push(Outgoing::Event {
                    text: text.into(),
                    audio: false,
                });
            }
            Fault::ForeignDelta { .. } => {
                let (response_id, item_id) = (outbox.mint.id("resp"), outbox.mint.id("item"));
                let place = Place {
                    response_id: &response_id,
                    item_id: &item_id,
                    output_index: 0,
                };
                let silence = vec![0xFF; Format::Pcmu.bytes(500) as usize];
                outbox.emit_audio(place, &silence);
            }
            // The others never wait.
            _ => {}
        }
    }
}
