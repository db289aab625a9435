//! D7: calls in which nobody says anything, and a reload of the proxy under them.

use std::time::{Duration, Instant};

use switchboard_kit::twilio::{CallEnd, Scripted, Step, StreamEnd};

use super::proxy::{Kind, Proxy};
use super::{installed, number};
use test_support::child::Serving;
use test_support::process_fixture::{Folder, Timed};
use test_support::{MODEL_KEY, brief, line_to, turns, unlimited};

/// The service itself ends a call after ten minutes without a turn.
const LONGEST: u64 = 595;

/// So long before their end the proxy is reloaded under the calls.
const RELOAD: Duration = Duration::from_secs(4);

/// The agent waits for the caller, and says nothing as long as they do not.
const AGENT: &str = "[agents.spa]\ninstructions = \"You wait.\"\ngreeting = { mode = \"wait\" }\n\
                     [fallback]\nsay = \"We have a technical problem.\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn d7_a_silent_socket_stays_open_and_a_reload_is_not_its_end() {
    let _turn = turns::of(15).await;
    let runs = installed().into_iter().map(|kind| silent(kind, 10, 5));
    for figures in futures_util::future::join_all(runs).await {
        println!("{figures}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "release gate: ten minutes, and every proxy must be installed"]
async fn d7_no_proxy_closes_a_socket_that_is_silent_for_ten_minutes() {
    let _turn = turns::of(30).await;
    let seconds = number("SWITCHBOARD_PROXY_SECONDS", LONGEST).min(LONGEST);
    let calls = number("SWITCHBOARD_PROXY_CALLS", 10) as usize;
    let runs = Kind::ALL.map(|kind| silent(kind, seconds, calls));
    for figures in futures_util::future::join_all(runs).await {
        println!("{figures}");
    }
}

/// So many calls of so many seconds; gives the figures.
async fn silent(kind: Kind, seconds: u64, calls: usize) -> String {
    let folder = Folder::new();
    let file = folder.0.join("switchboard.toml");
    std::fs::write(&file, unlimited(AGENT)).unwrap();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let config = [("SWITCHBOARD_CONFIG", file.display().to_string())];
    let serving = Serving::start(&folder.variables(&model.url(), &config)).await;
    let proxy = Proxy::start(kind, &[serving.public]).await;
    let line = line_to(proxy.address);
    let began = Instant::now();
    let running: Vec<_> = (0..calls)
        .map(|_| {
            let line = line.clone();
            let steps = [
                Step::Wait {
                    ms: seconds * 1_000,
                },
                Step::HangUp,
            ];
            tokio::spawn(async move {
                let began = Instant::now();
                let caller = Scripted::new(steps, (seconds + 30) * 1_000);
                let outcome = line.call(caller).await;
                Timed { began, outcome }
            })
        })
        .collect();
    tokio::time::sleep_until((began + Duration::from_secs(seconds) - RELOAD).into()).await;
    let reload = Instant::now();
    proxy.reload().await;
    let (mut before, mut at_reload, mut fell_back) = (0, 0, 0);
    for call in running {
        let call = call.await.unwrap();
        let outcome = &call.outcome;
        for stream in &outcome.streams {
            assert_eq!(stream.media_messages, 0, "{kind}: the model said nothing");
            if stream.end == StreamEnd::CallerHungUp {
                continue;
            }
            let ended_ms = stream.started_ms + stream.duration_ms;
            if call.began + Duration::from_millis(ended_ms) < reload {
                before += 1;
            } else {
                at_reload += 1;
            }
        }
        if outcome.end != CallEnd::CallerHungUp {
            assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
            fell_back += 1;
        }
    }
    assert_eq!(before, 0, "{kind}: disconnected in silence");
    let version = kind.version();
    let told = if kind.keeps_sockets() {
        let lines = serving.lines();
        assert_eq!(
            (at_reload, fell_back),
            (0, 0),
            "{kind} {version}: {lines:#?}"
        );
        "a reload disconnects none".to_owned()
    } else {
        // It may put its close frame into the middle of another one: that is a broken socket, and the fallback.
        assert_eq!(at_reload, calls, "{kind} {version}");
        let back = calls - fell_back;
        format!(
            "a reload disconnects all: {back} are back at once, {fell_back} at the fallback (Caddy keeps them from 2.7 on)"
        )
    };
    serving.stop().await;
    format!(
        "D7 {kind} {version}: {calls} calls, {seconds} s of silence from the model, 0 disconnected; {told}"
    )
}
