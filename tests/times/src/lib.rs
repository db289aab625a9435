//! How long something took, and what that is held to.
//!
//! The ordinary tests run beside whatever else a machine does. They hold a time to a generous deadline: that it comes.
//! The bars are asserted by the release gates, one in each module that has any, against how late this process's own
//! timers are in the same minute: `cargo test --test PROGRAM times -- --ignored --nocapture`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

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
pub async fn release_gate() -> tokio::sync::MutexGuard<'static, ()> {
    let alone = GATES.lock().await;
    IS_GATE.store(true, Ordering::Relaxed);
    watch();
    alone
}

/// Whether bars are asserted here, rather than deadlines.
pub fn asserted() -> bool {
    *IS_ASSERTED || IS_GATE.load(Ordering::Relaxed)
}

/// Begins to look how late timers are, where that is asked for later.
pub fn watch() {
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
pub fn allowed(bar: Duration) -> Duration {
    if asserted() {
        bar + late() * WAKE_UPS
    } else {
        bar * 3 + PATIENCE
    }
}

/// It took no longer than its bar where bars are asserted, and no longer than a generous deadline elsewhere.
#[track_caller]
pub fn within(took: Duration, bar: Duration, what: impl Debug) {
    let most = allowed(bar);
    assert!(
        took <= most,
        "{took:?}, bar {bar:?}, at most {most:?} here: {what:?}"
    );
}

/// The same in milliseconds.
#[track_caller]
pub fn within_ms(took: u64, bar: u64, what: impl Debug) {
    within(
        Duration::from_millis(took),
        Duration::from_millis(bar),
        what,
    );
}

/// The release gate of a module: its ordinary tests once more, in a process of their own, with their bars asserted.
#[allow(clippy::print_stdout)] // a run's output, read by people
pub async fn of_these_tests(module: &'static str) {
    let _alone = release_gate().await;
    let run = tokio::task::spawn_blocking(|| {
        this_program()
            .args(["--exact", "--nocapture"])
            .args(tests_of(module))
            .env(ASSERTED, "1")
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

/// Set in the process of one test, to its name.
const OWN: &str = "SWITCHBOARD_TEST_OWN_PROCESS";

/// Whether this process is that one test's own. If not, the test was just run in one: memory that earlier tests of the
/// program have given back hides what a later one takes.
#[allow(clippy::print_stdout)] // a run's output, read by people
pub async fn is_own_process(test: &'static str) -> bool {
    if std::env::var(OWN).is_ok_and(|own| own == test) {
        return true;
    }
    let run = tokio::task::spawn_blocking(move || {
        let mut command = this_program();
        command
            .args(["--exact", test, "--include-ignored", "--nocapture"])
            .env(OWN, test);
        if asserted() {
            command.env(ASSERTED, "1");
        }
        command.output().unwrap()
    });
    let run = run.await.unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    println!("{told}");
    assert!(
        run.status.success() && told.contains("1 passed"),
        "{told}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    false
}

fn this_program() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.stdin(Stdio::null());
    command
}

/// The names of a module's tests; a filter of words would also find those of other modules.
fn tests_of(module: &str) -> Vec<String> {
    let (_program, within) = module.split_once("::").unwrap_or((module, ""));
    let listed = this_program()
        .args(["--list", "--format", "terse"])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    let is_here = |name: &&str| {
        let rest = name.strip_prefix(within);
        rest.is_some_and(|rest| within.is_empty() || rest.starts_with("::"))
    };
    let here: Vec<String> = names.filter(is_here).map(str::to_owned).collect();
    assert!(!here.is_empty(), "no tests in {module}");
    here
}
