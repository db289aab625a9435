//! Whole calls: sent to the front desk by word, by key, by the operator; taken there, or back with the agent.

use serde_json::json;
use switchboard_kit::twilio::twiml::Verb;
use switchboard_kit::twilio::{CallEnd, CallOutcome, DialAnswer, Line, Step};

use crate::service::transfer::switching::{
    DESK, FALLBACK, asked, live, order, sending_to, sends_to, service, told, usual,
};
use test_support::{SOON, TestService, brief_with, caller, listen, say, tone, until};

/// A line on which a person who is called does this.
fn line(service: &TestService, desk: DialAnswer) -> Line {
    let mut line = service.line();
    line.dial = vec![desk];
    line
}

/// The statuses of all calls to somebody else, in order.
fn statuses(outcome: &CallOutcome) -> Vec<&str> {
    let verbs = outcome.verbs.iter();
    verbs.filter_map(|record| record.dial_status).collect()
}

/// A call in which the caller stays until the operator ends it, who does when the agent's word on the second media
/// socket was heard to its end.
pub(crate) async fn there_and_back(
    service: &TestService,
    line: Line,
    steps: impl IntoIterator<Item = Step>,
) -> CallOutcome {
    let mut steps: Vec<Step> = steps.into_iter().collect();
    steps.push(Step::Wait { ms: 60_000 });
    let back = async {
        let resumed = "switchboard_resumes_total{result=\"ok\"}";
        until("the caller is back", SOON, async || {
            service.metric(resumed).await > 0.0
        })
        .await;
        let sid = live(service).await;
        let page = format!("/admin/calls/{sid}");
        until("the agent is heard again", SOON, async || {
            let page = service.operator("GET", &page).await.json();
            page["playback"]["heard"].as_u64() >= Some(500)
        })
        .await;
        let ended = service.operator("POST", &format!("{page}/hangup")).await;
        assert_eq!(ended.status, 202);
    };
    tokio::join!(line.call(caller(steps)), back).0
}

/// The caller was back with the agent and heard it; gives the milliseconds from the end of the dialling.
pub(crate) fn heard_again(outcome: &CallOutcome) -> u64 {
    assert_eq!(outcome.end, CallEnd::HungUp, "{:?}", outcome.documents);
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams.len(), 2);
    let dial = outcome.verbs.iter().find(|verb| verb.dial_status.is_some());
    let dial = dial.unwrap();
    let back = &outcome.streams[1];
    assert!(!back.agent_speech.is_empty(), "the agent is heard again");
    back.started_ms + back.first_audio_ms.unwrap() - (dial.at_ms + dial.took_ms)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_taken_at_the_front_desk_has_had_his_call() {
    let service = service(sending_to("front_desk")).await;
    let line = line(&service, DialAnswer::Answered { talk_ms: 400 });
    let outcome = line
        .call(caller([listen(), say("hello"), Step::Wait { ms: 60_000 }]))
        .await;
    assert_eq!(outcome.end, CallEnd::HungUp);
    assert_eq!(outcome.complaints(), []);
    assert_eq!(
        (outcome.dialled(), statuses(&outcome)),
        (vec![DESK], vec!["completed"])
    );
    assert_eq!(outcome.streams.len(), 1);
    // The caller had heard the agent's last word.
    assert_eq!(outcome.streams[0].thrown_away_ms(), 0);
    let Some(Verb::Dial {
        action, timeout_s, ..
    }) = outcome
        .verbs
        .iter()
        .map(|record| &record.verb)
        .find(|verb| matches!(verb, Verb::Dial { .. }))
    else {
        panic!("no <Dial>");
    };
    let wanted = "https://spa.example/after-dial?target=front_desk";
    assert_eq!((action.as_deref(), *timeout_s), (Some(wanted), 17));
    service.empty().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_nobody_takes_is_back_with_the_agent_who_says_why() {
    let mut waits = Vec::new();
    for (desk, status, words) in [
        (DialAnswer::Busy, "busy", "front_desk did not answer (busy)"),
        (DialAnswer::NoAnswer, "no-answer", "nobody picked up"),
        (
            DialAnswer::Failed,
            "failed",
            "front_desk could not be reached",
        ),
    ] {
        let service = service(sending_to("front_desk")).await;
        let steps = [listen(), say("hello")];
        let outcome = there_and_back(&service, line(&service, desk), steps).await;
        waits.push(heard_again(&outcome));
        assert_eq!(
            (outcome.dialled(), statuses(&outcome)),
            (vec![DESK], vec![status])
        );
        let session = service.model.session(2).unwrap();
        let told = told(&session);
        // The conversation before, then what came of the transfer.
        assert!(
            told[0].contains("You: I am connecting you now."),
            "{told:?}"
        );
        assert!(told[1].contains(words), "{told:?}");
        let asked = asked(&session);
        assert!(
            asked[0].contains(words) && asked[0].contains("offer something else"),
            "{asked:?}"
        );
        service.empty().await;
        service.stop().await;
    }
    println!("from the end of the ringing to the agent's voice: {waits:?} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_sends_the_caller_and_brings_him_back() {
    let service = usual().await;
    let steps = [listen(), Step::Keys("0".to_owned())];
    let outcome = there_and_back(&service, line(&service, DialAnswer::Busy), steps).await;
    heard_again(&outcome);
    assert_eq!(outcome.dialled(), [DESK]);
    let said = asked(&service.model.session(1).unwrap());
    assert!(
        said.iter()
            .any(|words| words.contains("you are connecting them now")),
        "{said:?}"
    );
    assert!(told(&service.model.session(2).unwrap())[1].contains("(busy)"));
    service.empty().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sends_the_caller_to_any_number_or_a_target() {
    for (to, dialled, shown) in [
        (
            "+1 555 555 0177",
            "+15555550177",
            "a number of the operator's",
        ),
        ("front_desk", DESK, "front_desk"),
    ] {
        // Long enough to ask for another transfer meanwhile.
        let farewell = tone(550, 2_000, "I am connecting you now.");
        let service = service(brief_with(|script| script.unprompted = farewell)).await;
        let call = there_and_back(&service, line(&service, DialAnswer::NoAnswer), []);
        let ordering = async {
            let sid = live(&service).await;
            let body = json!({ "to": to }).to_string();
            let reply = order(&service, &sid, "transfer", &body).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
            assert_eq!(
                reply.json(),
                json!({"call_sid": sid, "transfer": "ordered"})
            );
            let again = order(&service, &sid, "transfer", &body).await;
            assert_eq!(again.status, 409, "{}", again.text());
        };
        let (outcome, ()) = tokio::join!(call, ordering);
        heard_again(&outcome);
        assert_eq!(outcome.dialled(), [dialled]);
        // Neither the model nor a URL sees a number.
        let told = told(&service.model.session(2).unwrap());
        assert!(told[1].contains(shown), "{told:?}");
        assert!(!told.concat().contains("0177"), "{told:?}");
        let urls = outcome.documents.iter().map(|document| &document.url);
        assert!(urls.clone().all(|url| !url.contains("0177")));
        let asked = outcome.documents.iter();
        let after_dial = asked.filter(|document| document.url.contains("/after-dial"));
        assert_eq!(after_dial.count(), 1);
        service.empty().await;
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_reaches_nobody_off_the_list() {
    let service = service(sending_to("+15550166")).await;
    let steps = [listen(), say("hello"), listen(), Step::HangUp];
    let outcome = line(&service, DialAnswer::Busy).call(caller(steps)).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.dialled(), [""; 0]);
    assert_eq!(outcome.streams.len(), 1);
    let violations = service
        .metrics()
        .await
        .violations("model", "unknown_transfer_target");
    assert_eq!(violations, 1.0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_three_returns_the_fallback_takes_the_caller() {
    // Each session begins by sending the caller away.
    let service = service(brief_with(|script| {
        script.greeting = sends_to("front_desk");
    }))
    .await;
    let outcome = line(&service, DialAnswer::Busy)
        .call(caller([Step::Wait { ms: 60_000 }]))
        .await;
    assert_eq!(
        outcome.dialled(),
        [DESK, DESK, DESK, DESK, FALLBACK],
        "{:?}",
        outcome.end
    );
    assert_eq!(
        outcome.streams.len(),
        4,
        "the first time, and three returns"
    );
    assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
    service.empty().await;
    service.stop().await;
}
