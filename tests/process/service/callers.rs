//! What callers may: a number is answered so often an hour and the day's calls are so long, also after a restart; a number
//! that nobody vouches for is none where the settings want it so.

use std::path::PathBuf;

use switchboard_actors::call::unix_now;
use switchboard_actors::store::sqlite::SqliteStore;
use switchboard_actors::store::{CallStore as _, DAY, Spent};
use switchboard_kit::twilio::{CallEnd, Step};

use super::budget::metric;
use test_support::child::Serving;
use test_support::http::{self, Reply, Request};
use test_support::phone::sid;
use test_support::{
    AGENT, MODEL_KEY, Options, SOON, TestService, brief, caller, environment, line_to, listen,
    until,
};

const ANNA: &str = "+493090182011";
const BERT: &str = "+493090182022";

/// Somebody rings; what comes back is answered, told to a person, or the busy tone.
#[derive(Debug, PartialEq)]
enum Heard {
    Agent,
    Fallback,
    Busy,
}

async fn ring(to: std::net::SocketAddr, call: &str, from: &str, verstat: Option<&str>) -> Heard {
    let mut fields = http::ring(call, from);
    fields.extend(verstat.map(|verstat| ("StirVerstat", verstat)));
    let answer = Request::signed("/incoming-call", &fields).send(to).await;
    heard(&answer)
}

fn heard(answer: &Reply) -> Heard {
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    if text.contains("<Connect") {
        Heard::Agent
    } else if text.contains("<Say") {
        assert!(text.contains("We have a technical problem.") && text.contains("+15550199"));
        Heard::Fallback
    } else {
        assert!(text.contains("busy"), "{text}");
        Heard::Busy
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("switchboard-callers-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(folder.join("data")).unwrap();
        Self(folder)
    }

    /// The variables of a process with these limits and a store on disk.
    fn process(&self, model: &str, limits: &str) -> std::collections::BTreeMap<String, String> {
        let file = self.0.join("switchboard.toml");
        std::fs::write(&file, format!("{AGENT}\n[limits]\n{limits}\n")).unwrap();
        let data = self.0.join("data");
        let more = [
            ("SWITCHBOARD_CONFIG", file.display().to_string()),
            ("SWITCHBOARD_DATA_DIR", data.display().to_string()),
            ("SWITCHBOARD_STORE", "sqlite".to_owned()),
        ];
        environment(model, &more)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const NUMBER_CALLS: &str = "switchboard_admission_rejected_total{reason=\"number_calls\"}";
const MINUTES: &str = "switchboard_admission_rejected_total{reason=\"minutes\"}";

#[tokio::test]
async fn a_number_that_redials_is_answered_so_often_then_told_so_then_busy_also_after_a_restart() {
    let folder = Folder::new("redials");
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let limits = format!("number_calls_per_hour = 3\nexempt_numbers = [\"{BERT}\"]");
    let variables = folder.process(&model.url(), &limits);
    let mut first = Serving::start(&variables).await;
    let to = first.public;
    let known = sid("CA");
    for n in 0..3 {
        let call = if n == 0 { known.clone() } else { sid("CA") };
        assert_eq!(ring(to, &call, ANNA, None).await, Heard::Agent, "{n}");
    }
    let turned_away = sid("CA");
    assert_eq!(ring(to, &turned_away, ANNA, None).await, Heard::Fallback);
    // Twilio asks again: the same answers, and nothing is counted twice.
    for _ in 0..20 {
        assert_eq!(ring(to, &known, ANNA, None).await, Heard::Agent);
        assert_eq!(ring(to, &turned_away, ANNA, None).await, Heard::Fallback);
    }
    assert!(first.count("a number calls too often") >= 1);
    assert_eq!(metric(&first, NUMBER_CALLS).await, 21.0);
    // The others, and those the limit is not for.
    for from in ["+493090182033", BERT, BERT, BERT, BERT, BERT] {
        assert_eq!(
            ring(to, &sid("CA"), from, None).await,
            Heard::Agent,
            "{from}"
        );
    }
    // All that withhold their number have ten times as many together.
    for n in 0..30 {
        let from = ["anonymous", "+266696687", ""][n % 3];
        assert_eq!(ring(to, &sid("CA"), from, None).await, Heard::Agent, "{n}");
    }
    assert_eq!(
        ring(to, &sid("CA"), "Restricted", None).await,
        Heard::Fallback
    );

    first.signal("KILL");
    first.ended(SOON).await;
    let second = Serving::start(&variables).await;
    let to = second.public;
    for _ in 0..2 {
        assert_eq!(ring(to, &sid("CA"), ANNA, None).await, Heard::Fallback);
    }
    // Who goes on all the same costs nothing more.
    for _ in 0..10 {
        assert_eq!(ring(to, &sid("CA"), ANNA, None).await, Heard::Busy);
    }
    assert_eq!(metric(&second, NUMBER_CALLS).await, 12.0);
    assert_eq!(
        ring(to, &sid("CA"), "anonymous", None).await,
        Heard::Fallback
    );
    second.stop().await;
    let file = std::fs::read(folder.0.join("data/calls.sqlite")).unwrap_or_default();
    let number = ANNA.as_bytes();
    let is_kept = file.windows(number.len()).any(|window| window == number);
    assert!(!is_kept, "the store has no numbers");
}

#[tokio::test]
async fn a_call_that_was_turned_away_for_want_of_room_is_not_counted() {
    let mut options = Options::default().with("SWITCHBOARD_MAX_CALLS", "1");
    options.toml = format!("{AGENT}\n[limits]\nnumber_calls_per_hour = 2\n");
    let service = TestService::start(options).await;
    assert_eq!(
        ring(service.public, &sid("CA"), ANNA, None).await,
        Heard::Agent
    );
    for _ in 0..5 {
        assert_eq!(
            ring(service.public, &sid("CA"), ANNA, None).await,
            Heard::Fallback
        );
    }
    let full = "switchboard_admission_rejected_total{reason=\"full\"}";
    assert_eq!(service.metric(full).await, 5.0);
    assert_eq!(service.metric(NUMBER_CALLS).await, 0.0);
    service.stop().await;
}

#[tokio::test]
async fn a_number_that_nobody_vouches_for_is_withheld_where_only_verified_ones_count() {
    let options = Options {
        toml: format!(
            "{AGENT}\n[limits]\nnumber_calls_per_hour = 1\nexempt_numbers = [\"{BERT}\"]\n[book]\nverified_only = true\n"
        ),
        ..Options::default()
    };
    let service = TestService::start(options).await;
    let to = service.public;
    let full = Some("TN-Validation-Passed-A-Passthrough");
    // Whoever writes another's number uses up neither that number's calls nor its exemption.
    let unverified = [
        None,
        Some("TN-Validation-Passed-B"),
        Some("No-TN-Validation"),
    ];
    for n in 0..10 {
        let from = if n % 2 == 0 { ANNA } else { BERT };
        let heard = ring(to, &sid("CA"), from, unverified[n % 3]).await;
        assert_eq!(heard, Heard::Agent, "{n}: withheld ones have ten");
    }
    let spoofed = Some("TN-Validation-Failed-A");
    assert_eq!(ring(to, &sid("CA"), BERT, spoofed).await, Heard::Fallback);
    assert_eq!(ring(to, &sid("CA"), ANNA, full).await, Heard::Agent);
    assert_eq!(ring(to, &sid("CA"), ANNA, full).await, Heard::Fallback);
    for _ in 0..3 {
        assert_eq!(ring(to, &sid("CA"), BERT, full).await, Heard::Agent);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_day_that_has_had_its_minutes_takes_no_new_calls_but_of_exempt_numbers() {
    let folder = Folder::new("minutes");
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let limits = format!("minutes_per_day = 1\nexempt_numbers = [\"{BERT}\"]");
    let variables = folder.process(&model.url(), &limits);
    // What the processes before had of the day; a little is left.
    let store = SqliteStore::open(&folder.0.join("data/calls.sqlite")).unwrap();
    let today = unix_now().div_euclid(DAY);
    store.spend(Spent::CallMs, today, 59_900).await.unwrap();
    drop(store);
    let mut first = Serving::start(&variables).await;
    let line = line_to(first.public);
    let call = line.call(caller([listen(), Step::HangUp])).await;
    assert_eq!(call.end, CallEnd::CallerHungUp);
    until("the day's minutes are over", SOON, async || {
        let answer = Request::new("GET", "/readyz").send(first.public).await;
        answer.text() == "{\"ready\":false,\"reasons\":[\"minutes\"]}"
    })
    .await;
    assert_eq!(
        ring(first.public, &sid("CA"), ANNA, None).await,
        Heard::Fallback
    );
    assert_eq!(
        ring(first.public, &sid("CA"), BERT, None).await,
        Heard::Agent
    );
    assert_eq!(metric(&first, MINUTES).await, 1.0);
    assert_eq!(metric(&first, NUMBER_CALLS).await, 0.0);
    until("the operator is told", SOON, async || {
        first.count("the day has had as many minutes as it may") == 1
    })
    .await;
    // A call that was announced would be waited for.
    first.signal("KILL");
    first.ended(SOON).await;
    let second = Serving::start(&variables).await;
    until(
        "the next process knows the day's minutes",
        SOON,
        async || ring(second.public, &sid("CA"), ANNA, None).await == Heard::Fallback,
    )
    .await;
    drop(second);
}
