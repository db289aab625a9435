//! F19: calls that end in every way leave nothing behind: no session, no row, no file descriptor.
//!
//! Alone in its binary, because files are counted for the whole process. The release gate's size:
//! `cargo test --test nothing_left -- --ignored --nocapture`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use switchboard_kit::realtime::Ended;

use support::http::Request;
use support::phone::sid;
use support::{ACCOUNT, House, Options, SOON, brief, until};

/// Calls at once.
const TOGETHER: usize = 20;

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// One call that ends in the `n`-th way.
async fn one_call(house: &House, n: usize) {
    let mut leg = house.pick_up(&sid("CA")).await;
    let path = format!("/admin/calls/{}/hangup", leg.call);
    match n % 8 {
        0 => {
            leg.begin().await;
            leg.stop().await;
        }
        // Nothing was said on the socket.
        1 => return,
        2 => {
            leg.begin().await;
            return;
        }
        3 => {
            leg.begin().await;
            let mut operator = house.operator("POST", &path).await;
            while operator.status == 404 {
                operator = house.operator("POST", &path).await;
            }
            assert_eq!(operator.status, 202);
        }
        4 => {
            leg.begin().await;
            let again = leg.start_message();
            leg.send(&again).await;
        }
        5 => {
            leg.connected().await;
            leg.send(&json!({"event": "media", "media": {"payload": "/w=="}}))
                .await;
            for _ in 0..12 {
                leg.send(&json!("nonsense")).await;
            }
        }
        6 => {
            leg.begin().await;
            let fields = [
                ("AccountSid", ACCOUNT),
                ("CallSid", leg.call.as_str()),
                ("StreamSid", leg.stream.as_str()),
                ("StreamEvent", "stream-error"),
                ("StreamError", "31924 - Stream - WebSocket - Protocol Error"),
            ];
            let request = Request::signed("/stream-status", &fields);
            assert_eq!(request.send(house.public).await.status, 204);
        }
        _ => {
            leg.begin().await;
            leg.send(&json!({"event": "stop", "streamSid": leg.stream, "stop": {}}))
                .await;
        }
    }
    leg.closed(SOON).await;
}

/// So many calls; gives the figures.
async fn leaves_nothing(calls: usize) -> String {
    let house = House::start(Options::default().model(brief())).await;
    // What the process opens once and keeps.
    for n in 0..TOGETHER {
        one_call(&house, n).await;
    }
    house.empty().await;
    let before = open_files();
    let began = Instant::now();
    for round in 0..calls / TOGETHER {
        let together = (0..TOGETHER).map(|n| one_call(&house, round * TOGETHER + n));
        futures_util::future::join_all(together).await;
    }
    let took = began.elapsed();
    house.empty().await;
    let since = Instant::now();
    until("every model session is closed", SOON, async || {
        house
            .model
            .sessions()
            .iter()
            .all(|session| session.ended().is_some())
    })
    .await;
    let closed = since.elapsed();
    assert!(closed <= Duration::from_secs(1), "{closed:?}");
    let sessions = house.model.sessions();
    let ours = sessions
        .iter()
        .filter(|session| matches!(session.ended(), Some(Ended::ByClient(_) | Ended::Lost(_))));
    assert_eq!(ours.count(), sessions.len());
    let scrape = house.metrics().await;
    let ended = scrape.sum("switchboard_calls_total");
    assert_eq!(ended, (calls + TOGETHER) as f64, "each call ended once");
    assert_eq!(scrape.sum("switchboard_calls_active"), 0.0);
    until("the files are closed", SOON, async || {
        open_files() <= before + 2
    })
    .await;
    let after = open_files();
    let ways = scrape.names("switchboard_calls_total").into_iter();
    let ways = ways.filter(|name| scrape.get(name) > 0.0).count();
    house.stop().await;
    format!(
        "F19 {calls} calls ended in {ways} ways in {took:?}: 0 live rows, 0 model sessions after {closed:?} (bar 1 s), files \
         {before} before and {after} after (bar +2)"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_two_hundred_calls_ended_in_every_way_leave_nothing() {
    println!("{}", leaves_nothing(200).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the release gate's size"]
async fn f19_a_thousand_calls_ended_in_every_way_leave_nothing() {
    println!("{}", leaves_nothing(1_000).await);
}
