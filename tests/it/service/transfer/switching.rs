//! What these tests share: a spa with a front desk, a model that transfers, an operator with a body.

use serde_json::{Value, json};
use switchboard_kit::realtime::{Realtime, Session, Step as Answer, ToolCall};

use test_support::http::{Reply, Request};
use test_support::{
    ADMIN_TOKEN, AGENT, Options, SOON, TestService, brief, brief_with, tone, until,
};

/// The number of the front desk, a transfer target; the fallback is another one.
pub(crate) const DESK: &str = "+15550188";
/// The number of the fallback.
pub(crate) const FALLBACK: &str = "+15550199";

/// The spa with a front desk: by word, and by the key 0.
pub(crate) fn toml() -> String {
    let agent = AGENT.replacen(
        "[fallback]",
        "tools = [\"transfer_call\"]\nkeys = { \"0\" = \"front_desk\" }\n[fallback]",
        1,
    );
    format!("{agent}\n[transfer]\nring_seconds = 17\n[transfer.targets]\nfront_desk = \"{DESK}\"\n")
}

/// An answer that says something and sends the caller there.
pub(crate) fn sends_to(target: &str) -> Answer {
    Answer {
        tools: vec![ToolCall {
            name: "transfer_call".to_owned(),
            arguments: json!({"target": target}),
        }],
        ..tone(770, 600, "I am connecting you now.")
    }
}

/// A model that sends a caller there who says anything.
pub(crate) fn sending_to(target: &str) -> Realtime {
    let step = sends_to(target);
    brief_with(|script| script.turns = vec![step])
}

pub(crate) async fn service(model: Realtime) -> TestService {
    let options = Options {
        toml: toml(),
        ..Options::default()
    };
    TestService::start(options.model(model)).await
}

/// A model that answers whatever it is asked with a tone.
pub(crate) async fn usual() -> TestService {
    service(brief()).await
}

/// An operator's request with a body.
pub(crate) async fn order(service: &TestService, call: &str, what: &str, body: &str) -> Reply {
    Request::new("POST", &format!("/admin/calls/{call}/{what}"))
        .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .header("Content-Type", "application/json")
        .body(body)
        .send(service.admin)
        .await
}

/// The one live call, when the agent has had a turn in it.
pub(crate) async fn live(service: &TestService) -> String {
    let mut call = String::new();
    until("the call is in media and greeted", SOON, async || {
        let row = service.calls().await["calls"][0].clone();
        call = row["call_sid"].as_str().unwrap_or_default().to_owned();
        row["state"] == "media" && row["turns"].as_u64() > Some(0)
    })
    .await;
    call
}

/// The texts a session was told in the service's name.
pub(crate) fn told(session: &Session) -> Vec<String> {
    let items = session.received_of("conversation.item.create");
    let items = items.iter().map(|event| &event["item"]);
    let of_system = items.filter(|item| item["role"] == "system");
    of_system
        .map(|item| item["content"][0]["text"].as_str().unwrap().to_owned())
        .collect()
}

/// What a session was asked to say, where that was put in words.
pub(crate) fn asked(session: &Session) -> Vec<String> {
    let requests = session.received_of("response.create");
    let words = requests
        .iter()
        .map(|event| &event["response"]["instructions"]);
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}
