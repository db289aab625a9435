//! The process is killed at every step of a tool run, for real: the effect happens once, the model of the next process is
//! told what came of it, and the caller hears it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use switchboard_kit::realtime::{
    Realtime, Resume, Running, Say, Session, Step as Answer, ToolCall,
};
use switchboard_kit::twilio::{CallEnd, Scripted, Step};

use test_support::child::Serving;
use test_support::http::Request;
use test_support::process_fixture::{Folder, at, lasting_address, line_with_fallback, operator};
use test_support::tool_server::{Does, ToolServer};
use test_support::{ADMIN_TOKEN, MODEL_KEY, SOON, brief_with, listen, say, tone, until};

/// Where Twilio waits while no process listens.
const STANDBY: &str = "<Response><Pause length=\"1\"/>\
    <Redirect method=\"POST\">https://spa.example/after-stream</Redirect></Response>";

/// What somebody's system answers, and how the model says it.
const OUTCOME: &str = r#"{"code":"K7M4"}"#;
const SAID: &str = "Your code is K, 7, M, 4.";
/// What the model says of an outcome nobody knows.
const ASKED_BACK: &str = "I do not know whether it was done.";

/// Where the process is killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// At a step of the run, by its name for the fault hook.
    Step(&'static str),
    /// While somebody's system has the request, before or after it did what it was asked.
    Server { done: bool },
    /// When the model has the outcome.
    Told,
}

const KILLS: [(&str, Kill); 8] = [
    (
        "before the journal is written",
        Kill::Step("before_journal"),
    ),
    ("journal written, nothing sent", Kill::Step("after_journal")),
    ("sent, not done", Kill::Server { done: false }),
    ("done, not answered", Kill::Server { done: true }),
    (
        "answered, outcome not written",
        Kill::Step("before_outcome"),
    ),
    (
        "outcome written, call not told",
        Kill::Step("after_outcome"),
    ),
    ("outcome in a checkpoint", Kill::Step("after_checkpoint")),
    ("model told, caller not", Kill::Told),
];

/// What came of one round.
struct Round {
    name: &'static str,
    effects_at_death: u32,
    effects: u32,
    told: String,
    heard: String,
}

/// A model that makes the wish at the caller's first word, makes it again with its first words in a new session, whatever
/// it was told there, and speaks the answer.
fn wishing() -> Realtime {
    let wish = || Answer {
        tools: vec![ToolCall {
            name: "it".to_owned(),
            arguments: json!({"at": 9}),
        }],
        ..Answer::default()
    };
    let answer = || Answer {
        says: vec![Say::phrase(&["your_code_is", "{it:/code}", "."])],
        instead: Some(Box::new(tone(660, 900, ASKED_BACK))),
        ..Answer::default()
    };
    let model = brief_with(|script| {
        script.turns = vec![wish()];
        script.otherwise = answer();
        script.unprompted = wish();
    });
    model.resume(Resume::CarryOn).keys([MODEL_KEY])
}

fn toml(server: &ToolServer, knows_its_key: bool) -> String {
    format!(
        "[agents.spa]\ninstructions = \"You answer the phone of a spa.\"\n\
         greeting = {{ mode = \"model\", text = \"Greet the caller.\" }}\ntools = [\"it\"]\n\
         filler = {{ mode = \"silence\" }}\ntool_filler = {{ mode = \"none\" }}\n\
         [tools.it]\nkind = \"http\"\ndescription = \"Does it.\"\nurl = \"{}\"\nallow_private = true\n\
         effects = true\nidempotent = {knows_its_key}\ntimeout_ms = 20000\n\
         [fallback]\nsay = \"We have a technical problem.\"\ndial = \"+15550199\"\n",
        server.url()
    )
}

/// What the model of a session was told in answer to its calls of the tool.
fn outputs(session: &Session) -> Vec<Value> {
    let items = session.received_of("conversation.item.create");
    let outputs = items
        .iter()
        .map(|event| &event["item"])
        .filter(|item| item["type"] == "function_call_output");
    outputs
        .map(|item| serde_json::from_str(item["output"].as_str().unwrap()).unwrap())
        .collect()
}

async fn live_call(serving: &Serving) -> Option<String> {
    let list = operator(serving, "GET", "/admin/calls").await.json();
    list["calls"][0]["call_sid"].as_str().map(str::to_owned)
}

/// Waits until the call exists, and has its next tool stand still there.
async fn stop_at(serving: &Serving, step: &str) {
    let mut call = None;
    until("the call is there", SOON, async || {
        call = live_call(serving).await;
        call.is_some()
    })
    .await;
    let path = format!("/admin/calls/{}/fault", call.unwrap());
    let body = format!("{{\"kind\":\"stop_tool\",\"at\":\"{step}\"}}");
    let ordered = Request::new("POST", &path)
        .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .header("Content-Type", "application/json")
        .body(body.as_str())
        .send(serving.admin)
        .await;
    assert_eq!(ordered.status, 202, "{}", ordered.text());
}

/// Waits for the moment in which the process is to be killed.
async fn moment(kill: Kill, serving: &Serving, server: &ToolServer, model: &Running) {
    match kill {
        Kill::Step(_) => {
            until("the run stands still", SOON * 2, async || {
                serving.event("stands still").is_some()
            })
            .await;
        }
        Kill::Server { .. } => server.asked_times(1).await,
        Kill::Told => {
            until("the model is told", SOON * 2, async || {
                model
                    .session(1)
                    .is_some_and(|session| !outputs(&session).is_empty())
            })
            .await;
        }
    }
}

/// The agent's words that the caller has heard in the call as it is now.
async fn heard(serving: &Serving) -> Vec<String> {
    let Some(call) = live_call(serving).await else {
        return Vec::new();
    };
    let page = operator(serving, "GET", &format!("/admin/calls/{call}"))
        .await
        .json();
    let turns = page["turns"].as_array().cloned().unwrap_or_default();
    turns
        .iter()
        .filter(|turn| turn["who"] == "agent")
        .filter_map(|turn| turn["heard"].as_str().map(str::to_owned))
        .collect()
}

/// Kills the process there; another one goes on with the call.
async fn killed(name: &'static str, kill: Kill, knows_its_key: bool) -> Round {
    let folder = Folder::new();
    let does = match kill {
        Kill::Server { done: false } => Does::Hangs,
        Kill::Server { done: true } => Does::HangsWhenDone,
        Kill::Step(_) | Kill::Told => Does::json(OUTCOME),
    };
    let server = ToolServer::start([does]).await;
    if knows_its_key {
        server.remembers_keys();
    }
    let model = wishing().start().await.unwrap();
    let config = folder.0.join("switchboard.toml");
    std::fs::write(&config, toml(&server, knows_its_key)).unwrap();
    let mut variables: BTreeMap<String, String> =
        at(folder.variables(&model.url(), &[]), lasting_address());
    let config = config.display().to_string();
    variables.insert("SWITCHBOARD_CONFIG".to_owned(), config);
    let mut first = Serving::start(&variables).await;
    let line = line_with_fallback(first.public, STANDBY).await;
    let call = tokio::spawn(async move {
        let steps = [
            listen(),
            say("yes"),
            // From here on the first process is dead. A spelled code has pauses.
            Step::WaitForAgent { quiet_ms: 800 },
            Step::Wait { ms: 1_500 },
            Step::HangUp,
        ];
        line.call(Scripted::new(steps, 60_000)).await
    });
    if let Kill::Step(step) = kill {
        stop_at(&first, step).await;
    }
    moment(kill, &first, &server, &model).await;
    first.signal("KILL");
    first.ended(SOON).await;
    let effects_at_death = server.effects();
    server.now_does(Does::json(OUTCOME));

    let second = Serving::start(&variables).await;
    let mut words = Vec::new();
    until(
        "the caller has heard what came of it",
        SOON * 3,
        async || {
            words = heard(&second).await;
            words.iter().any(|said| said == SAID || said == ASKED_BACK)
        },
    )
    .await;
    let outcome = call.await.unwrap();
    assert_eq!(
        outcome.end,
        CallEnd::CallerHungUp,
        "{name}: {:?}",
        outcome.verbs
    );
    assert_eq!(outcome.streams.len(), 2, "{name}: {:?}", outcome.documents);
    let told = outputs(&model.session(2).unwrap());
    assert!(!told.is_empty(), "{name}: the wish was made again");
    assert!(
        told.iter().all(|output| *output == told[0]),
        "{name}: one wish, one outcome: {told:?}"
    );
    second.stop_within(SOON).await;
    Round {
        name,
        effects_at_death,
        effects: server.effects(),
        told: told[0].to_string(),
        heard: words.pop().unwrap(),
    }
}

/// Kills a process at every step, four at a time.
async fn all_killed(knows_its_key: bool) -> (Vec<Round>, String) {
    let mut rounds = Vec::new();
    for some in KILLS.chunks(4) {
        let some = some
            .iter()
            .map(|(name, kill)| killed(name, *kill, knows_its_key));
        rounds.extend(futures_util::future::join_all(some).await);
    }
    let server = if knows_its_key {
        "knows the key"
    } else {
        "does not know the key"
    };
    let mut table = format!(
        "| kill point, a server that {server} | effects when killed | in the end | told | heard |
"
    );
    for round in &rounds {
        table.push_str(&format!(
            "| {} | {} | {} | {} | {} |
",
            round.name, round.effects_at_death, round.effects, round.told, round.heard
        ));
    }
    (rounds, table)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_the_process_is_killed_a_server_that_knows_the_key_does_it_once() {
    let (rounds, table) = all_killed(true).await;
    print!("{table}");
    for round in rounds {
        assert_eq!(round.effects, 1, "{}", round.name);
        assert_eq!(round.told, OUTCOME, "{}", round.name);
        assert_eq!(round.heard, SAID, "{}", round.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_know_the_key_is_never_asked_twice() {
    let (rounds, table) = all_killed(false).await;
    print!("{table}");
    for ((name, kill), round) in KILLS.iter().zip(rounds) {
        let is_known = match kill {
            Kill::Step("before_journal" | "after_outcome" | "after_checkpoint") | Kill::Told => {
                true
            }
            Kill::Step(_) | Kill::Server { .. } => false,
        };
        if is_known {
            assert_eq!(round.effects, 1, "{name}");
            assert_eq!(round.told, OUTCOME, "{name}");
            assert_eq!(round.heard, SAID, "{name}");
            continue;
        }
        assert_eq!(
            round.effects, round.effects_at_death,
            "{name}: not repeated blindly"
        );
        assert!(
            round.told.contains("not known whether this was done"),
            "{name}: {}",
            round.told
        );
        assert_eq!(round.heard, ASKED_BACK, "{name}");
    }
}
