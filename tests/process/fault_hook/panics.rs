//! A panic in each part of the running process: survived, counted, and nobody's business but its own.

use std::time::Duration;

use serde_json::json;
use switchboard_kit::realtime::{Step as Answer, ToolCall};
use switchboard_kit::twilio::{CallEnd, Step};

use test_support::child::Serving;
use test_support::faulted_call::{FaultedCall, a_moment, longest_gap_ms, operator};
use test_support::http::{Request, ring};
use test_support::phone::{closed_with, sid};
use test_support::process_fixture::{self, Folder, metrics};
use test_support::{MODEL_KEY, SOON, brief_with, line_to, listen, say, times, tone, until};

const AGENT: &str = r#"
[agents.spa]
instructions = "You answer the phone of a spa."
greeting = { mode = "model", text = "Greet the caller." }
tools = ["list_services"]
[fallback]
say = "We have a technical problem."
dial = "+15550199"
"#;

/// A process whose model asks for a tool at the caller's first word.
async fn serving(folder: &Folder, model: &str) -> Serving {
    let config = folder.0.join("switchboard.toml");
    std::fs::write(&config, AGENT).unwrap();
    let more = [("SWITCHBOARD_CONFIG", config.display().to_string())];
    Serving::start(&folder.variables(model, &more)).await
}

fn model() -> switchboard_kit::realtime::Realtime {
    let asks = Answer {
        tools: vec![ToolCall {
            name: "list_services".to_owned(),
            arguments: json!({}),
        }],
        ..Answer::default()
    };
    brief_with(|script| {
        script.greeting = tone(440, 2_000, "Hello.");
        script.turns = vec![asks, tone(660, 500, "So much for that.")];
    })
    .keys([MODEL_KEY])
}

async fn panics(serving: &Serving) -> f64 {
    metrics(serving).await.get("switchboard_panics_total")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_anywhere_in_a_call_leaves_it_on_the_line() {
    let folder = Folder::new();
    let model = model().start().await.unwrap();
    let serving = serving(&folder, &model.url()).await;
    println!("| a panic in | streams | longest gap |");
    let mut so_far = 0.0;
    for (number, kind, streams, times) in [
        (1, "panic_in_step", 1, 1.0),
        (2, "panic_in_actor", 1, 1.0),
        (3, "panic_in_effect", 1, 1.0),
        (4, "panic_in_every_step", 1, 2.0),
        (5, "panic_unguarded", 2, 1.0),
        (6, "panic_in_phone", 2, 1.0),
        (7, "panic_in_model", 1, 1.0),
        (8, "panic_in_tool", 1, 1.0),
    ] {
        so_far += times;
        let steps = [listen(), say("yes"), listen(), Step::HangUp];
        let from = format!("+1555010000{number}");
        let faulted = FaultedCall::on(line_to(serving.public), serving.admin, &from, steps).await;
        faulted.breaks(&format!("{{\"kind\":\"{kind}\"}}")).await;
        let outcome = faulted.outcome().await;
        assert_eq!(outcome.end, CallEnd::CallerHungUp, "{kind}: {outcome:#?}");
        assert!(outcome.dialled().is_empty(), "{kind}");
        assert_eq!(outcome.streams.len(), streams, "{kind}");
        let gap = longest_gap_ms(&outcome);
        times::within_ms(gap, 4_000, kind);
        assert_eq!(panics(&serving).await, so_far, "{kind}");
        println!("| {kind} | {streams} | {gap} ms |");
    }
    until("nobody is left", SOON, async || {
        metrics(&serving).await.sum("switchboard_calls_active") == 0.0
    })
    .await;
    let open = |session: &switchboard_kit::realtime::Session| session.ended().is_none();
    until("no session is left", SOON, async || {
        !model.sessions().iter().any(open)
    })
    .await;
    let scrape = metrics(&serving).await;
    let restarts = |reason: &str| {
        scrape.get(&format!(
            "switchboard_call_restarts_total{{reason=\"{reason}\"}}"
        ))
    };
    assert_eq!((restarts("fault"), restarts("panic")), (5.0, 1.0));
    serving.stop().await;
}

/// The thread is held, so that the call meets its fault and the death of its socket in one go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_a_call_that_loses_its_socket_costs_neither_the_call_nor_its_end() {
    let folder = Folder::new();
    let model = model().start().await.unwrap();
    let serving = serving(&folder, &model.url()).await;
    for (number, kind) in [(1, "panic_in_effect"), (2, "panic_in_step")] {
        let steps = [listen(), say("yes"), listen(), Step::HangUp];
        let from = format!("+1555010000{number}");
        let faulted = FaultedCall::on(line_to(serving.public), serving.admin, &from, steps).await;
        faulted.breaks("{\"kind\":\"stall_step\",\"ms\":700}").await;
        faulted.breaks(&format!("{{\"kind\":\"{kind}\"}}")).await;
        faulted.breaks("{\"kind\":\"panic_in_phone\"}").await;
        let outcome = faulted.outcome().await;
        assert_eq!(outcome.end, CallEnd::CallerHungUp, "{kind}: {outcome:#?}");
        assert_eq!(outcome.streams.len(), 2, "{kind}");
        ended_once(&serving, "caller_hung_up", number).await;
    }
    let steps = [listen(), Step::Wait { ms: 10_000 }, Step::HangUp];
    let line = line_to(serving.public);
    let faulted = FaultedCall::on(line, serving.admin, "+15550100003", steps).await;
    faulted.breaks("{\"kind\":\"stall_step\",\"ms\":700}").await;
    faulted.breaks("{\"kind\":\"panic_in_effect\"}").await;
    let path = format!("/admin/calls/{}/hangup", faulted.call);
    let hung_up = operator(serving.admin, "POST", &path, "").await;
    assert_eq!(hung_up.status, 202);
    faulted.outcome().await;
    ended_once(&serving, "operator_hang_up", 1).await;
    let told = metrics(&serving).await.sum("switchboard_calls_total");
    assert_eq!(told, 3.0, "each call has one end");
    serving.stop().await;
}

async fn ended_once(serving: &Serving, reason: &str, so_far: u32) {
    let name = format!("switchboard_calls_total{{outcome=\"{reason}\"}}");
    until("the call's end is told", SOON, async || {
        metrics(serving).await.sum("switchboard_calls_active") == 0.0
    })
    .await;
    assert_eq!(metrics(serving).await.get(&name), f64::from(so_far));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_webhook_costs_that_request() {
    let folder = Folder::new();
    let model = model().start().await.unwrap();
    let serving = serving(&folder, &model.url()).await;
    let order = "{\"kind\":\"panic_in_webhook\"}";
    let ordered = operator(serving.admin, "POST", "/admin/fault", order).await;
    assert_eq!(ordered.status, 202);
    let call = sid("CA");
    let webhook = Request::signed("/incoming-call", &ring(&call, "+15550142"));
    let broken = webhook.clone().send(serving.public).await;
    assert_eq!((broken.status, broken.text().as_str()), (500, ""));
    assert_eq!(panics(&serving).await, 1.0);
    // Twilio asks again, and whoever rings next is answered.
    let again = webhook.send(serving.public).await;
    assert!(again.text().contains("<Connect"), "{}", again.text());
    let steps = [listen(), Step::HangUp];
    let faulted = FaultedCall::on(line_to(serving.public), serving.admin, "+15550143", steps).await;
    assert_eq!(faulted.outcome().await.end, CallEnd::CallerHungUp);
    assert_eq!(panics(&serving).await, 1.0);
    println!(
        "F11 a panic in a webhook: answered 500 after {} ms, counted once, the next one 200 after {} ms and its call held",
        broken.took.as_millis(),
        again.took.as_millis()
    );
    // The call that was announced by hand keeps its place, and would be waited for.
    drop(serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_registry_costs_one_message_and_no_call() {
    let folder = Folder::new();
    let model = model().start().await.unwrap();
    let config = folder.0.join("switchboard.toml");
    std::fs::write(&config, AGENT).unwrap();
    let more = [
        ("SWITCHBOARD_CONFIG", config.display().to_string()),
        ("SWITCHBOARD_DRAIN_SECONDS", "1".to_owned()),
    ];
    let mut serving = Serving::start(&folder.variables(&model.url(), &more)).await;
    let line = || line_to(serving.public);
    let stays = || [listen(), say("yes"), listen(), Step::Wait { ms: 20_000 }];
    let before = FaultedCall::on(line(), serving.admin, "+15550142", stays()).await;
    // Announced, and not there yet: its place is kept.
    let waits = Request::signed("/incoming-call", &ring(&sid("CA"), "+15550144"));
    assert_eq!(waits.send(serving.public).await.status, 200);
    let order = "{\"kind\":\"panic_in_registry\"}";
    for times in [1.0, 2.0, 3.0] {
        let ordered = operator(serving.admin, "POST", "/admin/fault", order).await;
        assert_eq!(ordered.status, 202);
        until("the registry has panicked", SOON, async || {
            panics(&serving).await == times
        })
        .await;
    }
    let ready = Request::new("GET", "/readyz").send(serving.public).await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    let list = operator(serving.admin, "GET", "/admin/calls", "").await;
    assert_eq!(list.json()["count"], 1);
    let after = FaultedCall::on(line(), serving.admin, "+15550143", stays()).await;
    process_fixture::have_turns(&serving, 2, 3).await;
    serving.signal("TERM");
    let (code, took) = serving.ended(SOON).await;
    assert_eq!(code, 0);
    for outcome in [before.outcome().await, after.outcome().await] {
        let stream = &outcome.streams[0];
        assert_eq!(stream.end, closed_with(1001));
        assert_eq!(stream.agent_speech.len(), 2, "{:?}", stream.agent_speech);
    }
    let lines = serving.lines();
    let told = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(told("fault in the registry, one message is lost"), 3);
    println!(
        "3 panics in the registry: the call that was there and the one that came went on, both handed over with 1001 at a \
         drain of 1 s, exit after {} ms",
        took.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_handed_over_by_a_process_whose_registry_is_silent() {
    let folder = Folder::new();
    let model = model().start().await.unwrap();
    let more = [("SWITCHBOARD_DRAIN_SECONDS", "3".to_owned())];
    let mut serving = Serving::start(&folder.variables(&model.url(), &more)).await;
    let steps = [listen(), Step::Wait { ms: 20_000 }];
    let faulted = FaultedCall::on(line_to(serving.public), serving.admin, "+15550142", steps).await;
    let call = faulted.call.clone();
    let order = "{\"kind\":\"stall_registry\",\"ms\":30000}";
    let ordered = operator(serving.admin, "POST", "/admin/fault", order).await;
    assert_eq!(ordered.status, 202);
    a_moment().await;
    serving.signal("TERM");
    let (code, took) = serving.ended(SOON).await;
    assert_eq!(code, 0);
    // Silence is no empty service: the deadline is waited for, and the question that was under way then.
    assert!(took >= Duration::from_secs(3), "{took:?}");
    times::within(took, Duration::from_secs(3 + 2 + 2), "exit");
    assert_eq!(faulted.outcome().await.streams[0].end, closed_with(1001));
    let store = rusqlite::Connection::open(folder.0.join("calls.sqlite")).unwrap();
    let sql = "SELECT count(*) FROM calls WHERE call = ?1 AND checkpoint IS NOT NULL";
    let kept: i64 = store.query_row(sql, [&call], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1, "whoever is asked next can go on with it");
    println!(
        "a registry that is silent for 30 s, drain deadline 3 s: the call written down and closed with 1001, exit after {} ms",
        took.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_whose_calls_die_again_and_again_is_let_go_to_the_fallback() {
    let folder = Folder::new();
    let model = model().start().await.unwrap();
    let serving = serving(&folder, &model.url()).await;
    let steps = [Step::Wait { ms: 25_000 }];
    let faulted = FaultedCall::on(line_to(serving.public), serving.admin, "+15550142", steps).await;
    let path = format!("/admin/calls/{}/fault", faulted.call);
    for deaths in 1..=6 {
        let order = "{\"kind\":\"panic_unguarded\"}";
        until("the call is there to die", SOON, async || {
            operator(serving.admin, "POST", &path, order).await.status == 202
        })
        .await;
        until("it is dead", SOON, async || {
            panics(&serving).await == f64::from(deaths)
        })
        .await;
    }
    let outcome = faulted.outcome().await;
    assert_eq!(outcome.streams.len(), 6, "five returns");
    assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
    let scrape = metrics(&serving).await;
    let refused = "switchboard_admission_rejected_total{reason=\"too_often\"}";
    assert_eq!(scrape.get(refused), 1.0);
    let restarts = "switchboard_call_restarts_total{reason=\"panic\"}";
    assert_eq!(scrape.get(restarts), 6.0);
    println!("a call whose actors die: five returns, then the fallback");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_what_calls_share_costs_the_request_that_met_it() {
    let folder = Folder::new();
    let model = model().start().await.unwrap();
    let serving = serving(&folder, &model.url()).await;
    let steps = [
        listen(),
        say("yes"),
        listen(),
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let faulted = FaultedCall::on(line_to(serving.public), serving.admin, "+15550142", steps).await;
    let order = async |body: &str| operator(serving.admin, "POST", "/admin/fault", body).await;
    assert_eq!(order("{\"kind\":\"panic_in_metrics\"}").await.status, 202);
    let broken = operator(serving.admin, "GET", "/metrics", "").await;
    assert_eq!(broken.status, 500);
    assert_eq!(panics(&serving).await, 1.0, "the next scrape is answered");
    assert_eq!(order("{\"kind\":\"panic_in_store\"}").await.status, 202);
    until("the store has panicked", SOON, async || {
        panics(&serving).await == 2.0
    })
    .await;
    // It works again: what is written down now is found by another process.
    a_moment().await;
    let call = faulted.call.clone();
    let kept = || {
        let file = folder.0.join("calls.sqlite");
        let store = rusqlite::Connection::open(file).unwrap();
        let sql = "SELECT count(*) FROM calls WHERE call = ?1 AND checkpoint IS NOT NULL";
        let count = store.query_row(sql, [&call], |row| row.get::<_, i64>(0));
        count.unwrap()
    };
    until(
        "the call is written down",
        Duration::from_secs(8),
        async || kept() == 1,
    )
    .await;
    let outcome = faulted.outcome().await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.streams.len(), 1);
    until("the checkpoint goes with the call", SOON, async || {
        kept() == 0
    })
    .await;
    println!(
        "a panic in a scrape: 500, the next one 200; in the store's thread: written down again; the call's longest gap {} ms",
        longest_gap_ms(&outcome)
    );
    let lines = serving.stop().await;
    let counted = lines
        .iter()
        .filter(|line| line.contains("\"panic\""))
        .count();
    assert_eq!(counted, 2);
}
