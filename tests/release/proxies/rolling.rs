//! D6: two instances behind HAProxy, restarted one after the other under calls.

use std::time::{Duration, Instant};

use switchboard_kit::twilio::{CallEnd, Line, Scripted, Step, StreamEnd};
use tokio::task::JoinHandle;

use super::number;
use super::proxy::{Kind, Proxy};
use test_support::child::Serving;
use test_support::process_fixture::{Folder, Timed, at, lasting_address, percentile, turned};
use test_support::{
    AGENT, MODEL_KEY, PUBLIC, SOON, brief, line_to, listen, say, turns, unlimited, until,
};

/// A deadline that no call here reaches.
const LONG: u64 = 60;

/// One that every call here does.
const SHORT: u64 = 1;

/// How long HAProxy may take to see that an instance takes calls, and to give it some.
const SEEN: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn d6_a_rolling_restart_behind_haproxy_drops_no_call() {
    let _turn = turns::of(6).await;
    if Kind::Haproxy.is_installed() {
        // The long deadline takes a minute and is the release gate's.
        println!("{}", roll(SHORT, 6).await);
    } else {
        println!("not run: haproxy is not installed (Debian: apt-get install haproxy)");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "release gate: 50 calls, and HAProxy must be installed"]
async fn d6_a_rolling_restart_behind_haproxy_drops_none_of_fifty_calls() {
    let _turn = turns::of(100).await;
    let calls = number("SWITCHBOARD_PROXY_CALLS", 50) as usize;
    println!("{}", roll(SHORT, calls).await);
    println!("{}", roll(LONG, calls).await);
}

/// So many calls: two turns, a wait, another turn.
fn calls(line: &Line, number: usize, wait_ms: u64) -> Vec<JoinHandle<Timed>> {
    let call = |_| {
        let line = line.clone();
        let steps = [
            listen(),
            say("hello"),
            listen(),
            // Restarts happen while the caller only listens.
            Step::Wait { ms: wait_ms },
            say("yes"),
            listen(),
            Step::HangUp,
        ];
        tokio::spawn(async move {
            let began = Instant::now();
            let outcome = line.call(Scripted::new(steps, 90_000)).await;
            Timed { began, outcome }
        })
    };
    (0..number).map(call).collect()
}

/// Restarts two instances one after the other, with this deadline, under so many calls; gives the figures.
async fn roll(deadline: u64, number: usize) -> String {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let file = folder.0.join("switchboard.toml");
    std::fs::write(
        &file,
        unlimited(&format!("[server]\nfleet_url = \"{PUBLIC}\"\n{AGENT}")),
    )
    .unwrap();
    let more = [
        ("SWITCHBOARD_DRAIN_SECONDS", deadline.to_string()),
        ("SWITCHBOARD_CONFIG", file.display().to_string()),
    ];
    let variables = folder.variables(&model.url(), &more);
    let mut a = Serving::start(&at(variables.clone(), lasting_address())).await;
    let mut b = Serving::start(&at(variables.clone(), lasting_address())).await;
    let proxy = Proxy::start(Kind::Haproxy, &[a.public, b.public]).await;
    let line = line_to(proxy.address);
    let wait_ms = if deadline == SHORT { 14_000 } else { 5_000 };
    let mut running = calls(&line, number, wait_ms);
    until("the calls have had their turns", SOON * 2, async || {
        turned(&a, 3).await + turned(&b, 3).await >= number
    })
    .await;
    // The last answers are heard out: a caller who speaks into the hand-over is not spoken to.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut exits = Vec::new();
    for turn in 0..2 {
        let leaving = if turn == 0 { &mut a } else { &mut b };
        leaving.signal("TERM");
        if deadline == LONG {
            // Those who ring meanwhile are taken by the other one.
            running.extend(calls(&line, number.div_ceil(5), 5_000));
        }
        let (code, took) = leaving.ended(Duration::from_secs(LONG) + SOON).await;
        assert_eq!(code, 0);
        exits.push(took.as_millis());
        // At the same address, as a supervisor would start it.
        *leaving = Serving::start(&at(variables.clone(), leaving.public)).await;
        tokio::time::sleep(SEEN).await;
    }
    let (all, mut gaps, mut moves, mut refused) = (running.len(), Vec::new(), 0, 0);
    for (order, call) in running.into_iter().enumerate() {
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
            match &stream.end {
                StreamEnd::ServerClosed {
                    code: Some(1001), ..
                } => moves += 1,
                // HAProxy has not seen yet that this instance leaves; whoever rings in that moment is asked after it.
                StreamEnd::HandshakeFailed { .. } if order >= number => refused += 1,
                end => panic!("{end:?}"),
            }
        }
        if refused == 0 {
            gaps.extend(call.gaps_ms());
        }
    }
    let what = if deadline == LONG {
        assert_eq!(moves, 0, "one stream a call");
        format!(
            "each on one stream but {refused} of the {} that rang in the moment of a SIGTERM, which needed a second",
            all - number
        )
    } else {
        // Each call lived on one of the two when it left, so it moved at least once.
        assert!(moves >= all, "{moves} moves of {all} calls");
        assert_eq!(gaps.len(), moves, "the agent is heard after each move");
        format!(
            "{moves} hand-overs, all resumed, silence p50 {} ms, p95 {} ms",
            percentile(&mut gaps, 50),
            percentile(&mut gaps, 95)
        )
    };
    format!(
        "D6 rolling restart of two instances behind HAProxy {}, deadline {deadline} s: {all} calls, 0 dropped, {what}; exits \
         {exits:?} ms after SIGTERM",
        Kind::Haproxy.version()
    )
}
