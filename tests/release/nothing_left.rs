//! F19: calls that end in every way leave nothing behind: no session, no row, no file descriptor.
//!
//! Files are counted in a process of their own. The release gate's size:
//! `cargo test --test release nothing_left -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use switchboard_kit::realtime::{Ended, Ending, Fault, Realtime, ToolCall, When};
use switchboard_kit::twilio::{DialAnswer, Step};
use tokio_tungstenite::tungstenite::Message;

use test_support::http::Request;
use test_support::phone::sid;
use test_support::{
    ACCOUNT, Options, SOON, TestService, brief, brief_with, caller, listen, say, times, tone,
    turns, until,
};

/// Calls at once.
const TOGETHER: usize = 22;

/// Ways of the phone's side.
const WAYS: usize = 11;

/// Within this time of a phone leg's end its model session is closed.
const CLOSED: Duration = Duration::from_secs(1);

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// One call that ends in the `n`-th way; gives the moment its phone leg ended.
async fn one_call(service: &TestService, n: usize) -> Instant {
    let mut leg = service.pick_up(&sid("CA")).await;
    let path = format!("/admin/calls/{}/hangup", leg.call);
    match n % WAYS {
        0 => {
            leg.begin().await;
            leg.stop().await;
        }
        // Nothing was said on the socket.
        1 => return Instant::now(),
        2 => {
            leg.begin().await;
            return Instant::now();
        }
        3 => {
            leg.begin().await;
            let mut operator = service.operator("POST", &path).await;
            while operator.status == 404 {
                operator = service.operator("POST", &path).await;
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
            assert_eq!(request.send(service.public).await.status, 204);
        }
        7 => {
            leg.begin().await;
            leg.send(&json!({"event": "stop", "streamSid": leg.stream, "stop": {}}))
                .await;
        }
        8 => {
            leg.connected().await;
            let mut start = leg.start_message();
            start["start"]["callSid"] = json!("nobody");
            leg.send(&start).await;
        }
        9 => {
            leg.connected().await;
            let mut start = leg.start_message();
            start["start"]["mediaFormat"]["encoding"] = json!("audio/l16");
            leg.send(&start).await;
        }
        _ => {
            leg.begin().await;
            let binary = Message::binary(vec![0xFF; 160]);
            leg.socket.send(binary).await.unwrap();
        }
    }
    leg.closed(SOON).await;
    Instant::now()
}

/// When each session of a service's model was seen to end.
#[derive(Default)]
struct Watch {
    ended: BTreeMap<usize, Instant>,
    /// How late it looked at most: what the machine does to everybody.
    late: Duration,
}

impl Watch {
    /// Looks every few milliseconds until these calls are over and no session is left.
    async fn over(
        service: &TestService,
        calls: impl Future<Output = Vec<Instant>>,
    ) -> (Vec<Instant>, Self) {
        let mut watch = Self::default();
        let mut calls = std::pin::pin!(calls);
        let mut ends = None;
        let mut over_at = None;
        loop {
            let due = Instant::now() + Duration::from_millis(5);
            tokio::select! {
                done = &mut calls, if ends.is_none() => {
                    ends = Some(done);
                    over_at = Some(Instant::now());
                }
                () = tokio::time::sleep_until(due.into()) => watch.late = watch.late.max(due.elapsed()),
            }
            let now = Instant::now();
            let sessions = service.model.sessions();
            for session in &sessions {
                if session.ended().is_some() {
                    watch.ended.entry(session.number()).or_insert(now);
                }
            }
            if let Some(ends) = ends.take_if(|_| watch.ended.len() == sessions.len()) {
                return (ends, watch);
            }
            let waits = over_at.is_some_and(|over: Instant| over.elapsed() > SOON);
            assert!(!waits, "a model session is left");
        }
    }

    /// Every session is closed within the bar of its call's end, whichever call is whose: then the one that closes last
    /// is so soon after the call that ends last, and so on. Gives the longest such time.
    fn closed_in_time(self, mut calls: Vec<Instant>) -> Duration {
        let mut sessions: Vec<Instant> = self.ended.into_values().collect();
        calls.sort_unstable();
        sessions.sort_unstable();
        let pairs = sessions.iter().rev().zip(calls.iter().rev());
        let longest = pairs.map(|(session, call)| session.saturating_duration_since(*call));
        let longest = longest.max().unwrap_or_default();
        let late = self.late;
        times::within(longest, CLOSED + late, ("looked late by", late));
        longest
    }
}

/// Nothing of any call is left in a service: no row, no session, and nobody who holds the counters that each actor and each
/// task of a call holds.
async fn is_empty(service: &TestService, holders: usize) {
    service.empty().await;
    until("every model session is closed", SOON, async || {
        let sessions = service.model.sessions();
        sessions.iter().all(|session| session.ended().is_some())
    })
    .await;
    until("no actor and no task is left", SOON, async || {
        Arc::strong_count(&service.counters) <= holders
    })
    .await;
    assert_eq!(service.metrics().await.sum("switchboard_calls_active"), 0.0);
}

/// So many calls; gives the figures.
async fn leaves_nothing(calls: usize) -> String {
    let service = TestService::start(Options::default().model(brief())).await;
    let holders = Arc::strong_count(&service.counters);
    // What the process opens once and keeps.
    for n in 0..TOGETHER {
        one_call(&service, n).await;
    }
    is_empty(&service, holders).await;
    let before = open_files();
    let began = Instant::now();
    let run = async {
        let mut ends = Vec::new();
        for round in 0..calls / TOGETHER {
            let together = (0..TOGETHER).map(|n| one_call(&service, round * TOGETHER + n));
            ends.extend(futures_util::future::join_all(together).await);
        }
        ends
    };
    let (ends, watch) = Watch::over(&service, run).await;
    let calls = ends.len();
    let took = began.elapsed();
    is_empty(&service, holders).await;
    let longest = watch.closed_in_time(ends);
    let sessions = service.model.sessions();
    let ours = sessions
        .iter()
        .filter(|session| matches!(session.ended(), Some(Ended::ByClient(_) | Ended::Lost(_))));
    assert_eq!(ours.count(), sessions.len());
    let scrape = service.metrics().await;
    let ended = scrape.sum("switchboard_calls_total");
    assert_eq!(ended, (calls + TOGETHER) as f64, "each call ended once");
    until("the files are closed", SOON, async || {
        open_files() <= before + 2
    })
    .await;
    let after = open_files();
    let ways = scrape.names("switchboard_calls_total").into_iter();
    let ways = ways.filter(|name| scrape.get(name) > 0.0).count();
    service.stop().await;
    format!(
        "F19 {calls} calls ended in {ways} ways in {took:?}: 0 live rows, 0 actors and tasks, model sessions closed within {} ms \
         of their phone legs (bar 1,000), files {before} before and {after} after (bar +2)",
        longest.as_millis()
    )
}

/// A model that says something, and calls a tool with it.
fn calling(tool: &str, arguments: Value) -> Realtime {
    let mut answer = tone(660, 600, "Goodbye then.");
    answer.tools = vec![ToolCall {
        name: tool.to_owned(),
        arguments,
    }];
    brief_with(|script| script.turns = vec![answer])
}

/// A way in which the model's side ends a call.
struct Way {
    outcome: &'static str,
    model: Realtime,
    /// Calls at once; after the first refusal nobody else is let in.
    calls: usize,
    most_seconds: &'static str,
}

fn ways() -> Vec<Way> {
    let way = |outcome, model| Way {
        outcome,
        model,
        calls: 5,
        most_seconds: "60",
    };
    let refuses = Fault::RefuseUpgrade {
        status: 401,
        retry_after_s: None,
    };
    let breaks = Fault::Reset {
        when: When::AfterMs(200),
    };
    let hangs = Fault::FailResponses {
        count: 99,
        ending: Ending::Hangs,
    };
    vec![
        Way {
            calls: 1,
            ..way("model_refused", brief().fault(refuses))
        },
        way("model_lost", brief().fault(breaks)),
        way("model_silent", brief().fault(hangs)),
        way("agent_hung_up", calling("end_call", json!({}))),
        way(
            "transferred",
            calling("transfer_call", json!({"target": "front_desk"})),
        ),
        Way {
            most_seconds: "10",
            ..way("too_long", brief())
        },
    ]
}

/// Calls of one way in a service of its own; gives how many, and the longest time a session outlived its phone leg.
async fn ends_by_the_model(way: Way) -> (usize, Duration) {
    let Way {
        outcome,
        model,
        calls,
        most_seconds,
    } = way;
    let mut options = Options::default()
        .model(model)
        .with("SWITCHBOARD_MAX_CALL_SECONDS", most_seconds);
    options.toml = format!(
        "{}[transfer.targets]\nfront_desk = \"+15550123\"\n",
        options.toml.replace(
            "[fallback]",
            "tools = [\"end_call\", \"transfer_call\"]\nanswer_within_ms = 3000\n[fallback]"
        )
    );
    let service = TestService::start(options).await;
    let holders = Arc::strong_count(&service.counters);
    let together = (0..calls).map(|_| async {
        let mut line = service.line();
        // Whoever was sent on is taken, and does not come back.
        line.dial = vec![DialAnswer::Answered { talk_ms: 100 }];
        let began = Instant::now();
        let steps = [listen(), say("thanks"), Step::Wait { ms: 20_000 }];
        let phoned = line.call(caller(steps)).await;
        let stream = phoned.streams.last().unwrap();
        began + Duration::from_millis(stream.started_ms + stream.duration_ms)
    });
    let together = futures_util::future::join_all(together);
    let (ends, watch) = Watch::over(&service, together).await;
    is_empty(&service, holders).await;
    let longest = watch.closed_in_time(ends);
    let scrape = service.metrics().await;
    let name = format!("switchboard_calls_total{{outcome=\"{outcome}\"}}");
    let ended = (scrape.get(&name), scrape.sum("switchboard_calls_total"));
    assert_eq!(ended, (calls as f64, calls as f64), "{outcome}");
    service.stop().await;
    (calls, longest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_calls_that_the_models_side_ends_leave_nothing() {
    let _turn = turns::of(26).await;
    let ways = ways();
    let names: Vec<&str> = ways.iter().map(|way| way.outcome).collect();
    let services = ways.into_iter().map(ends_by_the_model);
    let ended = futures_util::future::join_all(services).await;
    let calls: usize = ended.iter().map(|(calls, _)| calls).sum();
    let longest = ended.iter().map(|(_, longest)| *longest).max().unwrap();
    println!(
        "F19 {calls} calls ended by the model's side ({}): 0 live rows, 0 actors and tasks, model sessions closed within {} ms of \
         their phone legs (bar 1,000)",
        names.join(", "),
        longest.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_two_hundred_calls_ended_in_every_way_leave_nothing() {
    let _turn = turns::of(22).await;
    if !times::is_own_process(
        "nothing_left::f19_two_hundred_calls_ended_in_every_way_leave_nothing",
    )
    .await
    {
        return;
    }
    println!("{}", leaves_nothing(220).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the release gate's size"]
async fn f19_a_thousand_calls_ended_in_every_way_leave_nothing() {
    let _gate = times::release_gate().await;
    let _alone = turns::alone().await;
    if !times::is_own_process("nothing_left::f19_a_thousand_calls_ended_in_every_way_leave_nothing")
        .await
    {
        return;
    }
    println!("{}", leaves_nothing(1_012).await);
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}
