//! Leaving: at the operator's wish, with a fleet and without one.

use std::time::{Duration, Instant};

use serde_json::json;
use switchboard_kit::twilio::{CallEnd, Scripted, Step};

use test_support::child::Serving;
use test_support::http::{Request, ring};
use test_support::phone::{closed_with, sid};
use test_support::process_fixture::{Folder, operator};
use test_support::{
    AGENT, MODEL_KEY, Options, SOON, TestService, brief, line_to, listen, times, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_drain_at_the_operators_wish_hands_over_at_the_deadline_and_the_process_stays() {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let drain = [("SWITCHBOARD_DRAIN_SECONDS", "1".to_owned())];
    let variables = folder.variables(&model.url(), &drain);
    let mut leaving = Serving::start(&variables).await;
    let staying = Serving::start(&variables).await;
    let line = line_to(leaving.public);
    let route = line.route.clone().unwrap();
    let steps = [listen(), listen(), Step::HangUp];
    let call = tokio::spawn(async move { line.call(Scripted::new(steps, 30_000)).await });
    until("the call lives", SOON, async || {
        operator(&leaving, "GET", "/admin/calls").await.json()["calls"][0]["turns"] == json!(1)
    })
    .await;
    // From now on the proxy leads elsewhere.
    route.set_targets(vec![staying.public]);
    let began = Instant::now();
    assert_eq!(operator(&leaving, "POST", "/admin/drain").await.status, 202);
    // Asking twice changes nothing.
    assert_eq!(operator(&leaving, "POST", "/admin/drain").await.status, 202);
    let ready = Request::new("GET", "/readyz").send(leaving.public).await;
    assert_eq!(ready.status, 503);
    let outcome = call.await.unwrap();
    assert_eq!(
        outcome.end,
        CallEnd::CallerHungUp,
        "{:?}",
        outcome.documents
    );
    let handed_over = closed_with(1001);
    assert_eq!(outcome.streams[0].end, handed_over);
    assert_eq!(outcome.streams.len(), 2);
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "not before the deadline"
    );
    assert_eq!(leaving.exit_code(), None, "the process stays");
    let health = Request::new("GET", "/healthz").send(leaving.public).await;
    assert_eq!(health.status, 200);
    assert_eq!(
        operator(&leaving, "GET", "/admin/calls").await.json()["draining"],
        true
    );
}

/// Longest wait of a caller for what a process says that leaves.
const AT_ONCE: Duration = Duration::from_millis(100);

async fn ask(service: &TestService, path: &str, call: &str) -> String {
    let reply = Request::signed(path, &ring(call, "+15550142"))
        .send(service.public)
        .await;
    assert_eq!(reply.status, 200, "{path}");
    times::within(reply.took, AT_ONCE, path);
    reply.text()
}

#[tokio::test]
async fn while_it_leaves_a_process_sends_callers_to_the_fleet() {
    let options = Options {
        toml: format!("[server]\nfleet_url = \"https://fleet.example\"\n{AGENT}"),
        ..Options::default()
    };
    let service = TestService::start(options).await;
    assert_eq!(service.operator("POST", "/admin/drain").await.status, 202);
    let new = ask(&service, "/incoming-call", &sid("CA")).await;
    let jump = "<Redirect method=\"POST\">https://fleet.example/incoming-call</Redirect>";
    assert!(new.contains(jump), "{new}");
    let returning = ask(&service, "/after-stream", &sid("CA")).await;
    let jump = "<Response><Redirect method=\"POST\">https://fleet.example/after-stream?waited=1</Redirect>";
    assert!(returning.contains(jump), "{returning}");
    service.stop().await;
    println!(
        "D3 webhook during a drain: a new and a returning caller are redirected to the fleet's address at once"
    );
}

#[tokio::test]
async fn without_a_fleet_a_returning_caller_waits_for_the_next_process_but_not_for_ever() {
    let service = TestService::usual().await;
    assert_eq!(service.operator("POST", "/admin/drain").await.status, 202);
    let call = sid("CA");
    let first = ask(&service, "/after-stream", &call).await;
    let wait = "<Pause length=\"1\"/><Redirect method=\"POST\">https://spa.example/after-stream?waited=1</Redirect>";
    assert!(first.contains(wait), "{first}");
    let last = ask(&service, "/after-stream?waited=10", &call).await;
    assert!(
        last.contains("<Say") && last.contains("+15550199"),
        "{last}"
    );
    // A new caller is not kept waiting: a person answers.
    let new = ask(&service, "/incoming-call", &sid("CA")).await;
    assert!(new.contains("<Dial>+15550199</Dial>"), "{new}");
    service.stop().await;
    println!(
        "D3 on a single node: a new caller gets the front desk, a returning one waits for the next process, 10 s at most"
    );
}
