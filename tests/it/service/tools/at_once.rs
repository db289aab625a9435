//! Many callers whose agents run a tool with effects at the same time.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;
use switchboard_kit::twilio::CallEnd;

use crate::service::tools::conversation::{ask, model_calling, service, toml};
use test_support::times;
use test_support::tool_server::{Does, ToolServer};

const CALLS: usize = 20;

/// Frames that spent no longer than this in the process, of all.
const BUDGET: &str = "0.005";

#[tokio::test(flavor = "multi_thread")]
async fn twenty_calls_run_a_tool_at_once_and_their_audio_does_not_wait_for_it() {
    let server = ToolServer::start([Does::AnswersAfter(600, r#"{"code":"A7"}"#.to_owned())]).await;
    let model = model_calling(&[("it", json!({"at": 9}))]);
    let silent = "tool_filler = { mode = \"none\" }";
    let service = service(model, toml(&server, silent, "effects = true")).await;
    let outcomes = join_all((0..CALLS).map(|_| ask(&service, []))).await;
    for outcome in &outcomes {
        assert_eq!(outcome.end, CallEnd::CallerHungUp);
        assert_eq!(outcome.complaints(), []);
        let speech = &outcome.streams[0].agent_speech;
        assert_eq!(
            speech.len(),
            2,
            "the greeting and what came of the tool: {speech:?}"
        );
    }
    let asked = server.asked();
    let keys: BTreeSet<&str> = asked
        .iter()
        .map(|asked| asked.header("idempotency-key"))
        .collect();
    assert_eq!(asked.len(), CALLS);
    assert_eq!(
        keys.len(),
        CALLS,
        "the same wish of another caller is another"
    );
    assert_eq!(server.effects(), CALLS as u32);
    service.empty().await;
    let scrape = service.metrics().await;
    let sum = |name: &str| {
        let of_way = |way: &str| scrape.get(&name.replace("WAY", way));
        of_way("from_caller") + of_way("to_caller")
    };
    let all = sum("switchboard_bridge_latency_seconds_count{direction=\"WAY\"}");
    let fast = sum(&format!(
        "switchboard_bridge_latency_seconds_bucket{{direction=\"WAY\",le=\"{BUDGET}\"}}"
    ));
    assert!(all > 1_000.0, "{all} frames");
    let share = fast / all;
    println!(
        "{CALLS} calls with a tool at once: {CALLS} effects, {:.2} % of {all} frames within 5 ms",
        share * 100.0
    );
    if times::asserted() {
        assert!(share >= 0.99, "{share}");
    }
    service.stop().await;
}
