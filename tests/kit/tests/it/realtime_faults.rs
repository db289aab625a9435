//! Every fault, as a client meets it.

use std::time::Duration;

use crate::realtime_client::{Client, PATIENCE, quick, session};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use switchboard_kit::realtime::{Ended, Ending, Fault, Realtime, When};
use switchboard_kit::speech;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Reads until something comes that is no event.
async fn end_of(client: &mut Client) -> Option<Result<Message, Error>> {
    loop {
        match client.frame().await {
            Some(Ok(Message::Text(text))) => client
                .seen
                .push(serde_json::from_str(&text).unwrap_or_default()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => return other,
        }
    }
}

async fn greeted(client: &mut Client) -> Value {
    client.send(json!({"type": "response.create"})).await;
    client.until("response.done").await["response"].take()
}

#[tokio::test]
async fn a_close_has_its_code_and_reason_and_comes_after_so_many_events() {
    let fault = Fault::Close {
        code: 1011,
        reason: "keepalive ping timeout".into(),
        when: When::AfterEvents(2),
    };
    let server = quick().fault(fault).start().await.unwrap();
    let mut client = Client::dial(&server).await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    let Some(Ok(Message::Close(Some(frame)))) = end_of(&mut client).await else {
        panic!("no close");
    };
    assert_eq!(
        (u16::from(frame.code), frame.reason.as_str()),
        (1011, "keepalive ping timeout")
    );
    assert_eq!(client.seen.len(), 2);
    let ended = Ended::ByServer(1011, "keepalive ping timeout".into());
    assert_eq!(session(&server, 1).await.ended(), Some(ended));
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    server.faults().live(Fault::Reset { when: When::Now });
    match end_of(&mut client).await {
        Some(Err(Error::Io(error))) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset)
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(session(&server, 1).await.ended(), Some(Ended::Reset));
}

#[tokio::test]
async fn only_the_session_that_was_meant_is_hurt() {
    let server = quick().start().await.unwrap();
    server.faults().nth(2, Fault::Reset { when: When::Now });
    let mut first = Client::ready(&server).await;
    let mut second = Client::dial(&server).await;
    assert!(matches!(end_of(&mut second).await, Some(Err(_))));
    greeted(&mut first).await;
    let mut third = Client::ready(&server).await;
    greeted(&mut third).await;
}

#[tokio::test]
async fn a_stalled_session_neither_reads_nor_answers_pings_until_cleared() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    server.faults().live(Fault::Stall {
        ms: None,
        when: When::Now,
    });
    client
        .socket
        .send(Message::Ping("are you there".into()))
        .await
        .unwrap();
    client.send(json!({"type": "response.create"})).await;
    let nothing = tokio::time::timeout(Duration::from_millis(300), client.socket.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    server.faults().clear();
    client.until("response.done").await;
}

#[tokio::test]
async fn a_session_can_be_dumb_from_the_start() {
    let stall = Fault::Stall {
        ms: None,
        when: When::AfterEvents(0),
    };
    let server = quick().fault(stall).start().await.unwrap();
    let mut client = Client::dial(&server).await;
    let nothing = tokio::time::timeout(Duration::from_millis(200), client.socket.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test]
async fn pongs_alone_can_be_withheld() {
    let server = quick().fault(Fault::WithholdPong).start().await.unwrap();
    let mut client = Client::ready(&server).await;
    client.socket.send(Message::Ping("1".into())).await.unwrap();
    client.send(json!({"type": "response.create"})).await;
    let mut pongs = 0;
    loop {
        match client.frame().await {
            Some(Ok(Message::Pong(_))) => pongs += 1,
            Some(Ok(Message::Text(text))) if text.contains("response.done") => break,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pongs, 0);
    server.faults().clear();
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    client.until("input_audio_buffer.cleared").await;
    client.socket.send(Message::Ping("2".into())).await.unwrap();
    assert!(matches!(client.frame().await, Some(Ok(Message::Pong(_)))));
}

#[tokio::test]
async fn a_session_expires_with_an_error_and_1001() {
    let server = quick()
        .fault(Fault::Expire { after_ms: 100 })
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    let Some(Ok(Message::Close(Some(frame)))) = end_of(&mut client).await else {
        panic!("no close");
    };
    assert_eq!(u16::from(frame.code), 1001);
    assert_eq!(
        client.seen.last().unwrap()["error"]["code"],
        "session_expired"
    );
}

#[tokio::test]
async fn audio_can_be_of_another_format_than_everything_says() {
    let server = quick().fault(Fault::WrongAudio).start().await.unwrap();
    let mut client = Client::ready(&server).await;
    let done = greeted(&mut client).await;
    assert_eq!(
        done["audio"]["output"]["format"],
        json!({"type": "audio/pcmu"})
    );
    let audio = client.audio_of(done["output"][0]["id"].as_str().unwrap());
    assert_eq!(
        audio.len(),
        speech::receptionist("greeting").unwrap().mulaw().len() * 6
    );
}

#[tokio::test]
async fn an_update_can_be_answered_with_other_formats() {
    let server = quick().fault(Fault::OtherFormats).start().await.unwrap();
    let mut client = Client::ready(&server).await;
    let pcm = json!({"type": "audio/pcm", "rate": 24_000});
    assert_eq!(client.seen[1]["session"]["audio"]["output"]["format"], pcm);
    assert_eq!(
        client.seen[1]["session"]["audio"]["input"]["format"],
        json!({"type": "audio/pcmu"})
    );
    assert_eq!(greeted(&mut client).await["audio"]["output"]["format"], pcm);
}

#[tokio::test]
async fn an_account_can_be_near_its_limit() {
    let scarce = Fault::ScarceTokens {
        left_percent: 1,
        reset_seconds: 3,
    };
    let server = quick().fault(scarce).start().await.unwrap();
    let mut client = Client::ready(&server).await;
    client.send(json!({"type": "response.create"})).await;
    let told = client.until("rate_limits.updated").await;
    let tokens = &told["rate_limits"][1];
    assert_eq!(
        (
            &tokens["limit"],
            &tokens["remaining"],
            &tokens["reset_seconds"]
        ),
        (&json!(800_000), &json!(8_000), &json!(3.0))
    );
}

#[tokio::test]
async fn deltas_can_come_after_the_cancellation() {
    let server = Realtime::builder()
        .think_ms(0)
        .speed(1.0)
        .fault(Fault::LateDeltas { count: 3 })
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.send(json!({"type": "response.create"})).await;
    let response = client.until("response.output_audio.delta").await["response_id"].take();
    client.send(json!({"type": "response.cancel"})).await;
    client.until("response.done").await;
    for _ in 0..3 {
        let late = client.event().await;
        assert_eq!(
            (&late["type"], &late["response_id"]),
            (&json!("response.output_audio.delta"), &response)
        );
    }
}

#[tokio::test]
async fn beta_names_and_strangers_change_names_and_nothing_else() {
    let server = quick().fault(Fault::BetaNames).start().await.unwrap();
    let mut client = Client::ready(&server).await;
    greeted(&mut client).await;
    assert!(client.of("response.output_audio.delta").is_empty());
    assert!(!client.of("response.audio.delta").is_empty());
    assert!(!client.of("response.audio_transcript.done").is_empty());
    assert!(!client.of("response.output_item.done").is_empty());

    let server = quick().fault(Fault::Strangers).start().await.unwrap();
    let mut client = Client::ready(&server).await;
    let done = greeted(&mut client).await;
    assert!(!client.of("response.mood.updated").is_empty());
    assert!(client.of("session.updated")[0]["x_new_field"].is_object());
    let audio = client.audio_of(done["output"][0]["id"].as_str().unwrap());
    assert_eq!(audio, speech::receptionist("greeting").unwrap().mulaw());
}

#[tokio::test]
async fn broken_huge_and_foreign_events_come_and_the_session_lives_on() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    server.faults().live(Fault::Malformed { when: When::Now });
    let Some(Ok(Message::Text(broken))) = client.frame().await else {
        panic!("nothing came");
    };
    assert!(serde_json::from_str::<Value>(&broken).is_err());
    server.faults().live(Fault::Oversized {
        bytes: 3_000_000,
        when: When::Now,
    });
    let Some(Ok(Message::Text(huge))) = client.frame().await else {
        panic!("nothing came");
    };
    assert_eq!(huge.len(), 3_000_000);
    assert!(serde_json::from_str::<Value>(&huge).is_ok());
    server
        .faults()
        .live(Fault::ForeignDelta { when: When::Now });
    let foreign = client.event().await;
    assert_eq!(foreign["type"], "response.output_audio.delta");
    assert_eq!(
        STANDARD
            .decode(foreign["delta"].as_str().unwrap())
            .unwrap()
            .len(),
        4_000
    );
    let error = Fault::Error {
        kind: "server_error".into(),
        code: None,
        message: "Sorry.".into(),
        when: When::Now,
    };
    server.faults().live(error);
    let error = client.event().await;
    assert_eq!(
        error["error"],
        json!({"type": "server_error", "code": null, "message": "Sorry.", "param": null, "event_id": null})
    );
    assert_eq!(greeted(&mut client).await["status"], "completed");
}

#[tokio::test]
async fn responses_can_fail_a_number_of_times_without_losing_the_place() {
    let fault = Fault::FailResponses {
        count: 2,
        ending: Ending::RateLimited("174ms".into()),
    };
    let server = quick().fault(fault).start().await.unwrap();
    let mut client = Client::ready(&server).await;
    for _ in 0..2 {
        assert_eq!(greeted(&mut client).await["status"], "failed");
    }
    let text = speech::receptionist("greeting").unwrap().text;
    assert_eq!(
        greeted(&mut client).await["output"][0]["content"][0]["transcript"],
        text
    );
}

#[tokio::test]
async fn a_failed_transcription_is_told_and_the_answer_comes_all_the_same() {
    let server = quick()
        .fault(Fault::TranscriptionFails)
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("yes").await;
    client
        .until("conversation.item.input_audio_transcription.failed")
        .await;
    client.until("response.done").await;
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    client.socket.close(None).await.unwrap();
    let first = session(&server, 1).await;
    assert!(
        first
            .until(PATIENCE, |session| session.ended()
                == Some(Ended::ByClient(None)))
            .await
    );
    let client = Client::ready(&server).await;
    drop(client);
    let second = session(&server, 2).await;
    assert!(
        second
            .until(PATIENCE, |session| matches!(
                session.ended(),
                Some(Ended::Lost(_) | Ended::ByClient(None))
            ))
            .await
    );
}

#[tokio::test]
async fn frames_that_break_the_rules_come_as_they_were_asked_for() {
    let server = quick().start().await.unwrap();
    let mut client = Client::dial(&server).await;
    client.until("session.created").await;
    let faults = server.faults();
    let (text, when) = ("no json".to_owned(), When::Now);
    faults.live(Fault::Text {
        text,
        count: 2,
        when,
    });
    for _ in 0..2 {
        let frame = client.frame().await.unwrap().unwrap();
        assert_eq!(frame, Message::text("no json"));
    }
    faults.live(Fault::Pings { count: 3, when });
    for _ in 0..3 {
        let frame = client.frame().await.unwrap().unwrap();
        assert!(matches!(frame, Message::Ping(_)), "{frame:?}");
    }
    faults.live(Fault::Binary { when });
    let frame = client.frame().await.unwrap().unwrap();
    assert!(matches!(frame, Message::Binary(_)), "{frame:?}");
    // A reader of messages waits for their end.
    let (count, bytes) = (5, 10);
    faults.live(Fault::Fragments { count, bytes, when });
    let waited = tokio::time::timeout(Duration::from_millis(200), client.frame()).await;
    assert!(waited.is_err(), "{waited:?}");
}
