//! The operator's commands: done, or refused with the reason.

use serde_json::json;
use switchboard_kit::realtime::Fault as ModelFault;
use switchboard_kit::twilio::{CallEnd, Step};

use crate::service::transfer::switching::{asked, live, order, told, usual};
use test_support::phone::sid;
use test_support::{SOON, caller, listen, until};

const COMMANDS: [(&str, &str); 3] = [
    ("say", r#"{"text":"We close at six today."}"#),
    ("instruct", r#"{"text":"The sauna is closed today."}"#),
    ("transfer", r#"{"to":"+15550177"}"#),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_says_what_the_operator_wants_and_knows_what_he_tells() {
    let service = usual().await;
    let line = service.line();
    let steps = [listen(), listen(), Step::HangUp];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    let sid = live(&service).await;
    for (what, body) in [COMMANDS[1], COMMANDS[0]] {
        let reply = order(&service, &sid, what, body).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        assert_eq!(reply.json(), json!({"call_sid": sid, what: "ordered"}));
    }
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    // The greeting, and the operator's words.
    assert_eq!(outcome.streams[0].agent_speech.len(), 2);
    let session = service.model.session(1).unwrap();
    assert_eq!(told(&session), ["The sauna is closed today."]);
    let asked = asked(&session);
    assert_eq!(asked.len(), 2, "the greeting, and this: {asked:?}");
    assert!(
        asked[1].contains("word for word") && asked[1].ends_with("\nWe close at six today."),
        "{asked:?}"
    );
    service.empty().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_refused_and_change_nothing() {
    let service = usual().await;
    let line = service.line();
    let steps = [listen(), Step::Wait { ms: 8_000 }, Step::HangUp];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    let sid = live(&service).await;
    let long = json!({"text": "ä".repeat(2_001)}).to_string();
    let huge = json!({"text": "a".repeat(1 << 20)}).to_string();
    let texts = [
        "",
        "text",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"text":""}"#,
        r#"{"text":" \n "}"#,
        r#"{"text":7}"#,
        r#"{"text":"a","more":1}"#,
        &long,
        &huge,
    ];
    let destinations = [
        "{}",
        r#"{"to":""}"#,
        r#"{"to":"+"}"#,
        r#"{"to":"+0155"}"#,
        r#"{"to":"+1555012345678901"}"#,
        r#"{"to":"+1555"}"#,
        r#"{"to":"+44207946095812"}"#,
        r#"{"to":"+2105550100"}"#,
        r#"{"to":"+44 (0)20 7946 0958"}"#,
        r#"{"to":"15550177"}"#,
        r#"{"to":"the moon"}"#,
        r#"{"to":["+15550177"]}"#,
        r#"{"to":"+15550177","from":"me"}"#,
    ];
    let mut rows = Vec::new();
    for body in texts {
        rows.extend([("say", body), ("instruct", body)]);
    }
    rows.extend(destinations.map(|body| ("transfer", body)));
    for (what, body) in &rows {
        let reply = order(&service, &sid, what, body).await;
        let shown: String = body.chars().take(40).collect();
        assert_eq!(reply.status, 422, "{what} {shown}: {}", reply.text());
        assert_eq!(reply.json()["error"]["code"], "bad_body", "{what} {shown}");
    }
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let session = service.model.session(1).unwrap();
    assert_eq!((told(&session).len(), asked(&session).len()), (0, 1));
    service.empty().await;
    service.stop().await;
    println!("{} bad bodies: all 422", rows.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_for_unknown_calls_and_calls_in_another_state_are_refused() {
    let service = usual().await;
    for call in ["CA1", "CA00000000000000000000000000000001"] {
        for (what, body) in COMMANDS {
            assert_eq!(
                order(&service, call, what, body).await.status,
                404,
                "{what}"
            );
        }
    }
    // A socket on which nobody was heard yet.
    let call = sid("CA");
    let mut leg = service.pick_up(&call).await;
    leg.connected().await;
    leg.start().await;
    until("the call has begun", SOON, async || {
        service.calls().await["calls"][0]["state"] == "start"
    })
    .await;
    let refused = async |call: &str, what: &str, body: &str, why: &str| {
        let reply = order(&service, call, what, body).await;
        assert_eq!(reply.status, 409, "{what}: {}", reply.text());
        let error = reply.json()["error"].clone();
        assert_eq!(error["code"], "wrong_state");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(why), "{what}: {message}");
    };
    for (what, body) in COMMANDS {
        refused(&call, what, body, "not in media").await;
    }
    leg.stop().await;
    service.empty().await;
    // A caller whose model cannot be had yet: a person can.
    service.model.faults().every(ModelFault::HangHandshake);
    let call = sid("CA");
    let mut leg = service.pick_up(&call).await;
    leg.begin().await;
    until("the caller is heard", SOON, async || {
        leg.media().await;
        service.calls().await["calls"][0]["state"] == "media"
    })
    .await;
    for (what, body) in &COMMANDS[..2] {
        refused(&call, what, body, "model is not ready").await;
    }
    let (what, body) = COMMANDS[2];
    assert_eq!(order(&service, &call, what, body).await.status, 202);
    service.empty().await;
    service.stop().await;
}
