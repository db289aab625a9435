//! The files of the data directory are replaced, damaged and read by others under the real process.

use std::fs;
use std::path::Path;

use appointment_book::FILE;
use rusqlite::Connection;
use serde_json::{Value, json};
use switchboard_kit::realtime::{Realtime, Running, Step as Turn, ToolCall};
use switchboard_kit::twilio::{CallEnd, Step};

use test_support::child::Serving;
use test_support::http::Request;
use test_support::process_fixture::{Folder, have_turns, metrics};
use test_support::{AGENT, MODEL_KEY, SOON, brief_with, caller, line_to, listen, say, tone, until};

/// A model that books when it is spoken to, and says what it was told.
fn books() -> Realtime {
    let day = jiff::Zoned::now()
        .date()
        .saturating_add(jiff::Span::new().days(9));
    let wish = json!({"service": "Classic massage", "day": day.to_string(), "time": "14:00", "name": "Anna Weber"});
    let turn = Turn {
        tools: vec![ToolCall {
            name: "book_appointment".to_owned(),
            arguments: wish,
        }],
        ..Turn::default()
    };
    brief_with(|script| script.turns = vec![turn, tone(880, 600, "That is settled.")])
}

/// A process whose agent books.
async fn serving(folder: &Folder, model: &str) -> Serving {
    let file = folder.0.join("switchboard.toml");
    let books = "[agents.spa]\ntools = [\"book_appointment\"]";
    fs::write(&file, AGENT.replace("[agents.spa]", books)).unwrap();
    let more = [
        ("SWITCHBOARD_CONFIG", file.display().to_string()),
        ("SWITCHBOARD_DRAIN_SECONDS", "1".to_owned()),
    ];
    Serving::start(&folder.variables(model, &more)).await
}

/// A whole call; gives what the model was told of its wish.
async fn call(serving: &Serving, model: &Running) -> Value {
    let line = line_to(serving.public);
    let steps = [listen(), say("yes"), listen(), Step::HangUp];
    let outcome = line.call(caller(steps)).await;
    assert_eq!(
        outcome.end,
        CallEnd::CallerHungUp,
        "{:?}",
        outcome.documents
    );
    let session = model.sessions().pop().unwrap();
    let items = session.received_of("conversation.item.create");
    let outputs: Vec<&Value> = items
        .iter()
        .map(|event| &event["item"])
        .filter(|item| item["type"] == "function_call_output")
        .collect();
    assert_eq!(outputs.len(), 1);
    serde_json::from_str(outputs[0]["output"].as_str().unwrap()).unwrap()
}

async fn ready(serving: &Serving) -> (u16, Value) {
    let reply = Request::new("GET", "/readyz").send(serving.public).await;
    (reply.status, reply.json())
}

/// The log is read beside what else is asked of the process.
async fn told_once(serving: &Serving, words: &str) {
    until("it is told", SOON, async || serving.count(words) > 0).await;
    assert_eq!(serving.count(words), 1);
}

async fn until_ready(serving: &Serving) {
    until("it takes calls again", SOON, async || {
        ready(serving).await.0 == 200
    })
    .await;
}

/// `/readyz` says so before anybody has called.
async fn until_not_ready(serving: &Serving, reason: &str) {
    until("it takes no calls", SOON, async || {
        ready(serving).await.0 == 503
    })
    .await;
    assert_eq!(
        ready(serving).await.1,
        json!({"ready": false, "reasons": [reason]})
    );
    let health = Request::new("GET", "/healthz").send(serving.public).await;
    assert_eq!(health.status, 200);
}

fn codes(path: &Path) -> Vec<String> {
    let book = Connection::open(path).unwrap();
    let mut asked = book.prepare("SELECT code FROM appointments").unwrap();
    let found = asked.query_map([], |row| row.get(0)).unwrap();
    found.map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_book_that_goes_under_the_process_is_told_and_no_code_is_given_that_is_in_no_book() {
    let folder = Folder::new();
    let model = books().keys([MODEL_KEY]).start().await.unwrap();
    let serving = serving(&folder, &model.url()).await;
    let path = folder.0.join(FILE);
    let new = serving.event("a new appointment book is begun").unwrap();
    assert_eq!(new["path"], path.display().to_string());
    let backup = folder.0.join("backup.sqlite");
    fs::copy(&path, &backup).unwrap();
    until_ready(&serving).await;

    let told = call(&serving, &model).await;
    assert_eq!(codes(&path), [told["booked"]["code"].as_str().unwrap()]);

    fs::remove_file(&path).unwrap();
    until_not_ready(&serving, "book_gone").await;
    let told = call(&serving, &model).await;
    let sentence = "The appointment book cannot be reached at the moment. Nothing was changed.";
    assert_eq!(told, json!({"error": sentence}));
    assert!(!path.exists());
    let refused =
        "the appointment book cannot be used, nothing is booked, moved or cancelled until it can";
    told_once(&serving, refused).await;

    // The backup of before the first call.
    fs::copy(&backup, &path).unwrap();
    until_ready(&serving).await;
    told_once(&serving, "the appointment book can be used again").await;
    let older = serving
        .event("an older copy has taken the appointment book's place, it is used from now on; so many changes are not in it")
        .unwrap();
    assert_eq!(older["missing"], 1);
    let told = call(&serving, &model).await;
    assert_eq!(codes(&path), [told["booked"]["code"].as_str().unwrap()]);

    fs::write(&path, "no tables ".repeat(9_000)).unwrap();
    until_not_ready(&serving, "book_damaged").await;
    fs::copy(&backup, &path).unwrap();
    until_ready(&serving).await;
    let scrape = metrics(&serving).await;
    for (fault, times) in [("gone", 1.0), ("replaced", 2.0), ("damaged", 1.0)] {
        let name = format!("switchboard_data_file_faults_total{{fault=\"{fault}\",file=\"book\"}}");
        assert_eq!(scrape.get(&name), times, "{fault}");
    }
    serving.stop_within(SOON).await;
    println!(
        "book deleted, restored, overwritten and restored under the process: told each time, 0 codes that are in no book"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_newer_store_costs_no_booking() {
    for fault in ["damaged", "newer"] {
        let folder = Folder::new();
        let model = books().keys([MODEL_KEY]).start().await.unwrap();
        let store = folder.0.join("calls.sqlite");
        match fault {
            "damaged" => fs::write(&store, "no tables ".repeat(900)).unwrap(),
            _ => Connection::open(&store)
                .unwrap()
                .pragma_update(None, "user_version", 99)
                .unwrap(),
        }
        let serving = serving(&folder, &model.url()).await;
        until_ready(&serving).await;
        let told = call(&serving, &model).await;
        assert!(told["booked"]["code"].is_string(), "{fault}: {told}");
        let line = serving
            .event("the store's file cannot be used, it was put aside and a new one is begun")
            .unwrap();
        let aside = line["aside"].as_str().unwrap();
        assert!(Path::new(aside).exists(), "{line}");
        assert!(
            line["lost"]
                .as_str()
                .unwrap()
                .contains("the journal of tool effects")
        );
        assert_eq!(ready(&serving).await.0, 200);
        serving.stop_within(SOON).await;
        println!("{fault} store: booked; {}", line["why"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_put_aside_makes_the_process_not_ready() {
    let folder = Folder::new();
    let model = books().keys([MODEL_KEY]).start().await.unwrap();
    // Nothing can be made or renamed there.
    fs::create_dir(folder.0.join("calls.sqlite")).unwrap();
    let serving = serving(&folder, &model.url()).await;
    until_not_ready(&serving, "store_unusable").await;
    fs::remove_dir(folder.0.join("calls.sqlite")).unwrap();
    until("the store is asked again", SOON * 2, async || {
        let unknown = test_support::phone::sid("CA");
        let question = Request::signed(
            "/after-stream",
            &test_support::http::ring(&unknown, "+15550142"),
        );
        question.send(serving.public).await;
        ready(&serving).await.0 == 200
    })
    .await;
    let told = call(&serving, &model).await;
    assert!(told["booked"]["code"].is_string(), "{told}");
    serving.stop_within(SOON).await;
}

/// Files in which something was said, read as they lie on the disk.
fn holding(folder: &Folder, words: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder.0).unwrap() {
        let entry = entry.unwrap();
        let raw = fs::read(entry.path()).unwrap();
        if raw
            .windows(words.len())
            .any(|window| window == words.as_bytes())
        {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_of_calls_that_are_over_are_in_no_file_after_the_exit() {
    let folder = Folder::new();
    let model = books().keys([MODEL_KEY]).start().await.unwrap();
    let serving = serving(&folder, &model.url()).await;
    // Another process that has the store open keeps SQLite from clearing up by itself.
    let store = folder.0.join("calls.sqlite");
    let line = line_to(serving.public);
    let steps = [
        listen(),
        say("yes"),
        listen(),
        Step::Wait { ms: 60_000 },
        Step::HangUp,
    ];
    let talking = tokio::spawn(async move { line.call(caller(steps)).await });
    have_turns(&serving, 1, 3).await;
    until("the words are written down", SOON, async || {
        !holding(&folder, "That is settled.").is_empty()
    })
    .await;
    let other = Connection::open(&store).unwrap();
    let _: i64 = other
        .query_row("SELECT count(*) FROM calls", [], |row| row.get(0))
        .unwrap();
    let listing = test_support::process_fixture::operator(&serving, "GET", "/admin/calls")
        .await
        .json();
    let sid = listing["calls"][0]["call_sid"].as_str().unwrap().to_owned();
    test_support::process_fixture::operator(
        &serving,
        "POST",
        &format!("/admin/calls/{sid}/hangup"),
    )
    .await;
    until("the call is over", SOON, async || {
        test_support::process_fixture::turned(&serving, 0).await == 0
    })
    .await;
    serving.stop_within(SOON).await;
    talking.abort();
    assert_eq!(holding(&folder, "That is settled."), Vec::<String>::new());
    drop(other);
}
