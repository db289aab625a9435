//! Client events: what the bridge sends to a realtime server.

use bytes::{BufMut, BytesMut};
use serde_json::{Value, json};

use crate::audio::payload::Payload;
use crate::model::command::{
    ModelCommand, SessionOptions, SessionSetup, Transcription, TurnDetection, Voice,
};

/// Writes the client event for a command, as one JSON object.
pub fn write(out: &mut BytesMut, command: &ModelCommand) {
    let event = match command {
        ModelCommand::Append(payload) => {
            write_append(out, payload);
            return;
        }
        ModelCommand::Configure { request, setup } => {
            json!({"type": "session.update", "event_id": request, "session": session(setup)})
        }
        ModelCommand::FindTurns { request, turns } => {
            let mut audio = formats();
            audio["input"]["turn_detection"] = turn_detection(turns);
            json!({"type": "session.update", "event_id": request, "session": {"type": "realtime", "audio": audio}})
        }
        ModelCommand::Truncate {
            item,
            part,
            heard_ms,
        } => json!({
            "type": "conversation.item.truncate", "item_id": item, "content_index": part, "audio_end_ms": heard_ms,
        }),
        ModelCommand::Delete { item } => {
            json!({"type": "conversation.item.delete", "item_id": item})
        }
        ModelCommand::Respond {
            request,
            instructions: None,
        } => {
            json!({"type": "response.create", "event_id": request})
        }
        ModelCommand::Respond {
            request,
            instructions: Some(instructions),
        } => json!({
            "type": "response.create", "event_id": request, "response": {"instructions": instructions},
        }),
        ModelCommand::Cancel { response } => {
            json!({"type": "response.cancel", "response_id": response})
        }
        ModelCommand::Tell { role, text } => {
            let kind = if role.as_str() == "assistant" {
                "output_text"
            } else {
                "input_text"
            };
            json!({"type": "conversation.item.create", "item": {
                "type": "message", "role": role.as_str(), "content": [{"type": kind, "text": text}],
            }})
        }
        ModelCommand::Refuse { request } => {
            json!({"type": "conversation.item.create", "item": {
                "type": "mcp_approval_response", "approval_request_id": request, "approve": false,
            }})
        }
        ModelCommand::ToolOutput { call, output } => {
            json!({"type": "conversation.item.create", "item": {
                "type": "function_call_output", "call_id": call, "output": output,
            }})
        }
    };
    out.put_slice(event.to_string().as_bytes());
}

/// Writes `input_audio_buffer.append`, the one event that is sent fifty times a second.
pub fn write_append(out: &mut BytesMut, payload: &Payload) {
    out.reserve(64 + payload.as_base64().len());
    out.put_slice(br#"{"type":"input_audio_buffer.append","audio":""#);
    out.put_slice(payload.as_base64());
    out.put_slice(br#""}"#);
}

/// The session as the GA interface wants it. The formats stand in every update that touches audio: a server that
/// forgets them would send 24 kHz PCM, which a phone plays as noise.
fn session(setup: &SessionSetup) -> Value {
    let mut audio = formats();
    match &setup.voice {
        Voice::Keep => {}
        Voice::Named(name) => audio["output"]["voice"] = json!(name),
        Voice::Custom(id) => audio["output"]["voice"] = json!({"id": id}),
    }
    let mut session = json!({"type": "realtime", "instructions": setup.instructions});
    if let Some(options) = &setup.options {
        let input = &mut audio["input"];
        if let Some(turns) = &options.turns {
            input["turn_detection"] = turn_detection(turns);
        }
        input["transcription"] = options
            .transcription
            .as_ref()
            .map_or(Value::Null, transcription);
        input["noise_reduction"] = options
            .noise_reduction
            .as_ref()
            .map_or(Value::Null, |kind| json!({"type": kind}));
        add_options(&mut session, options);
    }
    if setup.options.is_some() || !setup.tools.is_empty() {
        session["tools"] = json!(setup.tools);
        session["tool_choice"] = json!("auto");
    }
    session["audio"] = audio;
    session
}

/// The formats both ways.
fn formats() -> Value {
    let mulaw = json!({"format": {"type": "audio/pcmu"}});
    json!({"input": mulaw, "output": mulaw})
}

fn add_options(session: &mut Value, options: &SessionOptions) {
    session["output_modalities"] = json!(["audio"]);
    session["tracing"] = Value::Null;
    if let Some(effort) = &options.reasoning {
        session["reasoning"] = json!({"effort": effort});
    }
    if let Some(ceiling) = options.max_output_tokens {
        session["max_output_tokens"] = json!(ceiling);
    }
}

fn turn_detection(turns: &TurnDetection) -> Value {
    match turns {
        TurnDetection::Server {
            threshold,
            prefix_padding_ms,
            silence_duration_ms,
            idle_timeout_ms,
            answer,
            interrupt,
        } => {
            let mut value = json!({
                "type": "server_vad", "threshold": threshold, "prefix_padding_ms": prefix_padding_ms,
                "silence_duration_ms": silence_duration_ms, "create_response": answer, "interrupt_response": interrupt,
            });
            if let Some(idle) = idle_timeout_ms {
                value["idle_timeout_ms"] = json!(idle);
            }
            value
        }
        TurnDetection::Semantic {
            eagerness,
            answer,
            interrupt,
        } => json!({
            "type": "semantic_vad", "eagerness": eagerness, "create_response": answer, "interrupt_response": interrupt,
        }),
    }
}

/// The newer transcription models take a list of languages, the older ones a single one; never both.
fn transcription(transcription: &Transcription) -> Value {
    let mut value = json!({"model": transcription.model});
    if let Some(language) = &transcription.language {
        value["language"] = json!(language);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ModelId;
    use crate::model::command::Role;

    const EVENTS: &str = include_str!("../../../tests/data/realtime_client_events.jsonl");
    const VARIANTS: &str =
        include_str!("../../../tests/data/realtime_client_events_variants.jsonl");

    /// One arm a command: the places that must be filled, and its samples. A command without an arm does not compile, and
    /// an arm without samples does not either.
    macro_rules! commands {
        ($($variant:pat => $required:expr, [$($sample:expr),+ $(,)?];)+) => {
            fn required_of(command: &ModelCommand) -> &'static [&'static str] {
                match command {
                    $($variant => &$required,)+
                }
            }

            fn every_command() -> Vec<ModelCommand> {
                vec![$($($sample,)+)+]
            }
        };
    }

    commands! {
        ModelCommand::Configure { .. } => [
            "/event_id", "/session/type", "/session/instructions",
            "/session/audio/input/format/type", "/session/audio/output/format/type",
        ], [
            configure(Voice::Named("marin".into()), Some(options(server_vad()))),
            configure(Voice::Keep, Some(options(semantic_vad()))),
            configure(Voice::Keep, None),
        ];
        ModelCommand::FindTurns { .. } => [
            "/event_id", "/session/type", "/session/audio/input/turn_detection/type",
            "/session/audio/input/format/type", "/session/audio/output/format/type",
        ], [
            ModelCommand::FindTurns { request: "turns-1".into(), turns: server_vad() },
            ModelCommand::FindTurns { request: "turns-2".into(), turns: semantic_vad() },
        ];
        ModelCommand::Append(_) => ["/audio"], [ModelCommand::Append(Payload::from_audio(&[0xFF; 160]))];
        ModelCommand::Truncate { .. } => ["/item_id", "/content_index", "/audio_end_ms"], [
            ModelCommand::Truncate { item: id(), part: 0, heard_ms: 1_840 },
        ];
        ModelCommand::Delete { .. } => ["/item_id"], [ModelCommand::Delete { item: id() }];
        ModelCommand::Respond { .. } => ["/event_id"], [
            ModelCommand::Respond { request: "rc-1".into(), instructions: None },
            ModelCommand::Respond { request: "rc-2".into(), instructions: Some("Greet.".into()) },
        ];
        ModelCommand::Cancel { .. } => ["/response_id"], [ModelCommand::Cancel { response: id() }];
        ModelCommand::Tell { .. } => [
            "/item/type", "/item/role", "/item/content/0/type", "/item/content/0/text",
        ], [tell(Role::System), tell(Role::User), tell(Role::Assistant)];
        ModelCommand::Refuse { .. } => ["/item/type", "/item/approval_request_id", "/item/approve"], [
            ModelCommand::Refuse { request: id() },
        ];
        ModelCommand::ToolOutput { .. } => ["/item/type", "/item/call_id", "/item/output"], [
            ModelCommand::ToolOutput { call: id(), output: "{\"found\":true}".into() },
        ];
    }

    fn id() -> ModelId {
        ModelId::new("item_1")
    }

    fn tell(role: Role) -> ModelCommand {
        let text = "a \"quote\" and a \u{1}".into();
        ModelCommand::Tell { role, text }
    }

    fn configure(voice: Voice, options: Option<SessionOptions>) -> ModelCommand {
        ModelCommand::Configure {
            request: "su-1".into(),
            setup: Box::new(SessionSetup {
                instructions: "Be \"kind\".\n".into(),
                voice,
                tools: vec![
                    json!({"type": "function", "name": "n", "description": "d", "parameters": {"type": "object"}}),
                ],
                options,
            }),
        }
    }

    fn options(turns: TurnDetection) -> SessionOptions {
        SessionOptions {
            turns: Some(turns),
            transcription: Some(Transcription {
                model: "gpt-transcribe".into(),
                language: Some("en".into()),
            }),
            noise_reduction: None,
            reasoning: Some("low".into()),
            max_output_tokens: Some(1_200),
        }
    }

    fn server_vad() -> TurnDetection {
        TurnDetection::Server {
            threshold: 0.5,
            prefix_padding_ms: 300,
            silence_duration_ms: 500,
            idle_timeout_ms: Some(8_000),
            answer: true,
            interrupt: true,
        }
    }

    fn semantic_vad() -> TurnDetection {
        TurnDetection::Semantic {
            eagerness: "auto".into(),
            answer: true,
            interrupt: false,
        }
    }

    fn examples() -> Vec<Value> {
        let lines = EVENTS.lines().chain(VARIANTS.lines());
        lines
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Whether all of `ours` stands in `example`, with values of the same kind. What has a type is compared with its own
    /// type; the two ways to find turns are documented in two examples, and either may stand in any session.
    fn fits(ours: &Value, example: &Value) -> bool {
        match (ours, example) {
            (Value::Object(ours), Value::Object(example)) => {
                let tag = |object: &serde_json::Map<String, Value>| object.get("type").cloned();
                tag(ours) == tag(example)
                    && ours.iter().all(|(key, value)| match key.as_str() {
                        "turn_detection" => examples().iter().any(|event| {
                            fits(value, &event["session"]["audio"]["input"]["turn_detection"])
                        }),
                        // Somebody else's schema.
                        "parameters" => example.get(key).is_some_and(Value::is_object),
                        _ => example.get(key).is_some_and(|example| fits(value, example)),
                    })
            }
            (Value::Array(ours), Value::Array(example)) => ours
                .iter()
                .all(|inner| example.iter().any(|example| fits(inner, example))),
            _ => std::mem::discriminant(ours) == std::mem::discriminant(example),
        }
    }

    fn is_documented(event: &Value) -> bool {
        examples().iter().any(|example| fits(event, example))
    }

    fn written(command: &ModelCommand) -> Value {
        let mut out = BytesMut::new();
        write(&mut out, command);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn every_event_we_send_is_one_documented_shape_with_all_it_must_have() {
        for command in every_command() {
            let event = written(&command);
            assert!(is_documented(&event), "no example is like {event:#}");
            for place in required_of(&command) {
                let there = event.pointer(place).is_some_and(|value| !value.is_null());
                assert!(there, "{place} is missing in {event:#}");
            }
        }
    }

    #[test]
    fn an_event_with_a_field_of_another_shape_is_found_out() {
        for command in every_command() {
            let mut event = written(&command);
            event["of_our_own"] = json!(1);
            assert!(!is_documented(&event), "{event:#}");
        }
        // Each of these fields is documented, elsewhere.
        for event in [
            json!({"type": "input_audio_buffer.append", "audio": 7}),
            json!({"type": "response.cancel", "item_id": "item_1"}),
            json!({"type": "conversation.item.create", "item": {"type": "message", "call_id": "call_1"}}),
            json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
                "content": [{"type": "input_text", "audio": "//8="}]}}),
            json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input": {
                "turn_detection": {"type": "semantic_vad", "threshold": 0.5}}}}}),
        ] {
            assert!(!is_documented(&event), "{event:#}");
        }
    }

    #[test]
    fn a_custom_voice_goes_by_its_id() {
        let setup = SessionSetup {
            instructions: String::new(),
            voice: Voice::Custom("voice_1".into()),
            tools: Vec::new(),
            options: None,
        };
        assert_eq!(
            session(&setup)["audio"]["output"]["voice"],
            json!({"id": "voice_1"})
        );
    }

    #[test]
    fn the_least_update_still_names_both_formats() {
        let setup = SessionSetup {
            instructions: "x".into(),
            voice: Voice::Keep,
            tools: Vec::new(),
            options: None,
        };
        let expected = json!({"type": "realtime", "instructions": "x", "audio": {
            "input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}},
        }});
        assert_eq!(session(&setup), expected);
    }
}
