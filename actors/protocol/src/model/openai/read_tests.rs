use super::*;
use crate::audio::FRAME_BYTES as FRAME;
use crate::audio::payload::PayloadError;

const EVENTS: &str = include_str!("../../../tests/data/realtime_events.jsonl");
const VARIANTS: &str = include_str!("../../../tests/data/realtime_events_variants.jsonl");

fn read_text(text: &str) -> Result<ModelEvent, ReadError> {
    read(
        &Bytes::copy_from_slice(text.as_bytes()),
        &mut Interner::default(),
    )
}

fn event_of(kind: &str) -> ModelEvent {
    let needle = format!("\"type\":\"{kind}\"");
    let line = EVENTS.lines().find(|line| line.contains(&needle)).unwrap();
    read_text(line).unwrap()
}

#[test]
fn every_documented_event_is_known() {
    let mut lines = 0;
    for line in EVENTS
        .lines()
        .chain(VARIANTS.lines())
        .filter(|line| !line.is_empty())
    {
        match read_text(line) {
            Ok(ModelEvent::Unknown) | Err(_) => panic!("not understood: {line:.120}"),
            Ok(_) => lines += 1,
        }
    }
    assert_eq!(lines, 46 + 22);
}

#[test]
fn an_audio_delta_keeps_its_payload_unopened() {
    let needle = "response.output_audio.delta";
    let line = EVENTS.lines().find(|line| line.contains(needle)).unwrap();
    let message = Bytes::copy_from_slice(line.as_bytes());
    let Ok(ModelEvent::Audio { payload, part, .. }) = read(&message, &mut Interner::default())
    else {
        panic!("not audio")
    };
    assert!(
        message
            .as_ptr_range()
            .contains(&payload.as_base64().as_ptr())
    );
    assert_eq!(part, 0);
    assert!(payload.audio_bytes() > FRAME);
}

#[test]
fn beta_names_of_deltas_are_taken() {
    let delta = r#"{"type":"response.audio.delta","response_id":"r","item_id":"i","content_index":0,"delta":"////"}"#;
    assert!(matches!(read_text(delta), Ok(ModelEvent::Audio { .. })));
    let words = r#"{"type":"response.audio_transcript.delta","response_id":"r","item_id":"i","delta":"hi"}"#;
    assert!(
        matches!(read_text(words), Ok(ModelEvent::AgentTranscriptDelta { text, .. }) if text == "hi")
    );
}

#[test]
fn a_session_tells_its_formats_and_who_interrupts() {
    let ModelEvent::SessionConfigured(session) = event_of("session.updated") else {
        panic!()
    };
    assert_eq!(session.input, Some(AudioFormat::Mulaw));
    assert_eq!(session.output, Some(AudioFormat::Mulaw));
    assert_eq!(session.interrupts, Some(true));
    assert_eq!(session.expires_at, Some(1_795_346_400));
    let ModelEvent::SessionCreated(session) = event_of("session.created") else {
        panic!()
    };
    assert_eq!(session.output, Some(AudioFormat::Pcm24k));
}

#[test]
fn responses_end_in_every_documented_way() {
    let statuses: Vec<ResponseStatus> = VARIANTS
        .lines()
        .filter_map(|line| match read_text(line) {
            Ok(ModelEvent::ResponseDone(done)) => Some(done.status),
            _ => None,
        })
        .collect();
    assert!(matches!(
        &statuses[..],
        [
            ResponseStatus::Interrupted,
            ResponseStatus::Cancelled,
            ResponseStatus::OutOfTokens,
            ResponseStatus::Filtered,
            ResponseStatus::Failed(limited),
            ResponseStatus::Failed(server),
            ResponseStatus::Failed(quota),
            ResponseStatus::Completed,
        ] if limited.code.as_deref() == Some("rate_limit_exceeded")
            && server.kind == "server_error" && server.code.is_none()
            && quota.code.as_deref() == Some("credit_balance_exhausted")
    ));
}

#[test]
fn cached_tokens_are_counted_once() {
    let ModelEvent::ResponseDone(done) = event_of("response.done") else {
        panic!()
    };
    let usage = Usage {
        text_in: 412 - 384,
        audio_in: 0,
        cached_in: 384,
        text_out: 22,
        audio_out: 76,
    };
    assert_eq!(done.usage, Some(usage));
    assert_eq!((done.items, done.spoken_items, done.tool_calls), (1, 1, 0));
}

#[test]
fn tools_the_server_ran_are_counted_until_it_speaks_of_them() {
    let call = r#"{"id":"a","type":"mcp_call","name":"forecast","output":"{}"}"#;
    let said =
        r#"{"id":"b","type":"message","content":[{"type":"output_audio","transcript":"Sun."}]}"#;
    for (output, server_calls) in [
        (format!("{call},{call}"), 2),
        (format!("{call},{said}"), 0),
        (format!("{said},{call}"), 1),
        (said.to_owned(), 0),
    ] {
        let line = format!(
            r#"{{"type":"response.done","response":{{"id":"r","status":"completed","output":[{output}]}}}}"#
        );
        let ModelEvent::ResponseDone(done) = read_text(&line).unwrap() else {
            panic!()
        };
        assert_eq!(done.server_calls, server_calls, "{output}");
    }
}

#[test]
fn a_tool_call_that_was_cut_is_not_complete() {
    let line = |status: &str| {
        format!(
            r#"{{"type":"response.output_item.done","response_id":"r","item":{{"id":"i","type":"function_call",
            "status":"{status}","call_id":"c","name":"book","arguments":"{{\"a\""}}}}"#
        )
    };
    for (status, expected) in [("completed", true), ("incomplete", false)] {
        let Ok(ModelEvent::ItemDone { item, .. }) = read_text(&line(status)) else {
            panic!()
        };
        let ItemKind::ToolCall { complete, .. } = item.kind else {
            panic!()
        };
        assert_eq!(complete, expected, "{status}");
    }
}

#[test]
fn arguments_beyond_the_limit_never_count_as_complete() {
    let arguments = "9".repeat(MAX_ARGUMENTS + 1);
    let line = format!(
        r#"{{"type":"response.output_item.done","response_id":"r","item":{{"id":"i","type":"function_call",
        "status":"completed","call_id":"c","name":"book","arguments":"{arguments}"}}}}"#
    );
    let Ok(ModelEvent::ItemDone { item, .. }) = read_text(&line) else {
        panic!()
    };
    assert!(matches!(
        item.kind,
        ItemKind::ToolCall {
            complete: false,
            ..
        }
    ));
}

#[test]
fn what_cannot_be_used_is_an_error_value() {
    for (text, expected) in [
        ("", ReadError::Malformed),
        ("[]", ReadError::Malformed),
        ("{}", ReadError::Incomplete),
        (
            r#"{"type":"response.output_audio.delta"}"#,
            ReadError::Incomplete,
        ),
        (r#"{"type":"response.done"}"#, ReadError::Incomplete),
        (
            r#"{"type":"response.done","response":{}}"#,
            ReadError::Incomplete,
        ),
        (
            r#"{"type":"response.done","response":7}"#,
            ReadError::Malformed,
        ),
        (
            r#"{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"*"}"#,
            ReadError::Payload(PayloadError::NotBase64),
        ),
    ] {
        assert_eq!(read_text(text).err(), Some(expected), "{text}");
    }
}

#[test]
fn unknown_types_and_fields_are_tolerated() {
    assert!(matches!(
        read_text(r#"{"type":"response.telepathy","x":{}}"#),
        Ok(ModelEvent::Unknown)
    ));
    let odd = r#"{"event_id":5,"type":"input_audio_buffer.speech_started","item_id":"i","audio_start_ms":"7","new":[]}"#;
    assert!(matches!(
        read_text(odd),
        Ok(ModelEvent::SpeechStarted { .. })
    ));
}

#[test]
fn audio_stays_in_the_buffer_it_came_in() {
    let delta = r#"{"type":"response.output_audio.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"f39/fw=="}"#;
    let message = Bytes::from_static(delta.as_bytes());
    let Ok(ModelEvent::Audio { payload, .. }) = read(&message, &mut Interner::default()) else {
        panic!("a delta was expected");
    };
    assert_eq!(payload.as_base64(), b"f39/fw==");
    assert!(
        message
            .as_ptr_range()
            .contains(&payload.as_base64().as_ptr())
    );
}
