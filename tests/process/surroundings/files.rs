//! F18: no more files may be opened.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{talks, was_undisturbed};
use test_support::child::{Serving, serve_in};
use test_support::http::Request;
use test_support::proc::processor_time;
use test_support::process_fixture::have_turns;
use test_support::{ADMIN_TOKEN, MODEL_KEY, SOON, brief, environment, times};

const LIMIT: usize = 64;

/// Idle connections: more than there is room for.
const CONNECTIONS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_at_the_limit_of_files_whoever_asks_is_answered() {
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let script = format!("ulimit -n {LIMIT}; exec \"$0\" serve");
    let serving =
        Serving::start_by(serve_in(&["sh"], &script), &environment(&model.url(), &[])).await;
    let call = talks(&serving, 5, 1_000);
    have_turns(&serving, 1, 1).await;
    let (since, before) = (Instant::now(), processor_time(serving.id()));
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(TcpStream::connect(serving.public).await.unwrap());
    }
    // Those who send nothing have pushed each other out, and nobody else.
    let health = Request::new("GET", "/healthz").send(serving.public).await;
    assert_eq!(health.status, 200);
    let token = format!("Bearer {ADMIN_TOKEN}");
    let calls = Request::new("GET", "/admin/calls").header("Authorization", &token);
    assert_eq!(calls.send(serving.admin).await.status, 200);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let used = (processor_time(serving.id()) - before).as_millis();
    let share = used as f64 / since.elapsed().as_millis() as f64;
    assert!(share <= 0.3, "{used} ms of CPU in {:?}", since.elapsed());
    assert!(!times::asserted() || share <= 0.1, "{used} ms of CPU");
    let complaints = serving.count("ccepting connection");
    assert!(complaints <= 1, "once a minute: {:?}", serving.lines());
    drop(idle);
    was_undisturbed(&call.await.unwrap(), 5);
    was_undisturbed(&talks(&serving, 1, 0).await.unwrap(), 1);
    serving.stop_within(SOON).await;
    println!(
        "F18 ulimit -n {LIMIT}, {CONNECTIONS} idle connections: health and operator answered at once, {:.0} % of a core \
         meanwhile (a call included), {complaints} lines of a listener that cannot accept, the live call undisturbed",
        share * 100.0
    );
}
