//! The caller hangs up while no process has their call.

use switchboard_kit::twilio::{CallEnd, Scripted, Step};

use test_support::child::Serving;
use test_support::process_fixture::{Folder, at, lasting_address, line_with_fallback, metrics};
use test_support::{MODEL_KEY, PUBLIC, SOON, brief, listen, until};

/// Where Twilio waits: longer than the caller does, who hangs up in the middle of it.
const STANDBY: &str = "<Response><Pause length=\"4\"/>\
    <Redirect method=\"POST\">https://spa.example/after-stream</Redirect></Response>";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_caller_who_hangs_up_between_two_processes_leaves_one_last_line_and_nothing_else() {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let variables = at(folder.variables(&model.url(), &[]), lasting_address());
    let mut first = Serving::start(&variables).await;
    let mut line = line_with_fallback(first.public, STANDBY).await;
    line.status_callback = Some(format!("{PUBLIC}/call-status"));
    let steps = [listen(), Step::Wait { ms: 4_500 }, Step::HangUp];
    let call = tokio::spawn(async move { line.call(Scripted::new(steps, 30_000)).await });
    until("the greeting is written down", SOON, async || {
        first.event("turn").is_some()
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    first.signal("KILL");
    first.ended(SOON).await;
    let second = Serving::start(&variables).await;

    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp, "{:?}", outcome.verbs);
    assert_eq!(outcome.streams.len(), 1, "nobody took the call over");
    assert_eq!(outcome.callbacks.last().unwrap().answer, Ok(204));
    until("its end is told", SOON, async || {
        second.event("stop").is_some()
    })
    .await;
    let stop = second.event("stop").unwrap();
    assert_eq!(stop["call_sid"], outcome.call_sid.as_str());
    assert_eq!(stop["reason"], "gone_meanwhile");
    assert!(
        stop["duration_ms"].as_u64() > Some(0) && stop["turns"] == 1,
        "{stop}"
    );
    let scrape = metrics(&second).await;
    let counted = scrape.get("switchboard_calls_total{outcome=\"gone_meanwhile\"}");
    assert_eq!(counted, 1.0);
    assert_eq!(scrape.sum("switchboard_calls_active"), 0.0);
    let store = rusqlite::Connection::open(folder.0.join("calls.sqlite")).unwrap();
    let sql = "SELECT count(*) FROM calls WHERE checkpoint IS NOT NULL";
    let kept: i64 = store.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 0, "what was written down goes with the call");
    second.stop().await;
}
