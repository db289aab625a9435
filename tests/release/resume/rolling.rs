//! Two instances behind one load balancer, restarted one after the other under calls.

use std::time::{Duration, Instant};

use switchboard_kit::twilio::{CallEnd, Scripted, Step, StreamEnd};

use super::load_balancer::LoadBalancer;
use test_support::child::Serving;
use test_support::phone::closed_with;
use test_support::process_fixture::{
    Folder, Timed, at, lasting_address, metrics, percentile, turned,
};
use test_support::{MODEL_KEY, SOON, brief, line_to, listen, say, times, turns, until};

/// Seconds an instance waits for its calls before it hands them over: shorter than any call here.
const DRAIN: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rolling_restart_drops_no_call() {
    let _turn = turns::of(10).await;
    println!("{}", roll_under(10).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "release gate: 50 calls"]
async fn a_rolling_restart_drops_none_of_fifty_calls() {
    let _gate = times::release_gate().await;
    let _alone = turns::alone().await;
    println!("{}", roll_under(50).await);
}

/// Restarts two instances one after the other under so many calls; gives the figures.
async fn roll_under(calls: usize) -> String {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let drain = [("SWITCHBOARD_DRAIN_SECONDS", DRAIN.to_string())];
    let variables = folder.variables(&model.url(), &drain);
    let mut a = Serving::start(&at(variables.clone(), lasting_address())).await;
    let mut b = Serving::start(&at(variables.clone(), lasting_address())).await;
    let balancer = LoadBalancer::open().await;
    balancer.leads_to(&[a.public, b.public]);
    let line = line_to(balancer.address);
    let running: Vec<_> = (0..calls)
        .map(|_| {
            let line = line.clone();
            let steps = [
                listen(),
                say("hello"),
                listen(),
                // Both restarts happen while the caller only listens.
                Step::Wait { ms: 14_000 },
                say("yes"),
                listen(),
                Step::HangUp,
            ];
            tokio::spawn(async move {
                let began = Instant::now();
                let outcome = line.call(Scripted::new(steps, 60_000)).await;
                Timed { began, outcome }
            })
        })
        .collect();
    until("the calls have had their turns", SOON * 2, async || {
        turned(&a, 3).await + turned(&b, 3).await >= calls
    })
    .await;
    // The last answers are heard out: a caller who speaks into the hand-over is not spoken to.
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    let mut exits = Vec::new();
    let mut resumes = 0.0;
    for turn in 0..2 {
        let leaving = if turn == 0 { &mut a } else { &mut b };
        resumes += metrics(leaving)
            .await
            .get("switchboard_resumes_total{result=\"ok\"}");
        leaving.signal("TERM");
        let (code, took) = leaving.ended(SOON).await;
        assert_eq!(code, 0);
        times::within(took, Duration::from_secs(DRAIN + 2), "exit");
        exits.push(took.as_millis());
        // At the same address, as a supervisor would start it.
        *leaving = Serving::start(&at(variables.clone(), leaving.public)).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }

    let mut gaps = Vec::new();
    let mut moves = 0;
    for call in running {
        let call = call.await.unwrap();
        let outcome = &call.outcome;
        assert_eq!(
            outcome.end,
            CallEnd::CallerHungUp,
            "{:?}",
            outcome.documents
        );
        assert!(outcome.dialled().is_empty() && outcome.said_by_twiml().is_empty());
        let (last, before) = outcome.streams.split_last().unwrap();
        assert_eq!(last.end, StreamEnd::CallerHungUp);
        for stream in before {
            assert_eq!(stream.end, closed_with(1001));
        }
        moves += before.len();
        gaps.extend(call.gaps_ms());
    }
    for serving in [&a, &b] {
        resumes += metrics(serving)
            .await
            .get("switchboard_resumes_total{result=\"ok\"}");
    }
    // Each call lived on one of the two when it left, so it moved at least once.
    assert!(moves >= calls, "{moves} moves of {calls} calls");
    assert_eq!(gaps.len(), moves, "the agent is heard after each move");
    assert!(resumes >= (moves - calls) as f64);
    format!(
        "D6 rolling restart of two instances under {calls} calls: 0 dropped, {moves} hand-overs, silence p50 {} ms, p95 {} \
         ms; exits {exits:?} ms after SIGTERM (deadline {DRAIN} s)",
        percentile(&mut gaps, 50),
        percentile(&mut gaps, 95),
    )
}
