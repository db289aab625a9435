//! How long something took, and what that is held to.
//!
//! The ordinary tests run beside whatever else a machine does. They hold a time to a generous deadline: that it comes.
//! The bars are asserted by the release gates, one in each program that has any, against how late this process's own
//! timers are in the same minute: `cargo test --test PROGRAM times -- --ignored --nocapture`.

use std::fmt::Debug;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant};

/// Set for the tests that a release gate runs.
const ASSERTED: &str = "SWITCHBOARD_TEST_TIMES";

/// What an ordinary test allows on top of three times the bar.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tasks and threads that are woken up one after the other for something that is timed from outside: a request, its
/// answer, a frame there and back.
const WAKE_UPS: u32 = 8;

static IS_GATE: AtomicBool = AtomicBool::new(false);
static IS_ASSERTED: LazyLock<bool> = LazyLock::new(|| std::env::var_os(ASSERTED).is_some());
static WATCH: Once = Once::new();
/// The latest tick of the last ten seconds, in microseconds.
static LATE_US: AtomicU64 = AtomicU64::new(0);
static GATES: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Holds the place of the one release gate that measures; from here on this process asserts its bars.
pub(crate) async fn release_gate() -> tokio::sync::MutexGuard<'static, ()> {
    let alone = GATES.lock().await;
    IS_GATE.store(true, Ordering::Relaxed);
    watch();
    alone
}

/// Whether bars are asserted here, rather than deadlines.
pub(crate) fn asserted() -> bool {
    *IS_ASSERTED || IS_GATE.load(Ordering::Relaxed)
}

/// Begins to look how late timers are, where that is asked for later.
pub(crate) fn watch() {
    if !asserted() {
        return;
    }
    WATCH.call_once(|| {
        std::thread::spawn(|| {
            loop {
                let (mut late, began) = (Vec::new(), Instant::now());
                while began.elapsed() < Duration::from_secs(10) {
                    let due = Instant::now() + Duration::from_millis(5);
                    std::thread::sleep(Duration::from_millis(5));
                    late.push(due.elapsed());
                    // From the first second on there is a figure.
                    if late.len() % 200 == 0 {
                        tell(&mut late.clone());
                    }
                }
                tell(&mut late);
            }
        });
    });
}

fn tell(late: &mut [Duration]) {
    late.sort_unstable();
    let p99 = late[late.len() * 99 / 100];
    LATE_US.store(
        u64::try_from(p99.as_micros()).unwrap_or(u64::MAX),
        Ordering::Relaxed,
    );
}

/// The control group: how late one timer in a hundred was.
fn late() -> Duration {
    Duration::from_micros(LATE_US.load(Ordering::Relaxed))
}

/// The longest that something with this bar may take here.
pub(crate) fn allowed(bar: Duration) -> Duration {
    if asserted() {
        bar + late() * WAKE_UPS
    } else {
        bar * 3 + PATIENCE
    }
}

/// It took no longer than its bar where bars are asserted, and no longer than a generous deadline elsewhere.
#[track_caller]
pub(crate) fn within(took: Duration, bar: Duration, what: impl Debug) {
    let most = allowed(bar);
    assert!(
        took <= most,
        "{took:?}, bar {bar:?}, at most {most:?} here: {what:?}"
    );
}

/// The same in milliseconds.
#[track_caller]
pub(crate) fn within_ms(took: u64, bar: u64, what: impl Debug) {
    within(
        Duration::from_millis(took),
        Duration::from_millis(bar),
        what,
    );
}

/// The release gate of a program: its ordinary tests once more, with their bars asserted.
#[allow(clippy::print_stdout)] // a run's output, read by people
pub(crate) async fn of_this_program() {
    let _alone = release_gate().await;
    let run = tokio::task::spawn_blocking(|| {
        Command::new(std::env::current_exe().unwrap())
            .arg("--nocapture")
            .env(ASSERTED, "1")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    });
    let run = run.await.unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    println!("{told}");
    assert!(
        run.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
}
