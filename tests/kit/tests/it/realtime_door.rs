//! Who gets in, and how those who do not are told.

use crate::realtime_client::{Client, PATIENCE, dial_with, quick, session};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use switchboard_kit::realtime::{Ended, Fault};
use tokio_tungstenite::tungstenite::{Error, Message};

const KEY: (&str, &str) = ("authorization", "Bearer sk-test");

/// The status and the headers of a refused upgrade.
async fn refused(url: &str, headers: &[(&'static str, &str)]) -> (u16, Option<String>) {
    match dial_with(url, headers).await {
        Err(Error::Http(response)) => {
            let retry = response.headers().get("retry-after");
            let retry = retry.map(|value| value.to_str().unwrap().to_owned());
            let body: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
            assert!(body["error"]["message"].is_string());
            (response.status().as_u16(), retry)
        }
        other => panic!("{other:?}"),
    }
}

/// The error event and the close frame of a session that was turned away.
async fn turned_away(url: &str, headers: &[(&'static str, &str)]) -> (Value, u16, String) {
    let mut socket = dial_with(url, headers).await.unwrap();
    let Some(Ok(Message::Text(text))) = socket.next().await else {
        panic!("no error event");
    };
    let error: Value = serde_json::from_str(&text).unwrap();
    let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else {
        panic!("no close");
    };
    (
        error["error"]["code"].clone(),
        frame.code.into(),
        frame.reason.to_string(),
    )
}

#[tokio::test]
async fn without_a_key_there_is_no_upgrade() {
    let server = quick().start().await.unwrap();
    let url = format!("{}?model=gpt-realtime-2.1", server.url());
    assert_eq!(refused(&url, &[]).await, (401, None));
    assert_eq!(refused(&url, &[("authorization", "Bearer ")]).await.0, 401);
    assert_eq!(
        refused(&url, &[("authorization", "Basic abc")]).await.0,
        401
    );
    let first = session(&server, 1).await;
    assert!(
        first
            .until(PATIENCE, |session| session.ended()
                == Some(Ended::Refused(401)))
            .await
    );
}

#[tokio::test]
async fn wrong_keys_models_and_the_beta_header_are_turned_away_after_the_upgrade() {
    let server = quick().keys(["sk-test"]).start().await.unwrap();
    let url = |model: &str| format!("{}?model={model}", server.url());
    let good = url("gpt-realtime-2.1");
    assert_eq!(
        turned_away(&good, &[("authorization", "Bearer sk-other")]).await,
        (
            json!("invalid_api_key"),
            3000,
            "invalid_request_error.invalid_api_key".into()
        )
    );
    assert_eq!(
        turned_away(&good, &[KEY, ("openai-beta", "realtime=v1")]).await,
        (
            json!("beta_api_shape_disabled"),
            4000,
            "invalid_request_error.beta_api_shape_disabled".into()
        )
    );
    let missing = (
        json!("missing_model"),
        4000,
        "invalid_request_error.missing_model".into(),
    );
    assert_eq!(turned_away(&server.url(), &[KEY]).await, missing);
    assert_eq!(
        turned_away(&url("gpt-4o-realtime-preview"), &[KEY]).await,
        missing
    );
    assert_eq!(
        turned_away(&url("gpt-reeltime"), &[KEY]).await.0,
        "model_not_found"
    );
    assert_eq!(
        refused(&format!("{}?call_id=rtc_1", server.url()), &[KEY])
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn the_first_event_shows_the_servers_defaults() {
    let server = quick().start().await.unwrap();
    let mut client = Client::dial(&server).await;
    let session_json = client.event().await["session"].take();
    assert_eq!(
        session_json["audio"]["input"]["format"],
        json!({"type": "audio/pcm", "rate": 24_000})
    );
    assert_eq!(
        session_json["audio"]["input"]["turn_detection"]["silence_duration_ms"],
        200
    );
    assert_eq!(session_json["audio"]["output"]["voice"], "marin");
    let seen = session(&server, 1).await;
    assert_eq!(seen.greeting().path, "/v1/realtime");
    assert_eq!(seen.greeting().api_key.as_deref(), Some("sk-test"));
    assert!(!format!("{:?}", seen.greeting()).contains("sk-test"));
    assert_eq!(seen.config()["id"], session_json["id"]);
}

#[tokio::test]
async fn an_upgrade_can_be_refused_hang_or_come_late() {
    let server = quick().start().await.unwrap();
    let url = format!("{}?model=gpt-realtime-2.1", server.url());
    for (status, retry_after_s) in [
        (401, None),
        (403, None),
        (429, Some(7)),
        (500, None),
        (503, Some(1)),
    ] {
        server.faults().next(Fault::RefuseUpgrade {
            status,
            retry_after_s,
        });
        let retry = retry_after_s.map(|seconds| seconds.to_string());
        assert_eq!(refused(&url, &[KEY]).await, (status, retry));
    }
    server.faults().next(Fault::HangHandshake);
    let hangs = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        dial_with(&url, &[KEY]),
    )
    .await;
    assert!(hangs.is_err());
    server.faults().next(Fault::SlowHandshake { ms: 150 });
    let before = std::time::Instant::now();
    dial_with(&url, &[KEY]).await.unwrap();
    assert!(before.elapsed().as_millis() >= 150);
    // And nothing stays behind.
    dial_with(&url, &[KEY]).await.unwrap();
    assert_eq!(server.sessions().len(), 8);
}

#[tokio::test]
async fn a_stopped_server_ends_its_sessions_and_frees_its_port() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    let address = server.addr();
    server.stop().await;
    assert!(!matches!(client.frame().await, Some(Ok(_))));
    let again = quick().listen(address).start().await.unwrap();
    assert_eq!(again.addr(), address);
    drop(again);
}
