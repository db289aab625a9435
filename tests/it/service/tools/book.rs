//! The book's tools in a call: what it could not do counts as failed and may be tried again; and a system of one's own in
//! its place.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use serde_json::{Value, json};
use switchboard_kit::realtime::Step as Answer;
use switchboard_kit::twilio::{CallEnd, Step};

use crate::service::tools::conversation::{
    ask, calling, model_calling, outputs, tools_run, went_well,
};
use test_support::tool_server::{Does, ToolServer};
use test_support::{
    AGENT, Options, SOON, TestService, brief_with, caller, listen, say, tone, until,
};

/// A data directory that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-tools-book-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wish() -> Value {
    let day = jiff::Zoned::now()
        .date()
        .saturating_add(jiff::Span::new().days(9));
    json!({"service": "Classic massage", "day": day.to_string(), "time": "14:00", "name": "Anna Weber"})
}

fn books(sections: &str) -> String {
    let agent = AGENT.replacen(
        "[fallback]",
        "tools = [\"book_appointment\"]\nfiller = { mode = \"silence\" }\ntool_filler = { mode = \"none\" }\n[fallback]",
        1,
    );
    format!("{agent}\n{sections}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_locked_book_could_not_do_has_failed_and_is_done_when_it_is_wished_again() {
    let folder = Folder::new();
    let wishes = || calling(&[("book_appointment", wish())]);
    let turns: Vec<Answer> = vec![
        wishes(),
        tone(880, 600, "It cannot be done now."),
        wishes(),
        tone(880, 600, "It is booked."),
    ];
    let options = Options {
        toml: books(""),
        ..Options::default()
    };
    let options = options
        .with("SWITCHBOARD_DATA_DIR", folder.0.to_str().unwrap())
        .model(brief_with(|script| script.turns = turns));
    let service = TestService::start(options).await;
    let other = Connection::open(folder.0.join(appointment_book::FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let unlocks = async {
        until(
            "the model is told that the book failed",
            SOON * 2,
            async || {
                let session = service.model.session(1);
                session.is_some_and(|session| !outputs(&session).is_empty())
            },
        )
        .await;
        other.execute_batch("ROLLBACK").unwrap();
    };
    let steps = [
        listen(),
        say("hello"),
        listen(),
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let line = service.line();
    let (outcome, ()) = tokio::join!(line.call(caller(steps)), unlocks);
    went_well(&outcome, 3);
    let told = outputs(&service.model.session(1).unwrap());
    assert_eq!(
        told[0],
        json!({"error": "The appointment book cannot be reached at the moment. Nothing was changed."})
    );
    assert!(told[1]["booked"]["code"].is_string(), "{told:?}");
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(tools_run(&scrape, "book_appointment", "failed"), 1.0);
    assert_eq!(tools_run(&scrape, "book_appointment", "ok"), 1.0);
    service.stop().await;
    println!("a locked book: 1 run failed, the same wish again booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_taken_counts_as_refused_and_others_are_told() {
    let folder = Folder::new();
    let model = model_calling(&[("book_appointment", wish())]);
    let options = Options {
        toml: books(""),
        ..Options::default()
    };
    let options = options
        .with("SWITCHBOARD_DATA_DIR", folder.0.to_str().unwrap())
        .model(model);
    let service = TestService::start(options).await;
    let book = appointment_book::Book::open(folder.0.join(appointment_book::FILE)).unwrap();
    for caller in ["+15550201", "+15550202"] {
        let context = appointment_book::CallContext {
            asker: appointment_book::Asker::Caller {
                number: Some(caller),
                call: caller,
                identify: appointment_book::Identify::default(),
            },
            now: jiff::Timestamp::now(),
            idempotency_key: None,
        };
        let made = book.call("book_appointment", &wish(), &context);
        assert!(made["booked"].is_object(), "{made}");
    }
    let outcome = ask(&service, []).await;
    went_well(&outcome, 2);
    let told = outputs(&service.model.session(1).unwrap());
    assert!(
        told[0]["other_times"].is_array() && told[0]["error"].is_string(),
        "{told:?}"
    );
    service.empty().await;
    let refused = tools_run(&service.metrics().await, "book_appointment", "refused");
    assert_eq!(refused, 1.0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_of_ones_own_takes_a_book_tool_s_place_without_a_change_of_the_agent() {
    let folder = Folder::new();
    let answer = json!({"booked": {
        "code": "K7M4", "code_spelled": "K, 7, M, 4", "service": "Classic massage", "minutes": 60, "price": "€70",
        "therapist": "Maria", "when": "Monday 23 November at 14:00", "day": "2026-11-23", "time": "14:00", "name": "Anna Weber",
    }});
    let server = ToolServer::start([Does::json(&answer.to_string())]).await;
    let sections = format!(
        "[tools.book_appointment]\nkind = \"http\"\ndescription = \"Books an appointment.\"\nurl = \"{}\"\n\
         allow_private = true\neffects = true\nidempotent = true\nsecret = \"itest-tool-secret\"\n\
         parameters = {{ type = \"object\", properties = {{ service = {{ type = \"string\" }}, day = {{ type = \"string\" }}, \
         time = {{ type = \"string\" }}, name = {{ type = \"string\" }} }}, required = [\"service\", \"day\", \"time\"] }}\n",
        server.url()
    );
    let model = brief_with(|script| {
        let said = Answer {
            says: vec![switchboard_kit::realtime::Say::phrase(&[
                "your_code_is",
                "{book_appointment:/booked/code}",
                ".",
            ])],
            ..Answer::default()
        };
        script.turns = vec![calling(&[("book_appointment", wish())]), said];
    });
    let options = Options {
        toml: books(&sections),
        ..Options::default()
    };
    let options = options
        .with("SWITCHBOARD_DATA_DIR", folder.0.to_str().unwrap())
        .model(model);
    let service = TestService::start(options).await;
    let outcome = ask(&service, []).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    let request = asked[0].json();
    assert_eq!(request["tool"], "book_appointment");
    assert_eq!(request["arguments"], wish());
    assert!(asked[0].header("x-switchboard-signature").starts_with("t="));
    assert!(
        asked[0]
            .header("idempotency-key")
            .contains("-book_appointment-0-")
    );
    let session = service.model.session(1).unwrap();
    assert_eq!(outputs(&session), [answer]);
    let spoken = session.sent_of("response.output_audio_transcript.done");
    assert_eq!(
        spoken.last().unwrap()["transcript"],
        "Your code is K, 7, M, 4."
    );
    // The embedded book was not even opened.
    assert!(!folder.0.join(appointment_book::FILE).exists());
    service.empty().await;
    assert_eq!(
        tools_run(&service.metrics().await, "book_appointment", "ok"),
        1.0
    );
    service.stop().await;
    println!(
        "a system of one's own in the book's place: asked once, its code spoken, the embedded book not opened"
    );
}
