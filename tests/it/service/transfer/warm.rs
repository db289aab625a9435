//! Warm transfers: the person hears what the call is about and takes it by a key, before the caller joins.

use serde_json::json;
use switchboard_kit::realtime::{Realtime, ToolCall};
use switchboard_kit::twilio::{CallEnd, CallOutcome, DialAnswer, Step};

use crate::service::transfer::sent::{heard_again, there_and_back};
use crate::service::transfer::switching::{DESK, sends_to, told, toml};
use test_support::http::{Request, ring};
use test_support::phone::sid;
use test_support::{AGENT, Options, TestService, brief_with, caller, listen, say};

async fn service(model: Realtime) -> TestService {
    let warm = "[transfer]\nmode = \"warm\"\n";
    let options = Options {
        toml: toml().replacen("[transfer]\n", warm, 1),
        ..Options::default()
    };
    TestService::start(options.model(model)).await
}

/// A model that sends a caller who says anything to the front desk, with these words about them.
fn sending_with(summary: &str) -> Realtime {
    let mut step = sends_to("front_desk");
    step.hears = Some("I want my money back.".to_owned());
    step.tools = vec![ToolCall {
        name: "transfer_call".to_owned(),
        arguments: json!({"target": "front_desk", "summary": summary}),
    }];
    brief_with(|script| script.turns = vec![step])
}

fn briefing(outcome: &CallOutcome) -> Vec<&str> {
    let verbs = outcome.verbs.iter();
    verbs
        .filter_map(|record| record.briefing.as_deref())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_told_what_the_call_is_about_and_takes_it_by_a_key() {
    for (summary, heard) in [
        (
            "Ann Lee wants a refund for a massage.",
            "A call from the phone agent. Ann Lee wants a refund for a massage. To take the call, press 1.",
        ),
        (
            " ",
            "A call from the phone agent. The caller said: I want my money back. To take the call, press 1.",
        ),
    ] {
        let service = service(sending_with(summary)).await;
        let mut line = service.line();
        line.dial = vec![DialAnswer::Answered { talk_ms: 400 }];
        let steps = [listen(), say("hello"), Step::Wait { ms: 60_000 }];
        let outcome = line.call(caller(steps)).await;
        assert_eq!(outcome.end, CallEnd::HungUp, "{:?}", outcome.documents);
        assert_eq!(outcome.complaints(), []);
        assert_eq!(outcome.dialled(), [DESK]);
        assert_eq!(briefing(&outcome), [heard]);
        assert_eq!(outcome.streams.len(), 1);
        let offered = service.model.session(1).unwrap().config()["tools"].clone();
        let properties = &offered[0]["parameters"]["properties"];
        assert!(properties["summary"].is_object(), "{offered}");
        service.empty().await;
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_presses_nothing_leaves_the_caller_with_the_agent() {
    for (desk, words, hears) in [
        (
            DialAnswer::Declines,
            "answered, but did not take the call",
            1,
        ),
        (DialAnswer::Busy, "did not answer (busy)", 0),
    ] {
        let service = service(sending_with("Ann wants a refund.")).await;
        let mut line = service.line();
        line.dial = vec![desk];
        let steps = [listen(), say("hello")];
        let outcome = there_and_back(&service, line, steps).await;
        heard_again(&outcome);
        assert_eq!(briefing(&outcome).len(), hears);
        let told = told(&service.model.session(2).unwrap());
        assert!(told[1].contains(words), "{told:?}");
        service.empty().await;
        service.stop().await;
    }
}

#[tokio::test]
async fn only_the_right_key_takes_the_call() {
    let service = service(brief_with(|_| {})).await;
    let leg = sid("CA");
    for (digits, taken) in [("1", true), ("2", false), ("11", false), ("", false)] {
        let mut fields = ring(&leg, "+15550142");
        fields.push(("Digits", digits));
        let reply = Request::signed("/briefing-key", &fields)
            .send(service.public)
            .await;
        let text = reply.text();
        assert_eq!(
            text.contains("<Response></Response>"),
            taken,
            "{digits}: {text}"
        );
        assert_eq!(text.contains("<Hangup/>"), !taken, "{digits}: {text}");
    }
    // Of a call nobody knows nothing is told.
    let path = format!("/briefing?call={}", sid("CA"));
    let reply = Request::signed(&path, &ring(&leg, "+15550142"))
        .send(service.public)
        .await;
    assert!(reply.text().contains("press 1"), "{}", reply.text());
    service.stop().await;
}

#[tokio::test]
async fn a_person_is_briefed_in_the_agent_s_language() {
    let agent = AGENT.replacen("instructions", "language = \"de-AT\"\ninstructions", 1);
    let toml = format!(
        "{agent}[transfer]\nmode = \"warm\"\nbriefing = \"Ein Anruf. {{summary}} Zum Annehmen die Eins.\"\n\
         [transfer.targets]\nfront_desk = \"{DESK}\"\n"
    );
    let service = TestService::start(Options {
        toml,
        ..Options::default()
    })
    .await;
    let call = sid("CA");
    let fields = ring(&call, "+15550142");
    let briefing = Request::signed(&format!("/briefing?call={call}"), &fields);
    let text = briefing.send(service.public).await.text();
    assert!(
        text.contains("<Say language=\"de-DE\">Ein Anruf."),
        "{text}"
    );
    service.stop().await;
}
