//! Lines of text as both peers send them, and time, through a whole call: it never panics, never lets a deadline lie in
//! the past, and ends once.
//!
//! The input is lines. `T…` comes from Twilio, `M…` from the model, both without the letter; `+n` lets n milliseconds
//! pass; `O` opens the model's socket, `C` closes it, `X` closes the phone's. `S…`, `I…` and `D…` are the operator's: say,
//! instruct, transfer.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use call_protocol::call::effect::{Effect, Report};
use call_protocol::call::event::{Event, OperatorEvent, OperatorText};
use call_protocol::call::outcome::Destination;
use call_protocol::call::{AgentProfile, Call, CallSetup, Greeting, Silence};
use call_protocol::ids::Interner;
use call_protocol::model::command::{SessionSetup, Voice};
use call_protocol::model::event::ModelEvent;
use call_protocol::model::openai;
use call_protocol::phone::event::PhoneEvent;
use call_protocol::phone::twilio;
use call_protocol::time::Time;

fn setup() -> CallSetup {
    let session = SessionSetup {
        instructions: "Be kind.".to_owned(),
        voice: Voice::Keep,
        tools: Vec::new(),
        options: None,
    };
    let agent = AgentProfile {
        greeting: Greeting::Model {
            instructions: "Greet.".to_owned(),
        },
        silence: Some(Silence {
            after: Duration::from_secs(8),
            instructions: "Ask whether the caller is there.".to_owned(),
            attempts: 2,
        }),
        filler: Some(call_protocol::audio::tone::tone()),
        keys: BTreeMap::from([('0', "front_desk".to_owned())]),
        mask_digits: false,
        transfer_targets: vec!["front_desk".to_owned()],
        ..AgentProfile::new("spa", "gpt-realtime-2.1", session)
    };
    CallSetup {
        seed: 7,
        ..CallSetup::new(Arc::new(agent))
    }
}

fn event_of(line: &[u8], ids: &mut Interner) -> Option<Event> {
    let (kind, rest) = line.split_first()?;
    let text = Bytes::copy_from_slice(rest);
    Some(match kind {
        b'T' => Event::Phone(twilio::read(&text).unwrap_or_else(PhoneEvent::Unusable)),
        b'M' => Event::Model(openai::read(&text, ids).unwrap_or_else(ModelEvent::Unusable)),
        b'O' => Event::Model(ModelEvent::Opened),
        b'C' => Event::Model(ModelEvent::Closed {
            code: None,
            reason: String::new(),
            quiet: Duration::from_secs(rest.len() as u64),
        }),
        b'X' => Event::Phone(PhoneEvent::Closed { code: None }),
        b'S' => Event::Operator(OperatorEvent::Say(words(&text)?)),
        b'I' => Event::Operator(OperatorEvent::Instruct(words(&text)?)),
        b'D' => {
            let to = String::from_utf8_lossy(&text).into_owned();
            Event::Operator(OperatorEvent::Transfer(Destination::Target(to)))
        }
        _ => return None,
    })
}

fn words(text: &[u8]) -> Option<OperatorText> {
    OperatorText::parse(std::str::from_utf8(text).ok()?).ok()
}

/// Carries the effects out as the sessions do; says how many last words were among them.
fn carry_out(call: &mut Call, out: &mut BytesMut) -> u32 {
    let mut last_words = 0;
    while let Some(effect) = call.poll_effect() {
        out.clear();
        match effect {
            Effect::ToModel(command) | Effect::ToNext(command) => openai::write(out, &command),
            Effect::Play {
                stream, payload, ..
            } => twilio::write_media(out, stream, &payload),
            Effect::Mark { stream, name } => twilio::write_mark(out, stream, &name),
            Effect::Clear { stream } => twilio::write_clear(out, stream),
            Effect::Report(Report::Stopped(_)) => last_words += 1,
            Effect::Report(_)
            | Effect::DialModel
            | Effect::DialNext
            | Effect::CloseNext
            | Effect::TakeNext
            | Effect::CloseModel
            | Effect::RunTool(_)
            | Effect::DialConsult(_)
            | Effect::EndConsult(_)
            | Effect::Checkpoint
            | Effect::Forget
            | Effect::ClosePhone { .. } => {}
        }
    }
    last_words
}

/// What the target does with an input.
pub(crate) fn run(input: &[u8]) {
    let mut call = Call::new(setup());
    let mut ids = Interner::default();
    let mut out = BytesMut::new();
    let mut now = Time::ZERO;
    let mut last_words = 0;
    for line in input.split(|byte| *byte == b'\n') {
        if let Some(ms) = line.strip_prefix(b"+") {
            let ms = std::str::from_utf8(ms).ok().and_then(|ms| ms.parse().ok());
            now = now + Duration::from_millis(ms.unwrap_or(20u64).min(60_000));
        } else if let Some(event) = event_of(line, &mut ids) {
            call.handle(event, now);
        }
        last_words += carry_out(&mut call, &mut out);
        call.handle_timeout(now);
        last_words += carry_out(&mut call, &mut out);
        assert!(call.poll_timeout().is_none_or(|due| due > now));
    }
    call.handle(Event::Operator(OperatorEvent::HangUp), now);
    last_words += carry_out(&mut call, &mut out);
    assert_eq!(last_words, 1);
    assert_eq!(call.poll_timeout(), None);
    let _ = (call.snapshot(now), call.detail(now));
}
