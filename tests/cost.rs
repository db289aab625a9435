//! What a call costs, beside a relay that does nothing else, in the same minutes: the figures of the README's section
//! *Performance*. Release gate: `cargo test --release --test cost -- --ignored --nocapture`, on a machine that does
//! nothing else.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::child::Helper;
use test_support::proc::{memory_kib, processor_time};

/// A frame of the service may take so many times what it takes the relay.
const RATIO: f64 = 1.2;

/// Frames of a call in a second, both ways.
const FRAMES: f64 = 100.0;

/// Seconds measured of each round.
const MEASURED: u64 = 20;

/// Two measurements at once are none.
static ALONE: Mutex<()> = Mutex::new(());

/// Who stands between the emulators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Relay,
    Service,
}

/// What a round came to.
struct Round {
    cpu_us: f64,
    memory_kib: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    lost: u64,
    frames: u64,
}

/// Starts a process that goes with its round.
fn start(core: Option<&str>, program: &str, arguments: &[&str], keys: &[(&str, &str)]) -> Helper {
    let mut command = match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.args(["-c", core, program]);
            command
        }
        None => Command::new(program),
    };
    let child = command
        .args(arguments)
        .envs(keys.iter().copied())
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Helper(child)
}

/// An address nobody listens at.
fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn wait_for(address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < until, "nobody listens at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// So many calls; with `own_core` what stands between has one for itself and the emulators share the other.
fn round(between: Between, calls: u64, own_core: bool) -> Round {
    let program = env!("CARGO_BIN_EXE_switchboard");
    let relay = program.replace("/switchboard", "/examples/relay");
    let (core, others) = if own_core {
        (Some("0"), Some("1"))
    } else {
        (None, None)
    };
    let (front, model) = (free(), free());
    let emulate = ["emulate-model", "--listen", &model];
    let _model = start(others, program, &emulate, &[]);
    wait_for(&model);
    let url = format!("ws://{model}/v1/realtime");
    let keys = [
        ("SWITCHBOARD_DEV", "1"),
        ("SWITCHBOARD_LISTEN", &front),
        ("SWITCHBOARD_ADMIN_LISTEN", &free()),
        ("SWITCHBOARD_WORKERS", "1"),
        ("SWITCHBOARD_MAX_CALLS", "1000"),
        ("SWITCHBOARD_STORE", "memory"),
        ("OPENAI_API_KEY", "any"),
        ("OPENAI_REALTIME_URL", &url),
        ("RUST_LOG", "warn"),
    ];
    let measured = match between {
        Between::Relay => start(core, &relay, &[&front, &model], &[]),
        Between::Service => start(core, program, &["serve"], &keys),
    };
    wait_for(&front);
    let process = measured.0.id();
    let resident = || memory_kib(process, "VmRSS:");
    let idle_kib = resident();
    // The calls begin 10 ms apart and settle for two seconds; then all are there until the first has sent its last.
    let full = Duration::from_millis(10 * calls) + Duration::from_secs(3);
    let seconds = (full.as_secs() + MEASURED).to_string();
    let to = format!("http://{front}");
    let number = calls.to_string();
    let load = [
        "load",
        "--to",
        &to,
        "--calls",
        &number,
        "--seconds",
        &seconds,
    ];
    let mut load = start(others, program, &load, &[]);
    std::thread::sleep(full);
    let (began, before, kib) = (Instant::now(), processor_time(process), resident());
    std::thread::sleep(Duration::from_secs(MEASURED - 1));
    let (took, used) = (began.elapsed(), processor_time(process) - before);
    let report: Value = serde_json::from_reader(load.0.stdout.take().unwrap()).unwrap();
    let latency = |figure: &str| report["added_latency_ms"][figure].as_f64().unwrap();
    Round {
        cpu_us: used.as_secs_f64() * 1e6 / (calls as f64 * FRAMES * took.as_secs_f64()),
        memory_kib: (kib - idle_kib) as f64 / calls as f64,
        p50_ms: latency("p50"),
        p99_ms: latency("p99"),
        p999_ms: latency("p999"),
        lost: report["frames_lost"].as_u64().unwrap(),
        frames: report["frames_sent"].as_u64().unwrap(),
    }
}

/// Rounds by turns: what drifts, drifts for both.
#[allow(clippy::print_stdout)] // for whoever reads the test's output
fn rounds(number: usize, calls: u64, own_core: bool) -> (Vec<Round>, Vec<Round>) {
    if cfg!(debug_assertions) {
        panic!("cargo test --release --test cost -- --ignored --nocapture");
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cargo = [
        "build",
        "--release",
        "-p",
        "switchboard-kit",
        "--example",
        "relay",
    ];
    assert!(
        Command::new(env!("CARGO"))
            .args(cargo)
            .status()
            .unwrap()
            .success()
    );
    let (mut relay, mut service) = (Vec::new(), Vec::new());
    for _ in 0..number {
        for (between, rounds) in [
            (Between::Relay, &mut relay),
            (Between::Service, &mut service),
        ] {
            let round = round(between, calls, own_core);
            println!(
                "{calls} calls, {between:?}: {:.1} µs a frame, {:.0} KiB a call, p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, {} of {} lost",
                round.cpu_us,
                round.memory_kib,
                round.p50_ms,
                round.p99_ms,
                round.p999_ms,
                round.lost,
                round.frames
            );
            assert_eq!(round.lost, 0);
            rounds.push(round);
        }
    }
    (relay, service)
}

fn median(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[test]
#[ignore = "release gate: two and a half minutes, a release build, and a machine that does nothing else"]
fn two_hundred_calls_cost_hardly_more_than_a_relay() {
    let (relay, service) = rounds(3, 200, false);
    let ratio = median(&service, |round| round.cpu_us) / median(&relay, |round| round.cpu_us);
    let memory = median(&service, |round| round.memory_kib);
    let p99 = median(&service, |round| round.p99_ms);
    println!(
        "{ratio:.2} times the relay (bar {RATIO}), {memory:.0} KiB a call (bar 100), p99 {p99:.1} ms (bar 5)"
    );
    assert!(ratio <= RATIO);
    assert!(memory <= 100.0);
    assert!(p99 <= 5.0);
}

#[test]
#[ignore = "release gate: three minutes, a release build, two cores for itself"]
fn seven_hundred_calls_fit_on_one_core() {
    let (_, service) = rounds(2, 700, true);
    // What the emulators on the other core do to a round is not the service's: one round without it is proof.
    let p99 = service.iter().map(|round| round.p99_ms);
    let p99 = p99.fold(f64::INFINITY, f64::min);
    println!("700 calls on one core: p99 {p99:.1} ms (bar 20)");
    assert!(p99 <= 20.0);
}
