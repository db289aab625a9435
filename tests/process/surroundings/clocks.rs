//! F17: the wall clock jumps under the running process, by `libfaketime` (Debian package `faketime`).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use switchboard_kit::twilio::signature::sign;

use super::{talks, was_undisturbed};
use test_support::child::{Serving, switchboard};
use test_support::http::{Request, ring};
use test_support::phone::{Leg, connect_of, path_of, sid};
use test_support::process_fixture::{Folder, have_turns, operator};
use test_support::{AUTH_TOKEN, MODEL_KEY, brief, cannot_run};

const QUESTIONS: usize = 8;

const AN_HOUR: i64 = 3_600;

fn library() -> Option<PathBuf> {
    let architectures = std::fs::read_dir("/usr/lib").ok()?;
    let found = architectures.filter_map(Result::ok).map(|entry| {
        let name = "faketime/libfaketimeMT.so.1";
        entry.path().join(name)
    });
    found.into_iter().find(|path| path.exists())
}

/// A process whose wall clock a file sets, in seconds from the true one; its monotonic clock is left alone.
async fn with_clock(library: &Path, file: &Path, folder: &Folder, model: &str) -> Serving {
    let limit = [
        ("SWITCHBOARD_MAX_CALL_SECONDS", "120".to_owned()),
        ("SWITCHBOARD_DRAIN_SECONDS", "1".to_owned()),
    ];
    let mut variables = folder.variables(model, &limit);
    for (name, value) in [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ] {
        variables.insert(name.to_owned(), value);
    }
    Serving::start_by(switchboard(&["serve"]), &variables).await
}

fn jump(file: &Path, seconds: i64) {
    // In one step: a half-written file would be read as no jump.
    let next = file.with_extension("next");
    std::fs::write(&next, format!("{seconds:+}")).unwrap();
    std::fs::rename(&next, file).unwrap();
}

async fn ticket(serving: &Serving, call: &str) -> String {
    let webhook = Request::signed("/incoming-call", &ring(call, "+15550142"));
    path_of(&connect_of(&webhook.send(serving.public).await).stream.url)
}

async fn open(serving: &Serving, path: &str) -> Result<Leg, u16> {
    let signature = sign::<&str, &str>(AUTH_TOKEN, &format!("wss://spa.example{path}"), &[]);
    Leg::open(serving.public, path, &[&signature]).await
}

/// Seconds between the true clock and the one the process wrote its last line by.
fn off_by(serving: &Serving) -> i64 {
    let line: Value = serde_json::from_str(serving.lines().last().unwrap()).unwrap();
    let written: jiff::Timestamp = line["ts"].as_str().unwrap().parse().unwrap();
    written.as_second() - jiff::Timestamp::now().as_second()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_a_wall_clock_that_jumps_by_an_hour_moves_no_timer_and_ends_no_call() {
    let Some(library) = library() else {
        cannot_run("F17", "no libfaketime here (apt-get install faketime)");
        return;
    };
    let folder = Folder::new();
    let file = folder.0.join("clock");
    jump(&file, 0);
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let serving = with_clock(&library, &file, &folder, &model.url()).await;
    let began = Instant::now();
    let call = talks(&serving, QUESTIONS, 600);
    have_turns(&serving, 1, 1).await;
    let mut worst_ms = 0;
    let mut last_ms = 0;
    for (seconds, turns) in [(AN_HOUR, 5), (-AN_HOUR, 9), (0, 12)] {
        jump(&file, seconds);
        have_turns(&serving, 1, turns).await;
        let off = off_by(&serving);
        assert!((off - seconds).abs() <= 3, "the clock did jump: {off} s");
        let row = operator(&serving, "GET", "/admin/calls").await.json()["calls"][0].clone();
        let lasted_ms = row["duration_ms"].as_u64().unwrap();
        let real_ms = began.elapsed().as_millis() as u64;
        assert!(
            lasted_ms > last_ms && lasted_ms <= real_ms,
            "{lasted_ms} of {real_ms}"
        );
        last_ms = lasted_ms;
        worst_ms = worst_ms.max(real_ms - lasted_ms);
    }
    // A ticket from before a step of less than two minutes, in either direction.
    for seconds in [100, -100] {
        let ticket = ticket(&serving, &sid("CA")).await;
        jump(&file, seconds);
        let leg = open(&serving, &ticket).await;
        assert!(leg.is_ok(), "{seconds} s: {:?}", leg.err());
        jump(&file, 0);
    }
    let early = ticket(&serving, &sid("CA")).await;
    jump(&file, AN_HOUR);
    assert_eq!(
        open(&serving, &early).await.err(),
        Some(403),
        "no ticket lasts an hour"
    );
    jump(&file, 0);
    was_undisturbed(&call.await.unwrap(), QUESTIONS);
    let took = serving.stop_within(Duration::from_secs(8)).await;
    println!(
        "F17 wall clock +1 h, -1 h and back under a call: {} answers undisturbed, 0 timers early (longest call 120 s), duration \
         monotonic and at most {worst_ms} ms behind the caller's own clock (handshakes included); tickets open over steps of \
         +100 and -100 s, not of 1 h; exit in {} ms",
        QUESTIONS + 1,
        took.as_millis()
    );
}
