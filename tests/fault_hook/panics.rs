//! A panic in each part of the running process: survived, counted, and nobody's business but its own.

use std::time::Duration;

use serde_json::json;
use switchboard_kit::realtime::{Step as Answer, ToolCall};
use switchboard_kit::twilio::{CallEnd, Step};

use crate::support::child::Serving;
use crate::support::{MODEL_KEY, SOON, brief_with, line_to, listen, say, tone, until};
use crate::town::{Folder, metrics};
use crate::victim::{Victim, a_moment, longest_gap_ms, operator};

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
    for (number, kind, streams) in [
        (1, "panic_in_step", 1),
        (2, "panic_in_actor", 2),
        (3, "panic_in_phone", 2),
        (4, "panic_in_model", 1),
        (5, "panic_in_tool", 1),
    ] {
        let steps = [listen(), say("yes"), listen(), Step::HangUp];
        let from = format!("+1555010{number}");
        let victim = Victim::on(line_to(serving.public), serving.admin, &from, steps).await;
        victim.breaks(&format!("{{\"kind\":\"{kind}\"}}")).await;
        let outcome = victim.outcome().await;
        assert_eq!(outcome.end, CallEnd::CallerHungUp, "{kind}: {outcome:#?}");
        assert!(outcome.dialled().is_empty(), "{kind}");
        assert_eq!(outcome.streams.len(), streams, "{kind}");
        let gap = longest_gap_ms(&outcome);
        assert!(gap <= 4_000, "{kind}: {gap} ms");
        assert_eq!(panics(&serving).await, f64::from(number), "{kind}");
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
    let victim = Victim::on(line_to(serving.public), serving.admin, "+15550142", steps).await;
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
    let call = victim.call.clone();
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
    let outcome = victim.outcome().await;
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
