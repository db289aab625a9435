//! Lines of text as both peers send them, and time, through a whole call: it never panics, never lets a deadline lie in
//! the past, and ends once.
//!
//! The input is lines. `T…` comes from Twilio, `M…` from the session in use, `N…` from the one that waits to take its
//! place, all without the letter; `+n` lets n milliseconds pass; `O` opens the socket of the session in use, `C` closes
//! it, `o` and `c` do so with the one that waits; `X` closes the phone's. `S…`, `I…` and `D…` are the operator's: say,
//! instruct, transfer.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use call_protocol::call::effect::Effect;
use call_protocol::call::event::{Event, OperatorEvent, OperatorText};
use call_protocol::call::outcome::Destination;
use call_protocol::call::{AgentProfile, Call, CallSetup, Greeting, Silence};
use call_protocol::ids::Interner;
use call_protocol::model::command::{SessionSetup, Voice};
use call_protocol::model::event::{ModelClose, ModelEvent};
use call_protocol::model::openai;
use call_protocol::model::session::SessionId;
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
        // A session that says when it ends is followed by another before.
        accepted_at: Some(1_800_000_000_000),
        ..CallSetup::new(Arc::new(agent))
    }
}

/// The sessions that are open, the one in use first.
type Open = Vec<SessionId>;

fn event_of(line: &[u8], ids: &mut Interner, open: &Open) -> Option<Event> {
    let (kind, rest) = line.split_first()?;
    let text = Bytes::copy_from_slice(rest);
    // Where none is open, one speaks that the call has let go of, or has never dialled.
    let current = open.first().copied().unwrap_or(SessionId::FIRST);
    let standby = open.get(1).copied().unwrap_or(SessionId::new(u32::MAX));
    let of = |session, event| Event::Model { session, event };
    let closed = ModelEvent::Closed {
        why: ModelClose::Reset,
        reason: String::new(),
        quiet: Duration::from_secs(rest.len() as u64),
    };
    let mut said = || openai::read(&text, ids).unwrap_or_else(ModelEvent::Unusable);
    Some(match kind {
        b'T' => Event::Phone(twilio::read(&text).unwrap_or_else(PhoneEvent::Unusable)),
        b'M' => of(current, said()),
        b'N' => of(standby, said()),
        b'O' => of(current, ModelEvent::Opened),
        b'o' => of(standby, ModelEvent::Opened),
        b'C' => of(current, closed),
        b'c' => of(standby, closed),
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
fn carry_out(call: &mut Call, out: &mut BytesMut, open: &mut Open) -> u32 {
    let mut last_words = 0;
    while let Some(effect) = call.poll_effect() {
        out.clear();
        match effect {
            Effect::DialModel(session) => open.push(session),
            Effect::CloseModel(session) => open.retain(|open| *open != session),
            Effect::ToModel(session, command) => {
                assert!(open.contains(&session), "a command to nobody: {command:?}");
                openai::write(out, &command);
            }
            Effect::Play {
                stream, payload, ..
            } => twilio::write_media(out, stream, &payload),
            Effect::Mark { stream, name } => twilio::write_mark(out, stream, &name),
            Effect::Clear { stream } => twilio::write_clear(out, stream),
            Effect::Stopped(_) => last_words += 1,
            Effect::Report(_)
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
    let mut open = Open::new();
    carry_out(&mut call, &mut out, &mut open);
    for line in input.split(|byte| *byte == b'\n') {
        if let Some(ms) = line.strip_prefix(b"+") {
            let ms = std::str::from_utf8(ms).ok().and_then(|ms| ms.parse().ok());
            now = now + Duration::from_millis(ms.unwrap_or(20u64).min(60_000));
        } else if let Some(event) = event_of(line, &mut ids, &open) {
            call.handle(event, now);
        }
        last_words += carry_out(&mut call, &mut out, &mut open);
        call.handle_timeout(now);
        last_words += carry_out(&mut call, &mut out, &mut open);
        assert!(call.poll_timeout().is_none_or(|due| due > now));
    }
    call.handle(Event::Operator(OperatorEvent::HangUp), now);
    last_words += carry_out(&mut call, &mut out, &mut open);
    assert!(open.is_empty(), "a session outlives its call: {open:?}");
    assert_eq!(last_words, 1);
    assert_eq!(call.poll_timeout(), None);
    let _ = (call.snapshot(now), call.detail(now));
}
