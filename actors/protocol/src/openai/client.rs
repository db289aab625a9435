//! Client events: what the bridge sends to a realtime server.

use bytes::{BufMut, BytesMut};
use serde_json::{Value, json};

use crate::model::command::{
    ModelCommand, SessionOptions, SessionSetup, Transcription, TurnDetection, Voice,
};
use crate::payload::Payload;

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
    let mut input = json!({"format": {"type": "audio/pcmu"}});
    let mut output = json!({"format": {"type": "audio/pcmu"}});
    match &setup.voice {
        Voice::Keep => {}
        Voice::Named(name) => output["voice"] = json!(name),
        Voice::Custom(id) => output["voice"] = json!({"id": id}),
    }
    let mut session = json!({"type": "realtime", "instructions": setup.instructions});
    if let Some(options) = &setup.options {
        input["turn_detection"] = turn_detection(&options.turns);
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
    session["audio"] = json!({"input": input, "output": output});
    session
}

fn add_options(session: &mut Value, options: &SessionOptions) {
    session["output_modalities"] = json!(["audio"]);
    session["tools"] = json!(options.tools);
    session["tool_choice"] = json!("auto");
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
    use std::collections::BTreeSet;

    const EVENTS: &str = include_str!("../../tests/data/realtime_client_events.jsonl");
    const VARIANTS: &str = include_str!("../../tests/data/realtime_client_events_variants.jsonl");

    /// Every path in `value` with the kind of what lies there; free text and schemas stay closed.
    fn shape(value: &Value, path: &str, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) if !path.ends_with(".parameters") => {
                for (key, inner) in map {
                    shape(inner, &format!("{path}.{key}"), out);
                }
            }
            Value::Array(list) => {
                for inner in list {
                    shape(inner, &format!("{path}[]"), out);
                }
            }
            Value::Object(_) => drop(out.insert(format!("{path} object"))),
            Value::String(_) => drop(out.insert(format!("{path} string"))),
            Value::Number(_) => drop(out.insert(format!("{path} number"))),
            Value::Bool(_) => drop(out.insert(format!("{path} bool"))),
            Value::Null => drop(out.insert(format!("{path} null"))),
        }
    }

    /// The union of the shapes the documentation shows for one event type.
    fn documented(kind: &str) -> BTreeSet<String> {
        let mut shapes = BTreeSet::new();
        for line in EVENTS
            .lines()
            .chain(VARIANTS.lines())
            .filter(|line| !line.is_empty())
        {
            let value: Value = serde_json::from_str(line).unwrap();
            if value["type"] == kind {
                shape(&value, "", &mut shapes);
            }
        }
        assert!(!shapes.is_empty(), "no example of {kind}");
        shapes
    }

    fn every_command() -> Vec<ModelCommand> {
        let options = |turns| SessionOptions {
            turns,
            transcription: Some(Transcription {
                model: "gpt-transcribe".into(),
                language: Some("en".into()),
            }),
            noise_reduction: None,
            reasoning: Some("low".into()),
            max_output_tokens: Some(1_200),
            tools: vec![
                json!({"type": "function", "name": "n", "description": "d", "parameters": {"type": "object"}}),
            ],
        };
        let server = TurnDetection::Server {
            threshold: 0.5,
            prefix_padding_ms: 300,
            silence_duration_ms: 500,
            idle_timeout_ms: Some(8_000),
            answer: true,
            interrupt: true,
        };
        let semantic = TurnDetection::Semantic {
            eagerness: "auto".into(),
            answer: true,
            interrupt: false,
        };
        let configure = |voice, options| ModelCommand::Configure {
            request: "su-1".into(),
            setup: Box::new(SessionSetup {
                instructions: "Be \"kind\".\n".into(),
                voice,
                options,
            }),
        };
        let id = ModelId::new("item_1");
        let mut commands = vec![
            configure(Voice::Named("marin".into()), Some(options(server))),
            configure(Voice::Keep, Some(options(semantic))),
            configure(Voice::Keep, None),
            ModelCommand::Append(Payload::from_audio(&[0xFF; 160])),
            ModelCommand::Truncate {
                item: id.clone(),
                part: 0,
                heard_ms: 1_840,
            },
            ModelCommand::Delete { item: id.clone() },
            ModelCommand::Respond {
                request: "rc-1".into(),
                instructions: None,
            },
            ModelCommand::Respond {
                request: "rc-2".into(),
                instructions: Some("Greet.".into()),
            },
            ModelCommand::Cancel {
                response: id.clone(),
            },
            ModelCommand::Refuse {
                request: id.clone(),
            },
            ModelCommand::ToolOutput {
                call: id,
                output: "{\"found\":true}".into(),
            },
        ];
        for role in [Role::System, Role::User, Role::Assistant] {
            commands.push(ModelCommand::Tell {
                role,
                text: "a \"quote\" and a \u{1}".into(),
            });
        }
        commands
    }

    #[test]
    fn every_event_we_send_has_a_documented_shape() {
        for command in every_command() {
            let mut out = BytesMut::new();
            write(&mut out, &command);
            let event: Value = serde_json::from_slice(&out).unwrap();
            let kind = event["type"].as_str().unwrap();
            let mut ours = BTreeSet::new();
            shape(&event, "", &mut ours);
            let unknown: Vec<_> = ours.difference(&documented(kind)).cloned().collect();
            assert!(
                unknown.is_empty(),
                "{kind} has fields outside the documentation: {unknown:?}"
            );
        }
    }

    #[test]
    fn a_custom_voice_goes_by_its_id() {
        let setup = SessionSetup {
            instructions: String::new(),
            voice: Voice::Custom("voice_1".into()),
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
            options: None,
        };
        let expected = json!({"type": "realtime", "instructions": "x", "audio": {
            "input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}},
        }});
        assert_eq!(session(&setup), expected);
    }
}
