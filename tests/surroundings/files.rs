//! F18: no more files may be opened.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::support::child::{Serving, serve_in};
use crate::support::http::Request;
use crate::support::process::processor_time;
use crate::support::{MODEL_KEY, SOON, brief, environment, times, until};
use crate::town::have_turns;
use crate::{talks, was_undisturbed};

const LIMIT: usize = 64;

/// Idle connections: more than there is room for, and more than the five seconds free that a silent one is given.
const CONNECTIONS: usize = 150;

fn open_files(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_at_the_limit_of_files_the_door_waits_and_opens_again() {
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let script = format!("ulimit -n {LIMIT}; exec \"$0\" serve");
    let serving =
        Serving::start_by(serve_in(&["sh"], &script), &environment(&model.url(), &[])).await;
    let call = talks(&serving, 5, 1_000);
    have_turns(&serving, 1, 1).await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(TcpStream::connect(serving.public).await.unwrap());
    }
    until("the limit is reached", SOON, async || {
        open_files(serving.id()) >= LIMIT - 1
    })
    .await;
    let (since, before) = (Instant::now(), processor_time(serving.id()));
    // Nobody asks anything meanwhile: the operator's listener has no more files than the other.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let used = (processor_time(serving.id()) - before).as_millis();
    let share = used as f64 / since.elapsed().as_millis() as f64;
    assert!(share <= 0.3, "{used} ms of CPU in {:?}", since.elapsed());
    assert!(!times::asserted() || share <= 0.05, "{used} ms of CPU");
    let complaints = serving.count("ccepting connection");
    assert_eq!(complaints, 1, "once a minute: {:?}", serving.lines());
    drop(idle);
    let freed = Instant::now();
    let health = Request::new("GET", "/healthz").send(serving.public).await;
    assert_eq!(health.status, 200);
    let resumed = freed.elapsed();
    times::within(resumed, Duration::from_secs(3), "resumed");
    was_undisturbed(&call.await.unwrap(), 5);
    was_undisturbed(&talks(&serving, 1, 0).await.unwrap(), 1);
    serving.stop_within(SOON).await;
    println!(
        "F18 ulimit -n {LIMIT}, {CONNECTIONS} idle connections: {:.0} % of a core meanwhile (a call included), {complaints} line \
         in the log, the live call undisturbed, answers again {} ms after there was room",
        share * 100.0,
        resumed.as_millis()
    );
}
