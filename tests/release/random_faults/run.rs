//! One run: callers come and go, things break, and every promise is looked after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use switchboard_kit::chaos::Chaos;
use switchboard_kit::realtime::{Realtime, Recording, Running, Script, Step as Answer, ToolCall};
use switchboard_kit::twilio::{CallOutcome, DialAnswer, Line};
use tokio::sync::mpsc;

use super::breaking::{Breakable, break_all};
use super::callers::{self, Over};
use super::front_proxy::FrontProxy;
use super::order_server::{OrderServer, book_of, booked_once};
use super::plan::plan;
use super::process::{Processes, Stops};
use super::records;
use super::silence::{self, BAR_MS, Silence, Silences};
use test_support::process_fixture::{line_with_fallback, percentile};
use test_support::{MODEL_KEY, PUBLIC, SOON, times, tone};

/// How long calls may go on when no more come.
const LAST_ROUND: Duration = Duration::from_secs(8);

/// The number's fallback URL, kept where it is always reachable.
const STANDBY: &str = "<Response><Pause length=\"1\"/>\
    <Redirect method=\"POST\">https://spa.example/after-stream</Redirect></Response>";

/// Every answer is longer than what settles the agent's debt; tools on the way, whose arguments no two calls share.
fn model() -> Realtime {
    let speaks = |hz: u32, text: &str| tone(hz, 1_500, text);
    let hears = |answer: Answer| Answer {
        hears: Some("I would like something.".to_owned()),
        ..answer
    };
    let calls = |name: &str, arguments: serde_json::Value| {
        let sorry = tone(700, 1_500, "That does not work at the moment.");
        Answer {
            tools: vec![ToolCall {
                name: name.to_owned(),
                arguments,
            }],
            instead: Some(Box::new(sorry)),
            ..Answer::default()
        }
    };
    let number = || json!({"number": "{take_number:/number}"});
    let find = json!({"service": "Classic massage"});
    let book = json!({
        "service": "{find_times:/options/0/service}", "day": "{find_times:/day}",
        "time": "{find_times:/options/0/times/0/time}", "name": "Anna Weber",
    });
    let mut script = Script::default();
    script.greeting = speaks(1_000, "Hello, this is the spa.");
    script.turns = vec![
        hears(calls("take_number", json!({}))),
        calls("charge", number()),
        speaks(900, "It is ordered."),
        hears(calls("find_times", find)),
        calls("book_appointment", book),
        speaks(950, "It is booked."),
        hears(calls("take_number", json!({}))),
        calls("note", number()),
        speaks(1_050, "It is noted."),
    ];
    script.otherwise = hears(speaks(1_100, "Yes."));
    script.unprompted = speaks(850, "Going on.");
    script.idle = speaks(800, "Are you still there?");
    Realtime::builder()
        .script(script)
        .think_ms(100)
        .recording(Recording::Counts)
        .keys([MODEL_KEY])
}

/// The end of a run.
#[derive(Clone, Default)]
struct Closing {
    /// Nobody comes any more.
    doors: Arc<AtomicBool>,
    /// Whoever is still there leaves.
    leave: Arc<AtomicBool>,
}

/// Lets the next caller in as soon as one has left, until it is time; each call's outcome as it ends.
fn callers(
    line: &Line,
    seed: u64,
    at_once: usize,
    closed: &Closing,
) -> mpsc::UnboundedReceiver<Over> {
    let (tell, told) = mpsc::unbounded_channel();
    let next = Arc::new(AtomicU64::new(1));
    for place in 0..at_once {
        let (line, tell, next, closed) = (line.clone(), tell.clone(), next.clone(), closed.clone());
        tokio::spawn(async move {
            // Not all in the same moment.
            tokio::time::sleep(Duration::from_millis(place as u64 * 40)).await;
            while !closed.doors.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let over = callers::call(line.clone(), seed, number, closed.leave.clone()).await;
                if tell.send(over).is_err() {
                    return;
                }
            }
        });
    }
    told
}

/// What was found in the calls as they ended.
#[derive(Default)]
struct Found {
    calls: Vec<CallOutcome>,
    silences_ms: Vec<u64>,
    longest: Silence,
    trouble: Vec<String>,
    ends: std::collections::BTreeMap<String, usize>,
}

impl Found {
    fn look_at(&mut self, over: Over, stops: &Stops, front_proxy: &FrontProxy) {
        let since = |at: Instant| at.saturating_duration_since(over.began).as_millis() as u64;
        let stops = stops.lock().unwrap();
        let stopped: Vec<_> = stops
            .iter()
            .filter(|stop| stop.concerns(&over.outcome.call_sid))
            .map(|stop| since(stop.time.start)..since(stop.time.end))
            .collect();
        drop(stops);
        let Silences {
            longest: silence,
            too_long,
        } = silence::of(&over.outcome, &over.deaf, &stopped);
        self.silences_ms.push(silence.ms());
        if silence.ms() > self.longest.ms() {
            self.longest = silence;
        }
        let mut trouble = Vec::new();
        // Milliseconds are for the release gate; elsewhere nobody may be forgotten.
        let most = times::allowed(Duration::from_millis(BAR_MS)).as_millis() as u64;
        let counts = |silence: &Silence| times::asserted() || silence.ms() > most;
        if let Some(silence) = too_long.filter(counts) {
            trouble.push(format!(
                "I5 {}: {} ms of silence",
                over.outcome.call_sid,
                silence.ms()
            ));
        }
        if over.is_stuck() {
            trouble.push(format!("{}: {:?}", over.outcome.call_sid, over.outcome.end));
        }
        trouble.extend(front_proxy.one_spoke_at_a_time(&over.outcome).err());
        if !trouble.is_empty() {
            let story = story(&over, silence);
            println!("{trouble:?}\n{story}");
        }
        self.trouble.extend(trouble);
        let how = serde_json::to_value(&over.outcome.end).unwrap();
        *self.ends.entry(how["how"].to_string()).or_default() += 1;
        let mut outcome = over.outcome;
        // The sound was heard; a thousand calls of it would fill the memory.
        for stream in &mut outcome.streams {
            stream.heard = Vec::new();
            stream.said = Vec::new();
            stream.playback = Vec::new();
        }
        self.calls.push(outcome);
    }
}

/// What a caller lived through, for whoever looks for the cause.
fn story(over: &Over, silence: Silence) -> String {
    let mut lines = vec![format!(
        "caller {} deaf from {:?}, silence {silence:?}",
        over.number, over.deaf
    )];
    for stream in &over.outcome.streams {
        let at = |ms: u64| stream.started_ms + ms;
        let agent: Vec<_> = stream
            .agent_speech
            .iter()
            .map(|span| (at(span.from_ms), at(span.to_ms)))
            .collect();
        let caller: Vec<_> = stream
            .caller_speech
            .iter()
            .map(|span| (at(span.from_ms), at(span.to_ms)))
            .collect();
        lines.push(format!(
            "  stream {} {}..{} {:?}\n    agent {agent:?}\n    caller {caller:?}",
            stream.stream_sid,
            stream.started_ms,
            at(stream.duration_ms),
            stream.end
        ));
    }
    for document in &over.outcome.documents {
        lines.push(format!(
            "  {} asked {} took {} {:?}",
            document.at_ms, document.url, document.took_ms, document.status
        ));
    }
    lines.join("\n")
}

/// A run of that length; panics with the seed if a promise was broken.
pub(crate) async fn run(seed: u64, at_once: usize, length: Duration) {
    println!("SWITCHBOARD_SEED={seed}: {at_once} calls at once for {length:?}");
    let model = model().start().await.unwrap();
    let to_model = Chaos::start(seed).await.unwrap();
    to_model.aim(model.addr());
    let front_proxy = FrontProxy::open().await;
    let to_service = Chaos::start(seed + 1).await.unwrap();
    to_service.aim(front_proxy.address);
    let order_server = OrderServer::open(seed).await;
    let url = format!("ws://{}/v1/realtime", to_model.address());
    let mut processes =
        Processes::start(&front_proxy, &url, &order_server.address.to_string()).await;
    let mut line = line_with_fallback(to_service.address(), STANDBY).await;
    line.status_callback = Some(format!("{PUBLIC}/call-status"));
    line.dial = vec![DialAnswer::Answered { talk_ms: 300 }];

    let closed = Closing::default();
    let mut overs = callers(&line, seed, at_once, &closed);
    let began = Instant::now();
    let plan = plan(seed, at_once, length);
    let parts = Breakable {
        model: &model,
        to_model: &to_model,
        to_service: &to_service,
        front_proxy: &front_proxy,
    };
    let stops = processes.stops.clone();
    let breaking = async {
        let struck = break_all(&plan, &parts, &mut processes, began).await;
        tokio::time::sleep_until((began + length).into()).await;
        closed.doors.store(true, Ordering::Relaxed);
        tokio::time::sleep(LAST_ROUND).await;
        closed.leave.store(true, Ordering::Relaxed);
        struck
    };
    let mut found = Found::default();
    let looking = async {
        while let Some(over) = overs.recv().await {
            found.look_at(over, &stops, &front_proxy);
        }
    };
    let (struck, ()) = tokio::join!(breaking, looking);

    let mut trouble = std::mem::take(&mut found.trouble);
    trouble.extend(front_proxy.trouble());
    // What lies in a black hole stays open at the model until the network says so.
    drop(to_model);
    trouble.extend(model_is_free(&model).await.err());
    let gap = processes.longest_gap;
    let folder = processes.folder.0.clone();
    let variables = processes.variables.clone();
    trouble.extend(forgotten(&folder, &found.calls).await.err());
    let booked = tokio::task::spawn_blocking(move || booked_once(&variables))
        .await
        .unwrap();
    assert!(book_of(&folder));
    let order_server = order_server.once();
    // The folder goes with it.
    let (past, left) = processes.nothing_is_left().await;
    trouble.extend(left);
    trouble.extend(order_server.as_ref().err().cloned());
    trouble.extend(booked.as_ref().err().cloned());
    let records = records::read(&past, &found.calls);
    trouble.extend(records.trouble.iter().cloned());

    for words in &trouble {
        records::show(words, &past);
    }
    let silences = &mut found.silences_ms;
    println!(
        "{} calls in {:?}, {} answered by {} owners in {} processes; ended {:?}",
        found.calls.len(),
        began.elapsed(),
        records.answered,
        records.owners,
        past.len(),
        found.ends
    );
    println!("faults that struck: {struck:?}");
    println!("ends of owners: {:?}", records.ends);
    println!("what the log complained of: {:?}", records.complaints);
    println!(
        "I1 one record each; {} whose callback met no process; {} whose owner left before the store had agreed",
        records.unreported, records.unconfirmed
    );
    println!("I3 {order_server:?}; {booked:?} appointments");
    let over = silences.iter().filter(|ms| **ms > BAR_MS).count();
    println!(
        "I5 {over} calls whose line broke or whose process was stopped while they waited heard nothing for longer than {BAR_MS} ms"
    );
    println!(
        "I5 longest silence p50 {} ms, p95 {} ms, p99 {} ms, max {} ms (bar {BAR_MS}); longest without a process {} ms",
        percentile(silences, 50),
        percentile(silences, 95),
        percentile(silences, 99),
        percentile(silences, 100),
        gap.as_millis()
    );
    assert!(
        trouble.is_empty(),
        "SWITCHBOARD_SEED={seed} breaks {} promises:\n{}",
        trouble.len(),
        trouble.join("\n")
    );
}

/// I4: no session is open at the model.
async fn model_is_free(model: &Running) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let sessions = model.sessions();
        let open: Vec<_> = sessions
            .iter()
            .filter(|session| session.ended().is_none())
            .map(|session| session.number())
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        if began.elapsed() > SOON {
            return Err(format!(
                "I4: sessions {open:?} of {} are open at the model",
                sessions.len()
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// I1: nothing of any call is written down any more, but for calls of whose end nobody was told.
async fn forgotten(folder: &std::path::Path, ended: &[CallOutcome]) -> Result<(), String> {
    let is_told = |call: &String| {
        let is_ours = ended.iter().any(|outcome| outcome.call_sid == *call);
        !is_ours || !records::is_unheard(call, ended)
    };
    let began = Instant::now();
    loop {
        let store = rusqlite::Connection::open(folder.join("calls.sqlite")).unwrap();
        let mut kept = store
            .prepare("SELECT call FROM calls WHERE checkpoint IS NOT NULL")
            .unwrap();
        let calls: Vec<String> = kept
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .filter(is_told)
            .collect();
        if calls.is_empty() {
            return Ok(());
        }
        if began.elapsed() > SOON {
            return Err(format!(
                "I1: {} checkpoints are left: {calls:?}",
                calls.len()
            ));
        }
        drop(kept);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
