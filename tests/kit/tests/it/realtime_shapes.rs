//! Every event the server can send has the keys and the kinds of values of the recorded examples.

use std::collections::{BTreeMap, BTreeSet};

use crate::realtime_client::{Client, phone_session, quick, script};
use serde_json::{Value, json};
use switchboard_kit::realtime::{Ending, Fault, Realtime, When};

const EVENTS: &str = include_str!("../data/realtime_events.jsonl");
const VARIANTS: &str = include_str!("../data/realtime_events_variants.jsonl");

/// Not among the recorded examples; from the SDK's types `RealtimeConversationItemAssistantMessage` and
/// `ResponseContentPartAddedEvent`.
const TEXT_ANSWERS: &str = r#"{"type":"response.output_item.done","event_id":"e","response_id":"r","output_index":0,"item":{"id":"i","object":"realtime.item","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"t"}]}}
{"type":"response.content_part.added","event_id":"e","response_id":"r","item_id":"i","output_index":0,"content_index":0,"part":{"type":"text","text":""}}
{"type":"response.content_part.done","event_id":"e","response_id":"r","item_id":"i","output_index":0,"content_index":0,"part":{"type":"text","text":"t"}}"#;

/// Kinds that the API documents beyond the examples.
const DOCUMENTED: &[(&str, &str)] = &[
    ("<session>.max_output_tokens", "number"),
    ("<session>.max_output_tokens", "string"),
    ("<response>.max_output_tokens", "string"),
    ("<response>.conversation_id", "null"),
    ("conversation.item.added.previous_item_id", "null"),
    ("input_audio_buffer.committed.previous_item_id", "null"),
    ("<item message user>.content[].transcript", "string"),
];

/// What is known about the objects at one place.
#[derive(Default)]
struct Shape {
    seen: usize,
    /// How often each key was there, and the kinds of its values.
    keys: BTreeMap<String, (usize, BTreeSet<&'static str>)>,
}

type Shapes = BTreeMap<String, Shape>;

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Objects that mean the same wherever they stand have one name.
fn name_of(path: String, object: &serde_json::Map<String, Value>) -> String {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    match path.rsplit('.').next().unwrap_or_default() {
        "item" | "output[]" if object.contains_key("type") => {
            format!("<item {} {}>", text("type"), text("role")).replace(" >", ">")
        }
        "session" => "<session>".into(),
        "response" => "<response>".into(),
        "format" => format!("<format {}>", text("type")),
        "usage" if text("type") == "duration" => "<usage duration>".into(),
        "content[]" | "part" => format!("{path}({})", text("type")),
        "turn_detection" | "tools[]" => format!("{path}({})", text("type")),
        _ => path,
    }
}

fn walk(path: String, value: &Value, shapes: &mut Shapes) {
    match value {
        Value::Object(object) => {
            // Free for the client to fill.
            if path.ends_with(".metadata") || path.ends_with(".parameters") {
                return;
            }
            let name = name_of(path, object);
            for (key, member) in object {
                walk(format!("{name}.{key}"), member, shapes);
            }
            let shape = shapes.entry(name).or_default();
            shape.seen += 1;
            for (key, member) in object {
                let (count, kinds) = shape.keys.entry(key.clone()).or_default();
                *count += 1;
                kinds.insert(kind(member));
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| walk(format!("{path}[]"), item, shapes)),
        _ => {}
    }
}

fn shapes<'a>(events: impl IntoIterator<Item = &'a Value>) -> Shapes {
    let mut shapes = Shapes::new();
    for event in events {
        walk(
            event["type"].as_str().unwrap().to_owned(),
            event,
            &mut shapes,
        );
    }
    shapes
}

fn recorded() -> Vec<Value> {
    let texts = [EVENTS, VARIANTS, TEXT_ANSWERS];
    let lines = texts.iter().flat_map(|text| text.lines());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What is wrong with these events, compared with the recorded ones.
fn deviations(events: &[Value]) -> BTreeSet<String> {
    let known = shapes(&recorded());
    let mut wrong = BTreeSet::new();
    for (name, shape) in shapes(events) {
        let Some(model) = known.get(&name) else {
            wrong.insert(format!("{name}: no example of it"));
            continue;
        };
        for (key, (_, kinds)) in &shape.keys {
            let place = format!("{name}.{key}");
            let Some((_, expected)) = model.keys.get(key) else {
                wrong.insert(format!("{place}: a key no example has"));
                continue;
            };
            for kind in kinds.difference(expected) {
                let plain = place.replace("(input_audio)", "");
                if !DOCUMENTED.contains(&(plain.as_str(), *kind)) {
                    wrong.insert(format!("{place}: {kind} instead of {expected:?}"));
                }
            }
        }
        for (key, (count, _)) in &model.keys {
            let here = shape.keys.get(key).map_or(0, |(count, _)| *count);
            if *count == model.seen && here < shape.seen {
                wrong.insert(format!("{name}.{key}: missing"));
            }
        }
    }
    wrong
}

/// Everything a server can be brought to say.
async fn everything() -> Vec<Value> {
    let mut events = Vec::new();

    // A call in all its turns, with every setting that shows in an event.
    let server = quick()
        .script(script(
            r#"
            [greeting]
            says = [{ clip = "greeting" }]
            [[turns]]
            hears = "Do you know me?"
            says = [{ clip = "moment" }]
            tools = [{ name = "lookup", arguments = { phone = "+15550142" } }]
            [[turns]]
            says = [{ clip = "price" }]
            status = "max_output_tokens"
            [[turns]]
            says = [{ clip = "price" }]
            status = "content_filter"
            [[turns]]
            status = { rate_limited = "6.232s" }
            [[turns]]
            status = "server_error"
            [[turns]]
            status = "quota"
            [[turns]]
            [[turns]]
            says = [{ written = "only text" }]
            [aside]
            says = [{ written = "a summary" }]
        "#,
        ))
        .start()
        .await
        .unwrap();
    let mut client = Client::dial(&server).await;
    let mut config = phone_session();
    for (key, value) in [
        ("reasoning", json!({"effort": "low"})),
        ("parallel_tool_calls", json!(true)),
        ("max_output_tokens", json!(1200)),
        (
            "truncation",
            json!({"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 12_000}}),
        ),
        (
            "include",
            json!(["item.input_audio_transcription.logprobs"]),
        ),
        (
            "tools",
            json!([{"type": "function", "name": "lookup", "description": "Looks up.", "parameters": {"type": "object"}}]),
        ),
    ] {
        config[key] = value;
    }
    client
        .send(json!({"type": "session.update", "session": config}))
        .await;
    let create = json!({"type": "response.create", "response": {"metadata": {"k": "v"}}});
    client.send(create.clone()).await;
    let greeting = client.until("response.done").await;
    client.speak("hello").await;
    let call = client.until("response.done").await["response"]["output"][1]["call_id"].take();
    client.send(json!({"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": call, "output": "{}"}})).await;
    for _ in 0..7 {
        client.send(create.clone()).await;
        client.until("response.done").await;
    }
    client.send(json!({"type": "response.create", "response": {"conversation": "none", "output_modalities": ["text"]}})).await;
    client.until("response.done").await;
    let spoken = &greeting["response"]["output"][0]["id"];
    client.send(json!({"type": "conversation.item.truncate", "item_id": spoken, "content_index": 0, "audio_end_ms": 100})).await;
    let heard = client.of("input_audio_buffer.committed")[0]["item_id"].clone();
    client
        .send(json!({"type": "conversation.item.retrieve", "item_id": heard}))
        .await;
    client
        .send(json!({"type": "conversation.item.delete", "item_id": spoken}))
        .await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    for bad in [
        json!({"type": "ping"}),
        json!({"type": "response.cancel"}),
        json!({"type": "input_audio_buffer.commit"}),
        json!({"type": "conversation.item.truncate", "item_id": spoken, "content_index": 0, "audio_end_ms": 0}),
    ] {
        client.refused(bad).await;
    }
    events.append(&mut client.seen);

    // Cancelled by the caller and by the client.
    let server = Realtime::builder()
        .think_ms(0)
        .speed(2.0)
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.output_audio.delta").await;
    client.speak("hello").await;
    client.until("response.done").await;
    client.until("response.output_audio.delta").await;
    client.send(json!({"type": "response.cancel"})).await;
    client.until("response.done").await;
    events.append(&mut client.seen);

    // The faults that are events.
    let server = quick()
        .fault(Fault::TranscriptionFails)
        .fault(Fault::WrongAudio)
        .fault(Fault::OtherFormats)
        .fault(Fault::LateDeltas { count: 2 })
        .fault(Fault::FailResponses {
            count: 1,
            ending: Ending::ServerError,
        })
        .fault(Fault::ForeignDelta {
            when: When::AfterEvents(2),
        })
        .fault(Fault::Error {
            kind: "server_error".into(),
            code: None,
            message: "Sorry.".into(),
            when: When::AfterEvents(3),
        })
        .fault(Fault::Expire { after_ms: 800 })
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("yes").await;
    client.until("response.done").await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.done").await;
    while client.until("error").await["error"]["code"] != "session_expired" {}
    events.append(&mut client.seen);

    // A caller who says nothing: five seconds are the least the API allows.
    let server = quick().script(script("[idle]")).start().await.unwrap();
    let mut client = Client::dial(&server).await;
    let mut config = phone_session();
    config["audio"]["input"]["turn_detection"]["idle_timeout_ms"] = 5_000.into();
    client
        .send(json!({"type": "session.update", "session": config}))
        .await;
    client.silence(200).await;
    client.send(json!({"type": "response.create"})).await;
    client.until("input_audio_buffer.timeout_triggered").await;
    client.until("response.done").await;
    events.append(&mut client.seen);
    events
}

#[tokio::test]
async fn every_event_of_a_phone_call_looks_like_the_recorded_ones() {
    let events = everything().await;
    let wrong = deviations(&events);
    assert!(wrong.is_empty(), "{wrong:#?}");

    let types = |events: &[Value]| -> BTreeSet<String> {
        let types = events.iter().filter_map(|event| event["type"].as_str());
        types.map(str::to_owned).collect()
    };
    let (all, seen) = (types(&recorded()), types(&events));
    let missing: Vec<&str> = all.difference(&seen).map(String::as_str).collect();
    // The rest belongs to MCP, SIP, WebRTC, the beta and diarisation.
    assert_eq!(
        missing,
        [
            "conversation.created",
            "conversation.item.created",
            "conversation.item.input_audio_transcription.segment",
            "input_audio_buffer.dtmf_event_received",
            "mcp_list_tools.completed",
            "mcp_list_tools.failed",
            "mcp_list_tools.in_progress",
            "output_audio_buffer.cleared",
            "output_audio_buffer.started",
            "output_audio_buffer.stopped",
            "response.mcp_call.completed",
            "response.mcp_call.failed",
            "response.mcp_call.in_progress",
            "response.mcp_call_arguments.delta",
            "response.mcp_call_arguments.done",
        ]
    );
}

#[test]
fn the_comparison_notices_strange_missing_and_wrong_keys() {
    let good = json!({"type": "input_audio_buffer.speech_started", "event_id": "e", "audio_start_ms": 1, "item_id": "i"});
    assert!(deviations(std::slice::from_ref(&good)).is_empty());
    for (key, value) in [
        ("track", json!(1)),
        ("audio_start_ms", json!("1")),
        ("item_id", Value::Null),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert_eq!(deviations(&[bad]).len(), 1, "{key}");
    }
    let mut bad = good;
    bad.as_object_mut().unwrap().remove("item_id");
    assert_eq!(deviations(&[bad]).len(), 1);
}
