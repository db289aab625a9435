//! What calls may cost: a call that has cost enough is heard out and goes to the fallback; after a day that has, new
//! callers meet it at once, also in the process that comes next.

use std::time::Duration;

use switchboard_kit::twilio::twiml::Verb;
use switchboard_kit::twilio::{CallEnd, DialAnswer, Step};

use test_support::child::Serving;
use test_support::http::{Request, Scrape};
use test_support::phone::{closed_with, sid};
use test_support::{
    ADMIN_TOKEN, AGENT, MODEL_KEY, Options, SOON, TestService, brief, brief_with, caller,
    environment, line_to, listen, say, times, tone, until,
};

#[tokio::test]
async fn a_call_that_has_cost_enough_is_heard_out_and_goes_to_the_fallback() {
    let model = brief_with(|script| {
        script.turns = vec![tone(
            660,
            4_000,
            "We have time at nine, at ten and at eleven.",
        )];
    });
    let mut options = Options::default().model(model);
    // The greeting costs less, the long answer more.
    options.toml = format!("{AGENT}\n[limits]\nmax_call_cost_usd = 0.004\n");
    let service = TestService::start(options).await;
    let mut line = service.line();
    line.dial = vec![DialAnswer::Answered { talk_ms: 100 }];
    let outcome = line.call(caller([listen(), say("yes")])).await;
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.end, CallEnd::DocumentEnded, "{:?}", outcome.verbs);
    assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
    assert_eq!(outcome.dialled(), ["+15550199"]);
    let stream = &outcome.streams[0];
    let closed = closed_with(1000);
    assert_eq!(stream.end, closed);
    let [greeting, answer] = stream.agent_speech.as_slice() else {
        panic!("{:?}", stream.agent_speech);
    };
    times::within_ms(greeting.to_ms - greeting.from_ms, 600, "greeting");
    let heard_ms = answer.to_ms - answer.from_ms;
    assert!(heard_ms >= 3_900, "{heard_ms} ms of 4,000 heard");
    let said = outcome
        .verbs
        .iter()
        .find(|verb| matches!(verb.verb, Verb::Say { .. }));
    let after_ms = said.unwrap().at_ms - stream.started_ms - answer.to_ms;
    times::within_ms(after_ms, 1_000, "after");
    service.empty().await;
    let scrape = service.metrics().await;
    let ended = "switchboard_calls_total{outcome=\"budget_reached\"}";
    assert_eq!(scrape.get(ended), 1.0);
    // It is this call's business: the next one is taken.
    assert!(service.ring(&sid("CA")).await.text().contains("<Connect"));
    let cost = scrape.get("switchboard_cost_usd_total");
    service.stop().await;
    println!(
        "budget of a call, $0.004: reached at ${cost:.4}, {heard_ms} of 4,000 ms of that answer heard, the fallback \
         {after_ms} ms later"
    );
}

/// What a serving process counts.
pub(crate) async fn metric(serving: &Serving, name: &str) -> f64 {
    let answer = Request::new("GET", "/metrics")
        .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .send(serving.admin)
        .await;
    Scrape::read(&answer.text()).get(name)
}

async fn ready(serving: &Serving) -> (u16, String) {
    let answer = Request::new("GET", "/readyz").send(serving.public).await;
    (answer.status, answer.text())
}

async fn ring(serving: &Serving) -> test_support::http::Reply {
    let call = sid("CA");
    Request::signed(
        "/incoming-call",
        &test_support::http::ring(&call, "+15550142"),
    )
    .send(serving.public)
    .await
}

const REJECTED: &str = "switchboard_admission_rejected_total{reason=\"budget\"}";

#[tokio::test]
async fn a_day_that_has_cost_enough_takes_no_new_calls_and_the_next_process_knows_it() {
    let folder = std::env::temp_dir().join(format!("switchboard-budget-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("switchboard.toml");
    std::fs::write(
        &file,
        format!("{AGENT}\n[limits]\nmax_day_cost_usd = 0.001\n"),
    )
    .unwrap();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let more = [
        ("SWITCHBOARD_CONFIG", file.display().to_string()),
        (
            "SWITCHBOARD_DATA_DIR",
            folder.join("data").display().to_string(),
        ),
        ("SWITCHBOARD_STORE", "sqlite".to_owned()),
    ];
    let variables = environment(&model.url(), &more);
    let mut first = Serving::start(&variables).await;
    assert_eq!(ready(&first).await.0, 200);
    // The live call that spends the last of it goes on.
    let steps = [
        listen(),
        say("hello"),
        listen(),
        say("yes"),
        listen(),
        Step::Wait { ms: 1_000 },
        say("thanks"),
        listen(),
        Step::HangUp,
    ];
    let line = line_to(first.public);
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    until("the day's money is spent", SOON, async || {
        ready(&first).await.0 == 503
    })
    .await;
    assert_eq!(
        ready(&first).await.1,
        "{\"ready\":false,\"reasons\":[\"budget\"]}"
    );
    let refused = ring(&first).await;
    let text = refused.text();
    assert!(
        !text.contains("<Connect")
            && text.contains("We have a technical problem.")
            && text.contains("+15550199"),
        "{text}"
    );
    times::within(refused.took, Duration::from_millis(100), "refused took");
    assert_eq!(metric(&first, REJECTED).await, 1.0);
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp, "the live call goes on");
    assert_eq!(outcome.streams[0].agent_speech.len(), 4);
    assert_eq!(first.count("the day has cost as much as it may"), 1);

    first.signal("KILL");
    first.ended(SOON).await;
    let second = Serving::start(&variables).await;
    until("the next process knows the day's sum", SOON, async || {
        ready(&second).await.0 == 503
    })
    .await;
    assert!(!ring(&second).await.text().contains("<Connect"));
    assert_eq!(metric(&second, REJECTED).await, 1.0);
    assert_eq!(
        metric(&second, "switchboard_cost_usd_total").await,
        0.0,
        "it spent nothing itself"
    );
    second.stop().await;
    let _ = std::fs::remove_dir_all(folder);
    println!(
        "budget of a day, $0.001: reached in the middle of a call, which goes on; the next caller at the fallback in {:?}, \
         and after kill -9 and a restart, too",
        refused.took
    );
}
