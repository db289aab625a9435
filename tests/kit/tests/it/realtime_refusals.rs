//! Client events: every kind the API knows is accepted in its state, everything else is refused as documented.

use crate::realtime_client::{Client, quick, session};
use serde_json::{Value, json};

const CLIENT_EVENTS: &str = include_str!("../data/realtime_client_events.jsonl");
const CLIENT_VARIANTS: &str = include_str!("../data/realtime_client_events_variants.jsonl");

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Sends an event and a clear behind it; returns what came before the clear was answered.
async fn answers(client: &mut Client, event: Value) -> Vec<Value> {
    let from = client.seen.len();
    client.send(event).await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    client.until("input_audio_buffer.cleared").await;
    let mut new = client.seen[from..].to_vec();
    new.pop();
    // A running answer may be heard in between.
    new.retain(|event| {
        !event["type"]
            .as_str()
            .unwrap()
            .starts_with("response.output_audio")
    });
    new
}

fn code(answers: &[Value]) -> &str {
    answers[0]["error"]["code"].as_str().unwrap()
}

#[tokio::test]
async fn every_client_event_of_the_api_is_understood() {
    let server = quick().start().await.unwrap();
    let mut client = Client::dial(&server).await;
    client.until("session.created").await;
    for event in lines(CLIENT_EVENTS) {
        let kind = event["type"].as_str().unwrap().to_owned();
        if kind == "input_audio_buffer.clear" {
            client.send(event).await;
            client.until("input_audio_buffer.cleared").await;
            continue;
        }
        let id = event["event_id"].clone();
        let answers = answers(&mut client, event).await;
        let first = answers
            .first()
            .map(|answer| answer["type"].as_str().unwrap());
        match kind.as_str() {
            "session.update" => assert_eq!(first, Some("session.updated")),
            "input_audio_buffer.append" | "output_audio_buffer.clear" => assert_eq!(first, None),
            "response.create" => {
                assert_eq!(first, Some("response.created"));
                assert_eq!(
                    answers[0]["response"]["metadata"],
                    json!({"bridge_req": "greet-1"})
                );
                client.until("response.done").await;
            }
            // These name things that this session has never had.
            _ => {
                let expected = match kind.as_str() {
                    "input_audio_buffer.commit" => "input_audio_buffer_commit_empty",
                    "conversation.item.create" => "invalid_tool_call_id",
                    "conversation.item.retrieve" => "item_retrieve_invalid_item_id",
                    "conversation.item.truncate" => "item_truncate_invalid_item_id",
                    "conversation.item.delete" => "item_delete_invalid_item_id",
                    "response.cancel" => "response_cancel_not_active",
                    other => panic!("an event nobody expected: {other}"),
                };
                assert_eq!(code(&answers), expected, "{kind}");
                assert_eq!(answers[0]["error"]["event_id"], id, "{kind}");
            }
        }
    }
}

#[tokio::test]
async fn replayed_items_and_variants_are_understood() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    for event in lines(CLIENT_VARIANTS) {
        let kind = event["type"].as_str().unwrap().to_owned();
        let answers = answers(&mut client, event.clone()).await;
        let first = answers
            .first()
            .map(|answer| answer["type"].as_str().unwrap());
        match kind.as_str() {
            "session.update" => assert_eq!(first, Some("session.updated"), "{event}"),
            "conversation.item.create" if event["item"]["type"] == "mcp_approval_response" => {
                assert_eq!(code(&answers), "invalid_value");
            }
            "conversation.item.create" => {
                let kinds: Vec<_> = answers.iter().map(|answer| &answer["type"]).collect();
                assert_eq!(
                    kinds,
                    ["conversation.item.added", "conversation.item.done"],
                    "{event}"
                );
                if let Some(id) = event["item"]["id"].as_str() {
                    assert_eq!(answers[0]["item"]["id"], id);
                }
            }
            "response.create" if event["response"]["input"].is_array() => {
                // Refers to an item of another conversation.
                assert_eq!(code(&answers), "invalid_value");
                assert_eq!(answers[0]["error"]["param"], "response.input[0].id");
            }
            "response.create" => {
                assert_eq!(first, Some("response.created"), "{event}");
                client.until("response.done").await;
            }
            other => panic!("{other}"),
        }
    }
    let replayed = session(&server, 1).await.replayed();
    assert_eq!(replayed.len(), 6);
    assert_eq!(replayed[2].text, "Of course. What number is it under?");
}

#[tokio::test]
async fn mistakes_are_refused_with_code_and_place() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    let message = |role: &str, kind: &str| json!({"type": "conversation.item.create", "item": {"type": "message", "role": role, "content": [{"type": kind, "text": "x"}]}});
    let cases = [
        (json!({"type": "ping"}), "invalid_value", json!("type")),
        (json!({"no_type": 1}), "invalid_event", json!("type")),
        (
            json!({"type": "input_audio_buffer.append", "audio": "a/9="}),
            "invalid_value",
            json!("audio"),
        ),
        (
            json!({"type": "input_audio_buffer.append", "audio": "_-8="}),
            "invalid_value",
            json!("audio"),
        ),
        (
            json!({"type": "input_audio_buffer.append", "audio": "/////w"}),
            "invalid_value",
            json!("audio"),
        ),
        (
            json!({"type": "input_audio_buffer.append"}),
            "missing_required_parameter",
            json!("audio"),
        ),
        (
            json!({"type": "input_audio_buffer.append", "audio": 7}),
            "invalid_type",
            json!("audio"),
        ),
        (
            json!({"type": "input_audio_buffer.append", "audio": "/////w==", "track": "in"}),
            "unknown_parameter",
            json!("track"),
        ),
        (
            json!({"type": "input_audio_buffer.commit", "final": true}),
            "unknown_parameter",
            json!("final"),
        ),
        (
            json!({"type": "session.update", "session": {"type": "realtime", "modalities": ["text", "audio"]}}),
            "unknown_parameter",
            json!("session.modalities"),
        ),
        (
            json!({"type": "session.update", "session": {"type": "transcription"}}),
            "invalid_value",
            json!("session.type"),
        ),
        (
            message("assistant", "text"),
            "invalid_value",
            json!("item.content[0].type"),
        ),
        (
            message("robot", "input_text"),
            "invalid_value",
            json!("item.role"),
        ),
        (
            json!({"type": "conversation.item.create", "previous_item_id": "item_nobody", "item": {"type": "message", "role": "user", "content": []}}),
            "invalid_value",
            json!("previous_item_id"),
        ),
        (
            json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x".repeat(256_001)}]}}),
            "string_above_max_length",
            json!("item.content[0].text"),
        ),
        (
            json!({"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1.5}),
            "invalid_type",
            json!("audio_end_ms"),
        ),
        (
            json!({"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": -1}),
            "integer_below_min_value",
            json!("audio_end_ms"),
        ),
        (
            json!({"type": "response.create", "response": {"voice": "cedar"}}),
            "unknown_parameter",
            json!("response.voice"),
        ),
        (
            json!({"type": "response.create", "response": {"output_modalities": ["audio", "text"]}}),
            "invalid_value",
            json!("response.output_modalities"),
        ),
        (
            json!({"type": "response.create", "response": {"metadata": {"k": "v".repeat(513)}}}),
            "string_above_max_length",
            json!("response.metadata.k"),
        ),
        (
            json!({"type": "response.create", "response": {"max_output_tokens": 0}}),
            "integer_below_min_value",
            json!("response.max_output_tokens"),
        ),
    ];
    for (event, code, param) in cases {
        let error = client.refused(event.clone()).await;
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!(code), &param),
            "{event}"
        );
        assert_eq!(error["type"], "invalid_request_error");
    }
    client.send_text("{not json".into()).await;
    let error = client.until("error").await["error"].take();
    assert_eq!(
        (&error["code"], &error["event_id"]),
        (&json!("invalid_event"), &Value::Null)
    );
    let twice = json!({"type": "conversation.item.create", "item": {"id": "me", "type": "message", "role": "user", "content": []}});
    client.send(twice.clone()).await;
    client.until("conversation.item.done").await;
    let error = client.refused(twice).await;
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("invalid_value"), &json!("item.id"))
    );
    // After all that the session is as it was.
    client.speak("yes").await;
    assert_eq!(
        client.until("response.done").await["response"]["status"],
        "completed"
    );
}

#[tokio::test]
async fn the_voice_is_settled_once_the_model_has_spoken() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    let voice = |name: &str| json!({"type": "session.update", "session": {"type": "realtime", "instructions": "new", "audio": {"output": {"voice": name}}}});
    client.send(voice("marin")).await;
    client.until("session.updated").await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.done").await;
    let error = client.refused(voice("ash")).await;
    assert_eq!(
        (&error["code"], &error["param"]),
        (
            &json!("cannot_update_voice"),
            &json!("session.audio.output.voice")
        )
    );
    client.send(voice("marin")).await;
    assert_eq!(
        client.until("session.updated").await["session"]["instructions"],
        "new"
    );
}

#[tokio::test]
async fn a_model_without_reasoning_refuses_it_without_saying_whom() {
    let server = quick().start().await.unwrap();
    let mut client = Client::dial_model(&server, "gpt-realtime-1.5").await;
    client.send(json!({"type": "session.update", "event_id": "su", "session": {"type": "realtime", "reasoning": {"effort": "low"}}})).await;
    let error = client.until("error").await["error"].take();
    assert_eq!(
        (&error["event_id"], &error["param"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn only_what_was_spoken_can_be_cut() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    client.send(json!({"type": "conversation.item.create", "item": {"id": "mine", "type": "message", "role": "user", "content": []}})).await;
    let truncate = |id: &str| json!({"type": "conversation.item.truncate", "item_id": id, "content_index": 0, "audio_end_ms": 0});
    let error = client.refused(truncate("mine")).await;
    assert_eq!(
        (&error["code"], &error["message"]),
        (
            &Value::Null,
            &json!("Only model output audio messages can be truncated")
        )
    );
    let error = client.refused(truncate("item_gone")).await;
    assert_eq!(error["message"], "Item with item_id not found: item_gone");
    client
        .send(json!({"type": "conversation.item.delete", "item_id": "mine"}))
        .await;
    client.until("conversation.item.deleted").await;
    assert!(session(&server, 1).await.item("mine").unwrap().deleted);
    let error = client
        .refused(json!({"type": "conversation.item.retrieve", "item_id": "mine"}))
        .await;
    assert_eq!(error["code"], "item_retrieve_invalid_item_id");
}
