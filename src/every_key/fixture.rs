//! A call of the machine with an agent of the settings, to the same events each time.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use call_protocol::audio::payload::Payload;
use call_protocol::call::effect::Effect;
use call_protocol::call::event::{Event, OperatorEvent};
use call_protocol::call::{AgentProfile, Call, CallSetup};
use call_protocol::ids::Interner;
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::ModelEvent;
use call_protocol::model::openai;
use call_protocol::model::session::SessionId;
use call_protocol::phone::twilio;
use call_protocol::time::Time;
use call_protocol::tool::{ToolFinished, ToolResult};
use serde_json::{Value, json};
use switchboard_actors::metrics::Metrics;

use crate::agents::catalog;
use crate::agents::profile::{AgentContext, profile};
use crate::settings::{Settings, TransferMode};

const STREAM: &str = "MZ00000000000000000000000000000001";
const CALL: &str = "CA00000000000000000000000000000001";
const ACCOUNT: &str = "AC00000000000000000000000000000001";

fn agent(settings: &Settings) -> Arc<AgentProfile> {
    let tools = catalog::for_show(settings, Arc::new(Metrics::new("itest").unwrap()));
    let targets: Vec<String> = settings.transfer_targets.keys().cloned().collect();
    let around = AgentContext {
        targets: &targets,
        tools: &tools,
        configured: &settings.tools,
        built_ins: &settings.built_ins,
        briefs: settings.transfer.mode == TransferMode::Warm,
        calls_ahead: None,
        max_cost_usd: settings.limits.max_call_cost_usd,
    };
    profile(settings.default_agent(), &around).unwrap()
}

/// What a session of the agent is asked for.
pub(super) fn asked(settings: &Settings) -> Value {
    let mut out = BytesMut::new();
    let setup = Box::new(agent(settings).session.clone());
    let request = "configure".to_owned();
    openai::write(&mut out, &ModelCommand::Configure { request, setup });
    serde_json::from_slice(&out).unwrap()
}

/// What happens, by the millisecond: a greeting the caller speaks into, calls of tools that take long, silence, keys.
fn script() -> Vec<(u64, Event)> {
    let mut ids = Interner::default();
    let mut model = |at: u64, event: Value| {
        let text = Bytes::from(event.to_string());
        (at, of_model(openai::read(&text, &mut ids).unwrap()))
    };
    let opened = (20, of_model(ModelEvent::Opened));
    let mulaw = json!({"format": {"type": "audio/pcmu"}});
    let updated =
        json!({"type": "session.updated", "session": {"audio": {"input": mulaw, "output": mulaw}}});
    let delta = |response: &str, ms: usize| {
        let audio = Payload::from_audio(&vec![0x55; ms * 8]);
        let audio = String::from_utf8_lossy(audio.as_base64()).into_owned();
        json!({"type": "response.output_audio.delta", "response_id": response, "item_id": format!("item_{response}"),
            "content_index": 0, "delta": audio})
    };
    let begin = |response: &str| json!({"type": "response.created", "response": {"id": response}});
    let done = |response: &str, output: Value| json!({"type": "response.done", "response": {"id": response, "status": "completed", "output": output}});
    let said = json!([{"type": "message", "id": "m", "content": [{"type": "output_audio"}]}]);
    let speech = |what: &str| json!({"type": format!("input_audio_buffer.{what}"), "item_id": "item_caller"});
    let call = |number: u32| {
        json!({"type": "function_call", "id": format!("f{number}"), "call_id": format!("c{number}"), "name": "crm",
            "arguments": format!("{{\"n\":{number}}}"), "status": "completed"})
    };
    let mut events = vec![
        opened,
        model(30, json!({"type": "session.created", "session": {}})),
        model(40, updated),
        model(200, begin("r1")),
        model(210, delta("r1", 3_000)),
        model(
            220,
            json!({"type": "response.output_audio.done", "response_id": "r1", "item_id": "item_r1"}),
        ),
        model(230, done("r1", said.clone())),
        model(1_200, speech("speech_started")),
        model(1_600, speech("speech_stopped")),
        model(1_610, speech("committed")),
        model(1_700, begin("r2")),
        model(1_710, done("r2", json!([call(1), call(2), call(3)]))),
        // The word the model may have been asked for meanwhile.
        model(3_400, begin("rf")),
        model(3_410, delta("rf", 300)),
        model(3_420, done("rf", said.clone())),
        model(4_000, speech("speech_started")),
        model(4_400, speech("speech_stopped")),
    ];
    for number in 1..=3 {
        let finished = ToolFinished {
            number,
            result: ToolResult::Ok,
            output: "{}".to_owned(),
        };
        events.push((10_000, Event::Tool(Box::new(finished))));
    }
    events.extend([
        // Nobody answers for long, and the caller speaks into what they hear meanwhile.
        model(12_200, speech("speech_started")),
        model(12_250, begin("late")),
        model(
            12_260,
            json!({"type": "response.done", "response": {"id": "late", "status": "cancelled", "output": []}}),
        ),
        model(14_000, speech("speech_stopped")),
        model(14_010, begin("r3")),
        model(14_020, delta("r3", 400)),
        model(14_030, done("r3", said)),
    ]);
    events
}

/// The server's answer to a request, a word of 300 ms.
fn answer(number: usize) -> [Event; 3] {
    let mut ids = Interner::default();
    let response = format!("own_{number}");
    let audio = Payload::from_audio(&[0x55; 2_400]);
    let audio = String::from_utf8_lossy(audio.as_base64()).into_owned();
    [
        json!({"type": "response.created", "response": {"id": response}}),
        json!({"type": "response.output_audio.delta", "response_id": response, "item_id": format!("item_{response}"),
            "content_index": 0, "delta": audio}),
        json!({"type": "response.done", "response": {"id": response, "status": "completed",
            "output": [{"type": "message", "id": "m", "content": [{"type": "output_audio"}]}]}}),
    ]
    .map(|event| {
        let text = Bytes::from(event.to_string());
        of_model(openai::read(&text, &mut ids).unwrap())
    })
}

/// From then on the server answers whatever it is asked.
const OBLIGING: Time = Time::from_millis(14_500);

/// Something of the one session there is.
fn of_model(event: ModelEvent) -> Event {
    let session = SessionId::FIRST;
    Event::Model { session, event }
}

fn phone(text: &Value) -> Event {
    let text = Bytes::from(text.to_string());
    Event::Phone(twilio::read(&text).unwrap())
}

/// What the call does, besides configuring sessions and passing the caller's voice on.
pub(super) fn done(settings: &Settings) -> Vec<String> {
    let agent = agent(settings);
    let mut call = Call::new(CallSetup {
        max_length: settings.default_agent().max_call,
        ..CallSetup::new(agent)
    });
    let mut events = script();
    let format = json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1});
    events.push((
        0,
        phone(&json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})),
    ));
    events.push((
        10,
        phone(&json!({"event": "start", "streamSid": STREAM, "start": {
        "streamSid": STREAM, "accountSid": ACCOUNT, "callSid": CALL, "mediaFormat": format}})),
    ));
    let silence = Payload::from_audio(&[0xFF; 160]);
    let silence = String::from_utf8_lossy(silence.as_base64()).into_owned();
    for at in (100..150_000).step_by(1_000) {
        let frame = json!({"event": "media", "streamSid": STREAM, "media": {"track": "inbound", "payload": silence}});
        events.push((at, phone(&frame)));
    }
    let key = json!({"event": "dtmf", "streamSid": STREAM, "dtmf": {"track": "inbound_track", "digit": "1"}});
    events.push((45_000, phone(&key)));
    events.push((149_000, Event::Operator(OperatorEvent::HangUp)));
    events.sort_by_key(|(at, _)| *at);
    let mut log = Vec::new();
    let mut marks: Vec<(Time, String)> = Vec::new();
    let mut asked = 0;
    let mut drain = |call: &mut Call, now: Time, marks: &mut Vec<(Time, String)>| {
        let mut answers = Vec::new();
        while let Some(effect) = call.poll_effect() {
            match &effect {
                Effect::ToModel(_, ModelCommand::Configure { .. } | ModelCommand::Append(_))
                | Effect::Checkpoint => continue,
                // The phone plays what it has, as far as anybody can tell here.
                Effect::Mark { name, .. } => {
                    marks.push((now + Duration::from_millis(200), name.clone()));
                }
                Effect::Clear { .. } => marks.clear(),
                _ => {}
            }
            if matches!(&effect, Effect::ToModel(_, ModelCommand::Respond { .. })) && now > OBLIGING
            {
                asked += 1;
                answers.extend(answer(asked));
            }
            log.push(format!("{} {effect:?}", now.as_millis()));
        }
        answers
    };
    let mut act = |call: &mut Call, now: Time, marks: &mut Vec<(Time, String)>| {
        let mut answers = drain(call, now, marks);
        while !answers.is_empty() && !call.is_over() {
            for event in std::mem::take(&mut answers) {
                call.handle(event, now);
                answers.extend(drain(call, now, marks));
            }
        }
    };
    act(&mut call, Time::ZERO, &mut marks);
    for (at, event) in events {
        let at = Time::from_millis(at);
        loop {
            let timeout = call.poll_timeout();
            let mark = marks.first().map(|(due, _)| *due);
            let next = timeout.into_iter().chain(mark).min();
            let Some(now) = next.filter(|next| *next < at) else {
                break;
            };
            if mark == Some(now) {
                let (_, name) = marks.remove(0);
                let back = json!({"event": "mark", "streamSid": STREAM, "mark": {"name": name}});
                call.handle(phone(&back), now);
            } else {
                call.handle_timeout(now);
            }
            act(&mut call, now, &mut marks);
        }
        if call.is_over() {
            break;
        }
        call.handle(event, at);
        act(&mut call, at, &mut marks);
    }
    log
}
