//! What a 20 ms frame costs in each direction, step by step and whole. The budget for a frame pair, sockets included, is
//! 20 µs; what is measured here is the part without sockets.
//!
//! `cargo bench -p call-protocol`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

use call_protocol::audio::AudioFormat;
use call_protocol::audio::payload::Payload;
use call_protocol::call::effect::Effect;
use call_protocol::call::event::Event;
use call_protocol::call::{AgentProfile, Call, CallSetup};
use call_protocol::ids::{Interner, ModelId};
use call_protocol::model::command::{ModelCommand, SessionSetup, Voice};
use call_protocol::model::event::{ModelEvent, SessionInfo};
use call_protocol::model::openai;
use call_protocol::phone::event::{CallerAudio, MediaFormat, PhoneEvent, StreamStart};
use call_protocol::phone::{AccountSid, CallSid, StreamSid, twilio};
use call_protocol::time::Time;

const FRAME: Duration = Duration::from_millis(20);

fn stream() -> Option<StreamSid> {
    StreamSid::parse(&format!("MZ{}", "1".repeat(32)))
}

fn voice(bytes: usize) -> Payload {
    let audio: Vec<u8> = (0..bytes).map(|n| (n * 37 % 256) as u8).collect();
    Payload::from_audio(&audio)
}

/// A `media` message as Twilio sends it.
fn media_text() -> Bytes {
    let payload = voice(160);
    let payload = String::from_utf8_lossy(payload.as_base64());
    let sid = "1".repeat(32);
    Bytes::from(format!(
        r#"{{"event":"media","sequenceNumber":"4061","media":{{"track":"inbound","chunk":"4060","timestamp":"81234","payload":"{payload}"}},"streamSid":"MZ{sid}"}}"#
    ))
}

/// An audio delta as a realtime server sends it.
fn delta_text(bytes: usize) -> Bytes {
    let payload = voice(bytes);
    let payload = String::from_utf8_lossy(payload.as_base64());
    Bytes::from(format!(
        r#"{{"type":"response.output_audio.delta","event_id":"event_CCXGNMSPKEE6PVxr2mZ5X","response_id":"resp_CCXGNMSPKEE6PVxr2mZ5X","item_id":"item_CCXGNMSPKEE6PVxr2mZ5X","output_index":0,"content_index":0,"delta":"{payload}"}}"#
    ))
}

/// A call in `media` with a ready session, and the time.
struct Talking {
    call: Call,
    now: Time,
    /// Messages written, as the sessions would.
    out: BytesMut,
    marks: Vec<String>,
    bytes_out: usize,
}

impl Talking {
    fn new() -> Self {
        let session = SessionSetup {
            instructions: "Be kind.".to_owned(),
            voice: Voice::Keep,
            tools: Vec::new(),
            options: None,
        };
        let agent = AgentProfile {
            longest_monologue: Duration::from_secs(1 << 40),
            filler: Some(call_protocol::audio::tone::tone()),
            mask_digits: false,
            ..AgentProfile::new("spa", "gpt-realtime-2.1", session)
        };
        let setup = CallSetup {
            max_length: Duration::from_secs(1 << 40),
            ..CallSetup::new(Arc::new(agent))
        };
        let mut talking = Self {
            call: Call::new(setup),
            now: Time::ZERO,
            out: BytesMut::with_capacity(8 * 1_024),
            marks: Vec::new(),
            bytes_out: 0,
        };
        let session = SessionInfo {
            input: Some(AudioFormat::Mulaw),
            output: Some(AudioFormat::Mulaw),
            ..SessionInfo::default()
        };
        let format = MediaFormat {
            encoding: "audio/x-mulaw".to_owned(),
            sample_rate: 8_000,
            channels: 1,
        };
        let start = StreamStart {
            stream: stream(),
            account: AccountSid::parse(&format!("AC{}", "3".repeat(32))),
            call: CallSid::parse(&format!("CA{}", "2".repeat(32))),
            format,
            ..StreamStart::default()
        };
        for event in [
            Event::Model(ModelEvent::Opened),
            Event::Model(ModelEvent::SessionConfigured(session)),
            Event::Phone(PhoneEvent::Connected {
                protocol: String::new(),
                version: String::new(),
            }),
            Event::Phone(PhoneEvent::Start(Box::new(start))),
            Event::Model(ModelEvent::ResponseStarted {
                response: ModelId::new("resp_CCXGNMSPKEE6PVxr2mZ5X"),
                format: None,
            }),
            caller_frame(),
        ] {
            talking.step(event);
        }
        talking
    }

    /// One event, its effects written as they would be.
    fn step(&mut self, event: Event) {
        self.call.handle(event, self.now);
        while let Some(effect) = self.call.poll_effect() {
            self.out.clear();
            match effect {
                Effect::ToModel(ModelCommand::Append(payload)) => {
                    openai::write_append(&mut self.out, &payload);
                }
                Effect::ToModel(command) => openai::write(&mut self.out, &command),
                Effect::Play {
                    stream, payload, ..
                } => {
                    twilio::write_media(&mut self.out, stream, &payload);
                }
                Effect::Mark { stream, name } => {
                    twilio::write_mark(&mut self.out, stream, &name);
                    self.marks.push(name);
                }
                Effect::Clear { stream } => twilio::write_clear(&mut self.out, stream),
                Effect::ToNext(command) => openai::write(&mut self.out, &command),
                Effect::DialModel
                | Effect::DialNext
                | Effect::CloseNext
                | Effect::TakeNext
                | Effect::CloseModel
                | Effect::RunTool(_)
                | Effect::DialConsult(_)
                | Effect::EndConsult(_)
                | Effect::ClosePhone { .. }
                | Effect::Checkpoint
                | Effect::Forget
                | Effect::Report(_) => {}
            }
            self.bytes_out += self.out.len();
        }
    }

    /// 20 ms pass; marks that are out come back, and the driver asks for the next deadline as it does.
    fn tick(&mut self) {
        self.now = self.now + FRAME;
        if self.call.poll_timeout().is_some_and(|due| due <= self.now) {
            self.call.handle_timeout(self.now);
        }
        while let Some(name) = self.marks.pop() {
            let stream = stream();
            self.step(Event::Phone(PhoneEvent::Mark { stream, name }));
        }
    }
}

fn caller_frame() -> Event {
    Event::Phone(PhoneEvent::Audio(CallerAudio {
        stream: stream(),
        sequence: None,
        timestamp_ms: None,
        payload: voice(160),
    }))
}

fn model_frame() -> Event {
    Event::Model(ModelEvent::Audio {
        response: ModelId::new("resp_CCXGNMSPKEE6PVxr2mZ5X"),
        item: ModelId::new("item_CCXGNMSPKEE6PVxr2mZ5X"),
        part: 0,
        payload: voice(160),
    })
}

fn reading(c: &mut Criterion) {
    let media = media_text();
    c.bench_function("read a media frame of 160 bytes", |b| {
        b.iter(|| twilio::read(black_box(&media)));
    });
    for bytes in [160, 4_000] {
        let delta = delta_text(bytes);
        let mut ids = Interner::default();
        c.bench_function(&format!("read an audio delta of {bytes} bytes"), |b| {
            b.iter(|| openai::read(black_box(&delta), &mut ids));
        });
    }
}

fn writing(c: &mut Criterion) {
    let payload = voice(160);
    let mut out = BytesMut::with_capacity(1_024);
    let stream = stream().unwrap_or_else(|| unreachable!("the SID is well formed"));
    c.bench_function("write a media frame", |b| {
        b.iter(|| {
            out.clear();
            twilio::write_media(&mut out, stream, black_box(&payload));
        });
    });
    c.bench_function("write an append", |b| {
        b.iter(|| {
            out.clear();
            openai::write_append(&mut out, black_box(&payload));
        });
    });
}

fn stepping(c: &mut Criterion) {
    let mut talking = Talking::new();
    let frame = caller_frame();
    c.bench_function("step: a caller frame to the model", |b| {
        b.iter_batched(
            || frame.clone(),
            |event| {
                talking.now = talking.now + FRAME;
                talking.step(event);
            },
            BatchSize::SmallInput,
        );
    });
    assert!(!talking.call.is_over());
    let mut talking = Talking::new();
    let (frame, caller) = (model_frame(), caller_frame());
    let mut ticks = 0u64;
    c.bench_function("step: a model frame to the caller, marks back", |b| {
        b.iter_batched(
            || frame.clone(),
            |event| {
                talking.tick();
                ticks += 1;
                // The caller is heard now and then, or the call would end.
                if ticks.is_multiple_of(100) {
                    talking.step(caller.clone());
                }
                talking.step(event);
            },
            BatchSize::SmallInput,
        );
    });
    assert!(!talking.call.is_over());
}

/// Read, step and write a frame each way: all that happens between two pairs of sockets.
fn frame_pair(c: &mut Criterion) {
    let (media, delta) = (media_text(), delta_text(160));
    let mut talking = Talking::new();
    let mut ids = Interner::default();
    c.bench_function("a whole frame pair, there and back", |b| {
        b.iter(|| {
            talking.tick();
            if let Ok(event) = twilio::read(black_box(&media)) {
                talking.step(Event::Phone(event));
            }
            if let Ok(event) = openai::read(black_box(&delta), &mut ids) {
                talking.step(Event::Model(event));
            }
        });
    });
    assert!(talking.bytes_out > 0 && !talking.call.is_over());
}

criterion_group!(benches, reading, writing, stepping, frame_pair);
criterion_main!(benches);
