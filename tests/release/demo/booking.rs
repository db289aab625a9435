//! `switchboard demo`, as somebody runs it who has just built it: it books, and what it booked is taken the next time.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use switchboard_kit::realtime::{Realtime, Script};
use switchboard_kit::speech;

use test_support::{AUTH_TOKEN, Options, PUBLIC, TestService, child, times};

/// A folder that goes when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("switchboard-demo-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What one demo left behind.
struct Played {
    output: Output,
    /// The agent's turns: what was said and what was heard of it.
    agent: Vec<(String, String)>,
    /// Milliseconds.
    duration_ms: u64,
    /// The appointments in the book, in the order of the clock.
    appointments: Vec<Value>,
}

impl Played {
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// What the caller was offered, as far as it was said.
    fn offer(&self) -> &str {
        let mut said = self.agent.iter().map(|(said, _)| said.as_str());
        said.find(|said| said.contains("is free on")).unwrap()
    }
}

async fn demo(folder: &Path) -> Played {
    let out = folder.to_str().unwrap().to_owned();
    let run = move || {
        let output = child::switchboard(&["demo", "--fast", "--out", &out]).output();
        let mut list = child::switchboard(&["book", "list", "--json"]);
        let listed = list.env("SWITCHBOARD_DATA_DIR", &out).output();
        (output.unwrap(), listed.unwrap())
    };
    let (output, listed) = tokio::task::spawn_blocking(run).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let transcript: Value = serde_json::from_str(&read("transcript.json")).unwrap();
    let turns = transcript["turns"].as_array().unwrap();
    let text = |turn: &Value, key: &str| turn[key].as_str().unwrap_or_default().to_owned();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    Played {
        agent: turns
            .iter()
            .filter(|turn| turn["who"] == "agent")
            .map(|turn| (text(turn, "said"), text(turn, "heard")))
            .collect(),
        duration_ms: transcript["end"]["duration_ms"].as_u64().unwrap(),
        appointments: listed["appointments"].as_array().unwrap().clone(),
        output,
    }
}

/// A confirmation code as it is spoken.
fn spelled(appointment: &Value) -> String {
    let code = appointment["code"].as_str().unwrap();
    let characters: Vec<String> = code.chars().map(String::from).collect();
    characters.join(", ")
}

#[tokio::test]
async fn the_demo_books_and_the_next_one_finds_the_time_taken() {
    let folder = Folder::new();
    let mut offers = Vec::new();
    let mut codes = Vec::new();
    for round in 1..=2 {
        let played = demo(&folder.0).await;
        let shown = played.shown();
        assert_eq!(played.output.status.code(), Some(0), "{shown}");
        times::within_ms(played.duration_ms, 60_000, "played duration");
        for line in [
            "service  stop: caller_hung_up",
            "told to the service, answered 204",
            "connected → start → media → stop",
            "tool find_times answered",
            "tool book_appointment answered",
            "is in the book",
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }

        assert_eq!(played.appointments.len(), round);
        let new = |one: &&Value| !codes.contains(&one["code"]);
        let booked = played.appointments.iter().find(new).unwrap();
        assert_eq!(booked["therapist"], "Maria");
        assert_eq!(booked["service"], "Classic massage");
        assert_eq!(booked["name"], "Anna Weber");
        let told = format!("Your code is {}.", spelled(booked));
        assert!(
            played.agent.iter().any(|(_, heard)| heard.contains(&told)),
            "{told}: {:?}",
            played.agent
        );
        println!(
            "demo {round}: {} s, {}, {told}",
            played.duration_ms / 1_000,
            booked["begins"]
        );
        codes.push(booked["code"].clone());
        offers.push(played.offer().to_owned());
    }
    let (first, second) = (times(&offers[0]), times(&offers[1]));
    println!("offered first: {first:?}; then: {second:?}");
    assert!(!second.contains(&first[0]), "{first:?} {second:?}");
}

/// Day and time of everything that an offer names: `is free on Monday at twelve o'clock or at one o'clock.`
fn times(offer: &str) -> Vec<(String, String)> {
    let (_, rest) = offer.split_once("is free on ").unwrap();
    let (day, times) = rest.split_once(" at ").unwrap();
    let times = times.split('.').next().unwrap().split(" or at ");
    times
        .map(|time| (day.to_owned(), time.to_owned()))
        .collect()
}

/// The built-in caller phones a service whose agent has no book.
#[tokio::test]
async fn a_call_to_a_service_without_a_book_comes_to_its_end() {
    let model = Realtime::builder().script(Script::spa()).think_ms(100);
    let service = TestService::start(Options::default().model(model)).await;
    let to = format!("http://{}", service.public);
    let run = move || {
        let arguments = [
            "call",
            "--to",
            &to,
            "--public-url",
            PUBLIC,
            "--auth-token",
            AUTH_TOKEN,
        ];
        child::switchboard(&arguments).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("the caller hung up"), "{told}");
    let session = service.model.sessions().into_iter().next().unwrap();
    let said: Vec<String> = session
        .items()
        .into_iter()
        .filter(|item| item.role.as_deref() == Some("assistant"))
        .map(|item| item.text)
        .collect();
    for clip in ["no_book", "your_name", "goodbye"] {
        let text = speech::receptionist(clip).unwrap().text;
        assert!(said.iter().any(|said| said == text), "{clip}: {said:?}");
    }
    println!("{}", told.lines().next().unwrap_or_default());
    service.stop().await;
}
