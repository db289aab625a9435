//! The real binary, told to stop with real signals; and the commands that talk to it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use call_protocol::checkpoint::{Checkpoint, Standing};
use call_protocol::phone::CallSid;
use serde_json::Value;
use switchboard_actors::call::unix_now;
use switchboard_actors::store::CallStore as _;
use switchboard_actors::store::sqlite::SqliteStore;
use switchboard_kit::realtime::Running;
use switchboard_kit::twilio::{CallEnd, CallOutcome, Scripted, Step, StreamEnd};
use tokio::task::JoinHandle;

use test_support::child::{Helper, Serving, run};
use test_support::http::{Request, ring};
use test_support::phone::{closed_with, sid};
use test_support::{
    ADMIN_TOKEN, AUTH_TOKEN, MODEL_KEY, PUBLIC, SOON, brief, caller, environment, line_to, listen,
    say, times, until,
};

/// The model and a service of its own process.
async fn serving(more: &[(&'static str, String)]) -> (Running, Serving) {
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let serving = Serving::start(&environment(&model.url(), more)).await;
    (model, serving)
}

/// A call to it, with these steps.
fn phone(serving: &Serving, steps: Vec<Step>) -> JoinHandle<CallOutcome> {
    let line = line_to(serving.public);
    tokio::spawn(async move { line.call(caller(steps)).await })
}

async fn readiness(public: SocketAddr) -> (u16, Value) {
    let reply = Request::new("GET", "/readyz").send(public).await;
    (reply.status, reply.json())
}

async fn live_calls(admin: SocketAddr) -> Value {
    let reply = Request::new("GET", "/admin/calls")
        .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .send(admin)
        .await;
    reply.json()["count"].clone()
}

async fn is_live(serving: &Serving, calls: usize) {
    until("the calls live", SOON, async || {
        live_calls(serving.admin).await == calls
    })
    .await;
}

/// From the signal to a service that says it is not ready.
async fn until_unready(public: SocketAddr) -> Duration {
    let began = Instant::now();
    until("the service is not ready", SOON, async || {
        readiness(public).await.0 == 503
    })
    .await;
    began.elapsed()
}

#[tokio::test]
async fn a_service_that_is_told_to_stop_takes_no_more_calls_and_lets_the_live_ones_end() {
    let (_model, mut serving) = serving(&[]).await;
    assert_eq!(readiness(serving.public).await.0, 200);
    let steps = vec![
        listen(),
        Step::Wait { ms: 1_200 },
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let call = phone(&serving, steps);
    is_live(&serving, 1).await;

    serving.signal("TERM");
    let unready = until_unready(serving.public).await;
    times::within(unready, Duration::from_millis(100), "unready");
    let (_, why) = readiness(serving.public).await;
    assert_eq!(
        (&why["ready"], &why["reasons"][0]),
        (&false.into(), &"draining".into())
    );
    assert_eq!(
        Request::new("GET", "/healthz")
            .send(serving.public)
            .await
            .status,
        200
    );
    // Without a number to dial, the answer is the busy tone.
    let busy = Request::signed("/incoming-call", &ring(&sid("CA"), "+15550143"))
        .send(serving.public)
        .await;
    assert_eq!(busy.status, 200);
    assert!(
        busy.text().contains("<Reject reason=\"busy\"/>"),
        "{}",
        busy.text()
    );
    times::within(busy.took, Duration::from_millis(500), "busy took");

    let outcome = call.await.unwrap();
    let (code, took) = serving.ended(SOON).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams[0].end, StreamEnd::CallerHungUp);
    assert_eq!(
        outcome.streams[0].agent_speech.len(),
        2,
        "the call went on as if nothing were"
    );
    assert_eq!(code, 0);
    times::within(took, Duration::from_secs(1), "took");
    println!(
        "D1 SIGTERM with a live call: not ready after {} ms (bar 100), call undisturbed, exit 0 {} ms after its end (bar 1,000)",
        unready.as_millis(),
        took.as_millis()
    );
}

/// Calls that end by themselves, one after the other, over half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d1_of_fifty_calls_none_is_dropped_and_the_process_leaves_behind_the_last() {
    const CALLS: u64 = 50;
    let (_model, mut serving) = serving(&[]).await;
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let mut line = line_to(serving.public);
            line.record = false;
            let stay = Step::Wait {
                ms: 3_000 + 27_000 * number / (CALLS - 1),
            };
            let steps = [stay, Step::HangUp];
            tokio::spawn(async move { line.call(Scripted::new(steps, 60_000)).await })
        })
        .collect();
    is_live(&serving, CALLS as usize).await;
    serving.signal("TERM");
    let unready = until_unready(serving.public).await;
    times::within(unready, Duration::from_millis(100), "unready");
    for call in calls {
        let outcome = call.await.unwrap();
        assert_eq!(outcome.end, CallEnd::CallerHungUp);
        assert_eq!(outcome.complaints(), []);
        assert_eq!(outcome.streams.len(), 1);
    }
    let (code, took) = serving.ended(SOON).await;
    assert_eq!(code, 0);
    times::within(took, Duration::from_secs(1), "took");
    println!(
        "D1 SIGTERM with {CALLS} calls that end by themselves over 30 s: not ready after {} ms (bar 100), 0 dropped, exit 0 {} ms \
         after the last one's end (bar 1,000)",
        unready.as_millis(),
        took.as_millis()
    );
}

#[tokio::test]
async fn at_the_drain_deadline_live_calls_are_handed_over() {
    let (_model, mut serving) = serving(&[("SWITCHBOARD_DRAIN_SECONDS", "2".to_owned())]).await;
    let calls: Vec<_> = (0..3)
        .map(|_| phone(&serving, vec![Step::Wait { ms: 25_000 }, Step::HangUp]))
        .collect();
    is_live(&serving, 3).await;
    let began = Instant::now();
    serving.signal("TERM");
    let (code, took) = serving.ended(SOON).await;
    assert_eq!(code, 0);
    assert!(took >= Duration::from_millis(1_900), "{took:?}");
    times::within(took, Duration::from_millis(4_000), "took");
    for call in calls {
        let outcome = call.await.unwrap();
        assert_eq!(outcome.streams[0].end, closed_with(1001));
        // Twilio asks what comes next; another instance would answer.
        assert!(
            outcome.documents[1].url.ends_with("/after-stream"),
            "{:?}",
            outcome.documents
        );
    }
    times::within(began.elapsed(), SOON, "all of it");
    println!(
        "D2 drain deadline 2 s: 3 calls closed with 1001, exit 0 after {} ms (bar 4,000)",
        took.as_millis()
    );
}

/// The same with a full service and the store on disk: whoever comes next finds every one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d2_at_the_deadline_fifty_calls_are_written_down_and_handed_over() {
    const CALLS: usize = 50;
    let folder = std::env::temp_dir().join(format!("switchboard-d2-{}", std::process::id()));
    let more = [
        ("SWITCHBOARD_DRAIN_SECONDS", "2".to_owned()),
        ("SWITCHBOARD_STORE", "sqlite".to_owned()),
        ("SWITCHBOARD_DATA_DIR", folder.display().to_string()),
    ];
    let (_model, mut serving) = serving(&more).await;
    let stay = || vec![listen(), Step::Wait { ms: 25_000 }, Step::HangUp];
    let calls: Vec<_> = (0..CALLS).map(|_| phone(&serving, stay())).collect();
    is_live(&serving, CALLS).await;
    serving.signal("TERM");
    let (code, took) = serving.ended(SOON).await;
    assert_eq!(code, 0);
    times::within(took, Duration::from_millis(4_000), "took");
    let mut sids = Vec::new();
    for call in calls {
        let outcome = call.await.unwrap();
        assert_eq!(outcome.streams[0].end, closed_with(1001));
        sids.push(outcome.call_sid);
    }
    let store = SqliteStore::open(&folder.join("calls.sqlite")).unwrap();
    let mut kept = 0;
    for sid in &sids {
        let call = CallSid::parse(sid).unwrap();
        let document = store.look(call, unix_now()).await.unwrap();
        let checkpoint = Checkpoint::decode(&document.expect("a checkpoint")).unwrap();
        assert_eq!(checkpoint.standing, Standing::Live, "{sid}");
        assert_eq!(checkpoint.turns.len(), 1, "{sid}: the greeting");
        kept += 1;
    }
    let _ = std::fs::remove_dir_all(folder);
    println!(
        "D2 drain deadline 2 s under {CALLS} calls: all closed with 1001, {kept} checkpoints found, exit 0 after {} ms (bar \
         4,000)",
        took.as_millis()
    );
}

#[tokio::test]
async fn a_second_signal_ends_the_service_at_once() {
    for second in ["TERM", "INT"] {
        let (_model, mut serving) = serving(&[]).await;
        let call = phone(&serving, vec![Step::Wait { ms: 25_000 }, Step::HangUp]);
        is_live(&serving, 1).await;
        serving.signal("TERM");
        until_unready(serving.public).await;
        serving.signal(second);
        let (code, took) = serving.ended(SOON).await;
        assert_eq!(code, 0);
        times::within(took, Duration::from_secs(1), second);
        let outcome = call.await.unwrap();
        assert_eq!(
            outcome.streams[0].end,
            closed_with(1001),
            "closed, not dropped"
        );
        println!(
            "D5 second signal {second}: exit 0 after {} ms, bar 1,000",
            took.as_millis()
        );
    }
}

#[tokio::test]
async fn an_idle_service_stops_at_once() {
    for signal in ["TERM", "INT"] {
        let (_model, mut serving) = serving(&[]).await;
        serving.signal(signal);
        let (code, took) = serving.ended(SOON).await;
        assert_eq!(code, 0);
        times::within(took, Duration::from_secs(1), signal);
    }
}

#[test]
fn a_wrong_configuration_is_one_sentence_and_binds_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    let wrong = [
        ("SWITCHBOARD_ADMIN_TOKEN", "short"),
        ("SWITCHBOARD_ADMIN_TOKEN", ""),
        ("SWITCHBOARD_PUBLIC_URL", "ftp://spa.example"),
        ("SWITCHBOARD_PUBLIC_URL", ""),
        ("SWITCHBOARD_MAX_CALLS", "none"),
        ("TWILIO_AUTH_TOKEN", ""),
        ("OPENAI_API_KEY", ""),
        ("OPENAI_REALTIME_URL", "ws://model.example/v1/realtime"),
        ("SWITCHBOARD_CONFIG", "/no/such/file.toml"),
    ];
    for (name, value) in wrong {
        let mut variables = environment("ws://127.0.0.1:9/v1/realtime", &[]);
        variables.insert("SWITCHBOARD_LISTEN".to_owned(), format!("127.0.0.1:{port}"));
        variables.insert(name.to_owned(), value.to_owned());
        for command in ["serve", "check"] {
            let output = run(&[command], &variables);
            assert_eq!(
                output.status.code(),
                Some(64),
                "{command} with {name}={value}"
            );
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(text.lines().count(), 1, "{name}={value}: {text}");
            assert!(text.starts_with("switchboard: "), "{text}");
            let about = if name == "SWITCHBOARD_CONFIG" {
                "/no/such/file.toml"
            } else {
                name
            };
            assert!(text.contains(about), "{name}={value}: {text}");
            assert!(output.stdout.is_empty());
        }
    }
    // A port that was never bound is free for whoever comes.
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
}

/// The exit code, and what is complained of.
fn complaints(
    command: &[&str],
    variables: &BTreeMap<String, String>,
) -> (Option<i32>, Vec<String>) {
    let output = run(command, variables);
    let said = String::from_utf8(output.stderr).unwrap();
    let complaints = said
        .lines()
        .filter(|line| line.starts_with("switchboard: "));
    (
        output.status.code(),
        complaints.map(str::to_owned).collect(),
    )
}

#[test]
fn what_a_start_cannot_open_check_complains_of_in_the_same_words() {
    let folder = std::env::temp_dir().join(format!("switchboard-opens-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let agent = |lines: &str| format!("[agents.spa]\ninstructions = \"You answer.\"\n{lines}\n");
    write(
        "welcome.wav",
        b"ID3\x04\0\0\0\0\0\0\xFF\xFB\x90\x44 no sound of ours",
    );
    let clip = write(
        "clip.toml",
        agent("greeting = { clip = \"welcome.wav\" }").as_bytes(),
    );
    let book = write("book.toml", agent("tools = [\"find_times\"]").as_bytes());
    write(
        "damaged/book.sqlite",
        b"what was a book and is none any more",
    );
    let file = write("file", b"");
    let damaged = folder.join("damaged").to_str().unwrap().to_owned();
    for (changes, about) in [
        (
            vec![("SWITCHBOARD_CONFIG", clip)],
            "agents.spa.greeting.clip names ",
        ),
        (
            vec![("SWITCHBOARD_LISTEN", address.clone())],
            "server.listen",
        ),
        (vec![("SWITCHBOARD_ADMIN_LISTEN", address)], "admin.listen"),
        // An address of documentation, which is not this machine's.
        (
            vec![("SWITCHBOARD_LISTEN", "192.0.2.1:5050".to_owned())],
            "server.listen",
        ),
        (
            vec![
                ("SWITCHBOARD_CONFIG", book.clone()),
                ("SWITCHBOARD_DATA_DIR", damaged),
            ],
            "data.dir (SWITCHBOARD_DATA_DIR)",
        ),
        (
            vec![
                ("SWITCHBOARD_CONFIG", book.clone()),
                ("SWITCHBOARD_DATA_DIR", format!("{file}/data")),
            ],
            "data.dir (SWITCHBOARD_DATA_DIR)",
        ),
        (
            vec![
                ("SWITCHBOARD_CONFIG", book.clone()),
                ("SWITCHBOARD_DATA_DIR", file),
            ],
            "data.dir (SWITCHBOARD_DATA_DIR)",
        ),
    ] {
        let variables = environment("ws://127.0.0.1:9/v1/realtime", &changes);
        let (code, serve) = complaints(&["serve"], &variables);
        assert_eq!((code, serve.len()), (Some(64), 1), "{changes:?}: {serve:?}");
        assert!(serve[0].contains(about), "{serve:?}");
        let (code, check) = complaints(&["check", "--offline"], &variables);
        assert_eq!((code, &check), (Some(64), &serve), "{changes:?}");
    }
    // A check begins nothing.
    let fresh = folder.join("fresh/data");
    let changes = [
        ("SWITCHBOARD_CONFIG", book),
        ("SWITCHBOARD_DATA_DIR", fresh.to_str().unwrap().to_owned()),
    ];
    let variables = environment("ws://127.0.0.1:9/v1/realtime", &changes);
    assert_eq!(
        complaints(&["check", "--offline"], &variables),
        (Some(0), vec![])
    );
    assert!(!folder.join("fresh").exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn check_lists_all_that_is_wrong_and_is_content_beside_the_running_service() {
    let mut variables = environment("ws://127.0.0.1:9/v1/realtime", &[]);
    let serving = Serving::start(&variables).await;
    variables.insert("SWITCHBOARD_LISTEN".to_owned(), serving.public.to_string());
    variables.insert(
        "SWITCHBOARD_ADMIN_LISTEN".to_owned(),
        serving.admin.to_string(),
    );
    let check = ["check", "--offline"];
    let (code, said) = complaints(&check, &variables);
    assert_eq!((code, said), (Some(0), vec![]));
    serving.stop().await;
    variables.insert("SWITCHBOARD_MAX_CALLS".to_owned(), "none".to_owned());
    variables.insert("SWITCHBOARD_ADMIN_TOKEN".to_owned(), "short".to_owned());
    variables.remove("TWILIO_AUTH_TOKEN");
    let (code, said) = complaints(&check, &variables);
    assert_eq!((code, said.len()), (Some(64), 3), "{said:?}");
    let (code, first) = complaints(&["serve"], &variables);
    assert_eq!((code, &first[..]), (Some(64), &said[..1]), "{said:?}");
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    let nothing = BTreeMap::new();
    for arguments in [
        &["fly"][..],
        &["load", "--calls", "0"],
        &["call"],
        &["emulate-model"],
    ] {
        let output = run(arguments, &nothing);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    }
    for command in ["serve", "demo", "call", "load", "emulate-model", "check"] {
        let output = run(&[command, "--help"], &nothing);
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(
            !output.stdout.is_empty() && output.stderr.is_empty(),
            "{command}"
        );
    }
}

#[test]
fn check_offline_asks_nobody_and_shows_no_secret() {
    // Nobody listens there; offline nobody has to.
    let output = run(
        &["check", "--offline"],
        &environment("ws://127.0.0.1:9/v1/realtime", &[]),
    );
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(PUBLIC), "{text}");
    for secret in [ADMIN_TOKEN, AUTH_TOKEN, MODEL_KEY] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_commands_phone_a_running_service() {
    let (model, said) = Helper::start(&["emulate-model", "--listen", "127.0.0.1:0"]);
    let url = said.rsplit(' ').next().unwrap().to_owned();
    let serving = Serving::start(&environment(&url, &[])).await;
    let to = format!("http://{}", serving.public);
    let usual = [
        "--to",
        &to,
        "--public-url",
        PUBLIC,
        "--auth-token",
        AUTH_TOKEN,
    ];
    let nothing = BTreeMap::new();

    let folder = std::env::temp_dir().join(format!("switchboard-itest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (question, heard) = (folder.join("question.wav"), folder.join("heard.wav"));
    // Half a second of silence: the caller only listens.
    switchboard_kit::twilio::wav::write_mono_file(&question, &[0xFF; 4_000]).unwrap();
    let call = [
        &["call"],
        &usual[..],
        &[
            "--wav",
            question.to_str().unwrap(),
            "--out",
            heard.to_str().unwrap(),
        ],
    ]
    .concat();
    let load = [&["load"], &usual[..], &["--calls", "5", "--seconds", "2"]].concat();
    let (call, load) = std::thread::scope(|scope| {
        let call = scope.spawn(|| run(&call, &nothing));
        let load = scope.spawn(|| run(&load, &nothing));
        (call.join().unwrap(), load.join().unwrap())
    });

    let text = String::from_utf8_lossy(&call.stdout).into_owned();
    assert_eq!(
        call.status.code(),
        Some(0),
        "{text}{}",
        String::from_utf8_lossy(&call.stderr)
    );
    assert!(
        text.contains("the caller hung up") && text.contains("0 warnings"),
        "{text}"
    );
    let audio = switchboard_kit::twilio::wav::read_file(&heard).unwrap();
    let loud_ms = |audio: &[u8]| {
        let frames = audio.chunks(160);
        frames
            .filter(|frame| switchboard_kit::twilio::is_loud(frame))
            .count()
            * 20
    };
    let greeting = switchboard_kit::speech::receptionist("greeting").unwrap();
    let (saved_ms, said_ms) = (loud_ms(&audio), loud_ms(greeting.mulaw()));
    // Frames of the line do not begin where the clip's do.
    assert!(
        saved_ms * 10 >= said_ms * 9,
        "{saved_ms} of {said_ms} ms of the greeting were saved"
    );

    let text = String::from_utf8_lossy(&load.stdout).into_owned();
    assert_eq!(
        load.status.code(),
        Some(0),
        "{text}{}",
        String::from_utf8_lossy(&load.stderr)
    );
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (
            &report["calls"],
            &report["failures"],
            &report["frames_lost"]
        ),
        (&5.into(), &0.into(), &0.into()),
        "{text}"
    );
    assert_eq!(report["frames_sent"], 500);

    // With another token nothing is believed, and the commands say so.
    let wrong = [
        "load",
        "--to",
        &to,
        "--public-url",
        PUBLIC,
        "--auth-token",
        "wrong",
        "--calls",
        "1",
        "--seconds",
        "1",
    ];
    let output = run(&wrong, &nothing);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("webhook_status_403"));
    serving.stop().await;
    drop(model);
    std::fs::remove_dir_all(&folder).unwrap();
}
