//! F16 and D4: the store does not answer, because another process holds its file locked.
//!
//! `/readyz` stays 200: it tells a balancer where a call is better served, and a store in a file of this machine is no
//! better at another process that shares it. What is lost meanwhile is rung 5 of the ladder alone, and the log says so.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use switchboard_kit::twilio::Step;
use switchboard_kit::twilio::load::{LoadPlan, load};

use super::{talks, was_undisturbed};
use test_support::child::Serving;
use test_support::http::{Request, call_over, ring};
use test_support::phone::{closed_with, sid};
use test_support::process_fixture::{Folder, have_turns};
use test_support::{AGENT, MODEL_KEY, SOON, brief, caller, line_to, listen, say, times, until};

/// How long the store is away.
const AWAY: Duration = Duration::from_secs(15);

const CALLS: u32 = 20;

const FAILS: &str = "the store fails, calls go on but would not outlive this process and their tools with effects are refused";

/// Locks the file; it is free again when this is dropped.
fn locked(folder: &Folder) -> Connection {
    let connection = Connection::open(folder.0.join("calls.sqlite")).unwrap();
    connection.busy_timeout(SOON).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    connection
}

/// Variables of a process with an agent that waits and one that greets.
fn configured(
    folder: &Folder,
    model: &str,
    drain_s: u32,
) -> std::collections::BTreeMap<String, String> {
    let file = folder.0.join("switchboard.toml");
    let quiet = "default_agent = \"quiet\"\n[agents.quiet]\ninstructions = \"You wait.\"\ngreeting = { mode = \"wait\" }\n";
    let agents = AGENT.replace("[agents.spa]", "[agents.spa]\nnumbers = [\"+15550101\"]");
    std::fs::write(&file, format!("{quiet}{agents}")).unwrap();
    let more = [
        ("SWITCHBOARD_CONFIG", file.display().to_string()),
        ("SWITCHBOARD_DRAIN_SECONDS", drain_s.to_string()),
    ];
    folder.variables(model, &more)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_a_store_that_does_not_answer_for_fifteen_seconds_costs_no_call() {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let serving = Serving::start(&configured(&folder, &model.url(), 5)).await;
    let mut line = line_to(serving.public);
    line.record = false;
    let others = tokio::spawn(load(LoadPlan::new(
        line,
        CALLS,
        AWAY + Duration::from_secs(3),
    )));
    until("their model sessions stand", SOON, async || {
        model.sessions().len() >= CALLS as usize
    })
    .await;
    let lock = locked(&folder);
    let since = Instant::now();
    let (mut slowest_webhook, mut slowest_question, mut looks) =
        (Duration::ZERO, Duration::ZERO, 0);
    while since.elapsed() < AWAY {
        for path in ["/healthz", "/readyz"] {
            let reply = Request::new("GET", path).send(serving.public).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        }
        let call = sid("CA");
        let webhook = Request::signed("/incoming-call", &ring(&call, "+15550142"));
        let webhook = webhook.send(serving.public).await;
        assert!(webhook.text().contains("<Connect"), "{}", webhook.text());
        slowest_webhook = slowest_webhook.max(webhook.took);
        // A call that this process knows nothing of: the store is asked.
        let unknown = sid("CA");
        let question = Request::signed("/after-stream", &ring(&unknown, "+15550142"));
        let question = question.send(serving.public).await;
        assert_eq!(question.status, 200);
        slowest_question = slowest_question.max(question.took);
        looks += 1;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert!(serving.event(FAILS).is_some(), "the log says so");
    drop(lock);
    let free = Instant::now();
    until("the store works again", SOON, async || {
        // It is tried whenever somebody asks it.
        let question = Request::signed("/after-stream", &ring(&sid("CA"), "+15550142"));
        question.send(serving.public).await;
        serving.event("the store works again").is_some()
    })
    .await;
    let works = free.elapsed();
    let report = others.await.unwrap();
    assert_eq!((report.failures, report.frames_lost), (0, 0), "{report:#?}");
    // 200 ms to be counted, 200 ms for an announcement, 250 ms for a question and an announcement for the second; the rest
    // is this machine's noise.
    times::within(
        slowest_webhook,
        Duration::from_millis(650),
        "slowest webhook",
    );
    times::within(
        slowest_question,
        Duration::from_millis(700),
        "slowest question",
    );
    times::within(works, Duration::from_secs(5), "works");
    serving.stop_within(SOON).await;
    println!(
        "F16 store locked by another process for {} s: {CALLS} calls, {} frames, 0 lost; /healthz and /readyz 200 in {looks} of \
         {looks} looks; slowest webhook {} ms (store given up after 200, twice), /after-stream {} ms (250, then 200); works again {} ms \
         after it was free (bar 5 s)",
        AWAY.as_secs(),
        report.frames_returned,
        slowest_webhook.as_millis(),
        slowest_question.as_millis(),
        works.as_millis()
    );
}

/// The turns of the one call in the store.
fn turns_kept(folder: &Folder) -> usize {
    let store = Connection::open(folder.0.join("calls.sqlite")).unwrap();
    let sql = "SELECT checkpoint FROM calls WHERE checkpoint IS NOT NULL";
    let kept = store.query_row(sql, [], |row| row.get::<_, Vec<u8>>(0));
    let Ok(document) = kept else { return 0 };
    let checkpoint: serde_json::Value = serde_json::from_slice(&document).unwrap();
    checkpoint["call"]["turns"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_a_quiet_call_is_written_down_again_when_the_store_is_back() {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let serving = Serving::start(&folder.variables(&model.url(), &[])).await;
    let line = line_to(serving.public);
    let steps = [
        listen(),
        Step::Wait { ms: 1_500 },
        say("yes"),
        listen(),
        // Nothing is said any more.
        Step::Wait { ms: 20_000 },
        Step::HangUp,
    ];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    have_turns(&serving, 1, 1).await;
    until("the greeting is written down", SOON, async || {
        turns_kept(&folder) == 1
    })
    .await;
    let lock = locked(&folder);
    have_turns(&serving, 1, 3).await;
    until("the store complains", SOON, async || {
        serving.event(FAILS).is_some()
    })
    .await;
    // The store waits half a second for a lock: by then it has given the last turn up, too.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    drop(lock);
    let free = Instant::now();
    assert_eq!(turns_kept(&folder), 1);
    until("the conversation is written down", SOON, async || {
        turns_kept(&folder) == 3
    })
    .await;
    let took = free.elapsed();
    call.abort();
    serving.stop_within(SOON).await;
    println!(
        "F16 a turn while the store was locked, and none after: written down {} ms after it was free (bar 10 s)",
        took.as_millis()
    );
}

/// The next process of a deployment, while the old one was stopped in the middle of a change of both files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_a_process_starts_while_another_one_writes() {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let file = folder.0.join("switchboard.toml");
    let books = "[agents.spa]\ntools = [\"find_times\", \"book_appointment\"]";
    std::fs::write(&file, AGENT.replace("[agents.spa]", books)).unwrap();
    let config = ("SWITCHBOARD_CONFIG", file.display().to_string());
    let variables = folder.variables(&model.url(), &[config]);
    let old = Serving::start(&variables).await;
    let held = ["calls.sqlite", appointment_book::FILE].map(|file| {
        let connection = Connection::open(folder.0.join(file)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    });
    let began = Instant::now();
    let next = Serving::start(&variables).await;
    let took = began.elapsed();
    was_undisturbed(&talks(&next, 1, 700).await.unwrap(), 1);
    drop(held);
    old.stop_within(SOON).await;
    next.stop_within(SOON).await;
    times::within(took, Duration::from_secs(2), "took");
    println!(
        "F16 a process started while another held the store and the book: up after {} ms, its first call undisturbed",
        took.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_a_store_that_is_gone_is_made_anew_when_there_is_a_place_for_it() {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let serving = Serving::start(&folder.variables(&model.url(), &[])).await;
    let call = talks(&serving, 4, 700);
    have_turns(&serving, 1, 1).await;
    let file = folder.0.join("calls.sqlite");
    let away = folder.0.with_extension("away");
    std::fs::rename(&folder.0, &away).unwrap();
    // As good as a volume that is not mounted: nothing can be made there.
    std::fs::write(&folder.0, "in the way").unwrap();
    until("the store complains", SOON, async || {
        serving.event(FAILS).is_some()
    })
    .await;
    std::fs::remove_file(&folder.0).unwrap();
    until("the file is made anew", SOON, async || file.exists()).await;
    was_undisturbed(&call.await.unwrap(), 4);
    serving.stop_within(SOON).await;
    let _ = std::fs::remove_dir_all(&away);
    println!("F16 data directory gone and back: call undisturbed, file made anew, no restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_a_drain_ends_in_time_with_the_store_away() {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let mut serving = Serving::start(&folder.variables(
        &model.url(),
        &[("SWITCHBOARD_DRAIN_SECONDS", "2".to_owned())],
    ))
    .await;
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let line = line_to(serving.public);
            let steps = [Step::Wait { ms: 25_000 }, Step::HangUp];
            tokio::spawn(async move { line.call(caller(steps)).await })
        })
        .collect();
    have_turns(&serving, 10, 1).await;
    let _lock = locked(&folder);
    serving.signal("TERM");
    let (code, took) = serving.ended(SOON).await;
    assert_eq!(code, 0);
    assert!(took >= Duration::from_millis(1_900), "{took:?}");
    times::within(took, Duration::from_millis(4_000), "took");
    for call in calls {
        let outcome = call.await.unwrap();
        assert_eq!(outcome.streams[0].end, closed_with(1001));
    }
    println!(
        "D4 SIGTERM with the store locked, drain deadline 2 s: 10 calls closed with 1001, exit 0 after {} ms (bar 4,000)",
        took.as_millis()
    );
}

/// A process that cannot ask whose a call was does not tell its end as the last word: whoever finds the call does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_the_store_has_not_agreed_to_is_told_as_that_when_the_process_leaves() {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let drain = ("SWITCHBOARD_DRAIN_SECONDS", "2".to_owned());
    let variables = folder.variables(&model.url(), &[drain]);
    let mut leaving = Serving::start(&variables).await;
    let line = line_to(leaving.public);
    let steps = [listen(), Step::Wait { ms: 1_500 }, Step::HangUp];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    have_turns(&leaving, 1, 1).await;
    until("the greeting is written down", SOON, async || {
        turns_kept(&folder) == 1
    })
    .await;
    let lock = locked(&folder);
    let call = call.await.unwrap().call_sid;
    until("the store complains", SOON, async || {
        leaving.event(FAILS).is_some()
    })
    .await;
    assert_eq!(leaving.event("stop"), None, "not before the store has said");
    leaving.signal("TERM");
    let (code, _) = leaving.ended(SOON).await;
    assert_eq!(code, 0);
    assert_eq!(leaving.count("\"stop\""), 1);
    let stop = leaving.event("stop").unwrap();
    assert_eq!(stop["reason"], "unconfirmed", "{stop}");
    let why = leaving.event("over here, but the store has not said whose the call was");
    assert_eq!(why.unwrap()["own_reason"], "caller_hung_up");
    drop(lock);
    let next = Serving::start(&variables).await;
    let over = Request::signed("/call-status", &call_over(&call));
    assert_eq!(over.send(next.public).await.status, 204);
    assert_eq!(next.event("stop").unwrap()["reason"], "gone_meanwhile");
    assert_eq!(turns_kept(&folder), 0);
    next.stop_within(SOON).await;
    println!(
        "a call that ended while the store was locked, and its process with it: told as unconfirmed, and once as the end by \
         the next one"
    );
}
