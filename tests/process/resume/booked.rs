//! The process is killed while a caller's appointment is being made: it is made once, and the caller is told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard_kit::realtime::{Realtime, Step as Answer, ToolCall};
use switchboard_kit::twilio::{CallEnd, Scripted, Step};

use test_support::child::{Serving, run};
use test_support::process_fixture::{Folder, at, lasting_address, line_with_fallback};
use test_support::{MODEL_KEY, SOON, brief_with, listen, say, tone, until};

/// Where Twilio waits while no process listens.
const STANDBY: &str = "<Response><Pause length=\"1\"/>\
    <Redirect method=\"POST\">https://spa.example/after-stream</Redirect></Response>";

const AGENT: &str = r#"
[agents.spa]
instructions = "You answer the phone of a spa."
greeting = { mode = "model", text = "Greet the caller." }
tools = ["book_appointment"]
# So that all that is heard is the model.
filler = { mode = "silence" }
tool_filler = { mode = "none" }
[fallback]
say = "We have a technical problem."
dial = "+15550199"
"#;

/// A day on which the service is open, far enough away to be free.
fn open_day() -> String {
    let mut day = jiff::Zoned::now()
        .date()
        .saturating_add(jiff::Span::new().days(7));
    while matches!((day.month(), day.day()), (12, 24..=26) | (1, 1)) {
        day = day.saturating_add(jiff::Span::new().days(1));
    }
    day.to_string()
}

/// A model that books at the caller's first word in every session, also in one that was told it is done.
fn booking(day: &str) -> Realtime {
    let book = Answer {
        tools: vec![ToolCall {
            name: "book_appointment".to_owned(),
            arguments: json!({"service": "Classic massage", "day": day, "time": "14:00", "name": "Anna Weber"}),
        }],
        ..Answer::default()
    };
    brief_with(|script| script.turns = vec![book, tone(660, 500, "It is booked.")])
        .keys([MODEL_KEY])
}

/// What tools came to, as the model was told in that session: in the answer of its call, or in words.
fn told(session: &switchboard_kit::realtime::Session) -> String {
    let items = session.received_of("conversation.item.create");
    items
        .iter()
        .map(|event| event["item"].to_string())
        .collect()
}

async fn appointments(variables: &BTreeMap<String, String>, day: &str) -> Vec<Value> {
    let (variables, day) = (variables.clone(), day.to_owned());
    let list = move || run(&["book", "list", "--json", "--day", &day], &variables);
    // Beside the other rounds, which are about milliseconds.
    let output = tokio::task::spawn_blocking(list).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = list.as_array().or_else(|| list["appointments"].as_array());
    rows.unwrap().clone()
}

/// Kills the process so long after the model asked for the appointment; gives the line of the table.
async fn killed_after(wait: Duration) -> String {
    let folder = Folder::new();
    let day = open_day();
    let model = booking(&day).start().await.unwrap();
    let config = folder.0.join("switchboard.toml");
    std::fs::write(&config, AGENT).unwrap();
    let mut variables = at(folder.variables(&model.url(), &[]), lasting_address());
    variables.insert(
        "SWITCHBOARD_CONFIG".to_owned(),
        config.display().to_string(),
    );
    let mut first = Serving::start(&variables).await;
    let line = line_with_fallback(first.public, STANDBY).await;
    let call = tokio::spawn(async move {
        let steps = [
            listen(),
            say("yes"),
            // From here on the first process is dead.
            listen(),
            // The model asks for the same once more.
            say("yes"),
            Step::Wait { ms: 2_500 },
            Step::HangUp,
        ];
        line.call(Scripted::new(steps, 60_000)).await
    });
    until("the model asks for it", SOON * 3, async || {
        let session = model.session(1);
        session.is_some_and(|session| {
            let done = session.sent_of("response.output_item.done");
            done.iter()
                .any(|event| event["item"]["type"] == "function_call")
        })
    })
    .await;
    tokio::time::sleep(wait).await;
    first.signal("KILL");
    first.ended(SOON).await;
    let made_before = appointments(&variables, &day).await.len();
    let second = Serving::start(&variables).await;
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp, "{:?}", outcome.verbs);
    assert_eq!(outcome.streams.len(), 2, "{:?}", outcome.documents);
    let made = appointments(&variables, &day).await;
    assert_eq!(made.len(), 1, "killed after {wait:?}: {made:?}");
    let code = made[0]["code"].as_str().unwrap().to_owned();
    let session = model.session(2).unwrap();
    let words = told(&session);
    assert!(
        words.contains(&code),
        "the model is told the code {code}: {words}"
    );
    second.stop_within(SOON).await;
    format!(
        "| {} ms | {made_before} | {} | the code {code} |",
        wait.as_millis(),
        made.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appointment_is_made_once_wherever_the_process_is_killed() {
    let waits = [0, 2, 5, 10, 25, 80].map(Duration::from_millis);
    let rounds = futures_util::future::join_all(waits.map(killed_after)).await;
    println!(
        "| killed after the model asked | made when it died | made in the end | what the next session was told |"
    );
    for round in rounds {
        println!("{round}");
    }
}
