//! People who are called while the caller stays with the agent.

use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    delta, hang_up, key, phone_closed, response_done, response_started, setup, stop, tool_call_as,
    voice,
};
use crate::common::rig::Rig;
use call_protocol::call::consult::MOST_CALLED;
use call_protocol::call::event::{Event, OperatorEvent};
use call_protocol::call::operator::Objection;
use call_protocol::call::outcome::{
    ConsultEvent, Destination, EndReason, NextStep, Stage, Unreached,
};
use call_protocol::call::{Call, CallSetup, TRANSFER_CALL};
use call_protocol::checkpoint::Checkpoint;
use call_protocol::phone::CallSid;

const RING: Duration = Duration::from_secs(20);

fn with_people() -> CallSetup {
    let mut setup = setup();
    let agent = Arc::make_mut(&mut setup.agent);
    agent.transfer_targets = vec!["front_desk".to_owned()];
    agent.keys.insert('0', "front_desk".to_owned());
    agent.calls_ahead = Some(RING);
    setup
}

fn leg() -> CallSid {
    CallSid::parse("CA77777777777777777777777777777777").unwrap()
}

fn person(event: ConsultEvent) -> Event {
    Event::Operator(OperatorEvent::Consult(event))
}

fn placed(attempt: u32) -> Event {
    person(ConsultEvent::Placed {
        attempt,
        leg: leg(),
    })
}

fn answered(attempt: u32) -> Event {
    person(ConsultEvent::Answered {
        attempt,
        leg: leg(),
    })
}

fn takes(attempt: u32) -> Event {
    person(ConsultEvent::Takes { attempt })
}

fn gone(attempt: u32, why: Unreached) -> Event {
    person(ConsultEvent::Gone { attempt, why })
}

fn to_the_desk() -> Event {
    let to = Destination::Target("front_desk".to_owned());
    Event::Operator(OperatorEvent::Transfer(to))
}

/// A call in which the model has asked for the front desk, in an answer that is heard to its end.
fn asked_by_word() -> Rig {
    let mut rig = Rig::live(with_people());
    rig.event(response_started("resp_1"));
    let took = rig.says("resp_1", "item_1", 7, 500, 0);
    let arguments = r#"{"target":"front_desk","summary":"Ann wants a refund."}"#;
    rig.later(
        took,
        tool_call_as("resp_1", "call_1", TRANSFER_CALL, arguments),
    );
    rig.later(took, response_done("resp_1"));
    rig.pass(1_500);
    rig
}

/// What a call did about people, and what it asked the model for.
fn about_people(rig: &mut Rig) -> Vec<String> {
    rig.take_of(&[
        "call_person",
        "end_person",
        "tool_output",
        "respond",
        "tell",
    ])
}

#[test]
fn a_wish_for_somebody_has_him_called_and_the_caller_stays() {
    let mut rig = asked_by_word();
    let did = rig.take_of(&[
        "checkpoint",
        "call_person",
        "tool_output",
        "respond",
        "close_phone",
    ]);
    assert_eq!(did[0], "checkpoint", "written down before: {did:?}");
    assert_eq!(did[1], "call_person 1 front_desk");
    assert!(
        did.iter()
            .any(|act| act.starts_with("tool_output call_1") && act.contains("being called now"))
    );
    assert!(
        !did.iter().any(|act| act.starts_with("close_phone")),
        "{did:?}"
    );
    let checkpoint = rig.call.checkpoint(rig.now);
    assert_eq!(checkpoint.briefing.as_deref(), Some("Ann wants a refund."));
    assert_eq!(checkpoint.person.unwrap().stage, Stage::Ringing);
    assert_eq!(rig.call.detail(rig.now).person.unwrap().stage, "ringing");
}

#[test]
fn the_caller_leaves_when_the_person_has_taken_the_call_and_not_before() {
    let mut rig = asked_by_word();
    rig.event(response_started("resp_2"));
    rig.event(delta("resp_2", "resp_2", voice(9, 20)));
    rig.event(response_done("resp_2"));
    for event in [placed(1), answered(1)] {
        rig.event(event);
        rig.pass(2_000);
        assert!(!rig.call.is_over());
    }
    rig.take();
    rig.talks = Some(400);
    rig.event(takes(1));
    // Once more, as Twilio does where it did not get the answer.
    rig.event(takes(1));
    let asked = rig.take_of(&["respond"]);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("connecting them now"), "{asked:?}");
    rig.pass_until_over(10_000);
    let snapshot = rig.call.snapshot(rig.now);
    assert_eq!(snapshot.ended, Some(EndReason::Transferred));
    assert_eq!(snapshot.awaited_by, Some(1));
    let checkpoint = rig.call.checkpoint(rig.now);
    assert_eq!(checkpoint.aftermath().0, NextStep::Transfer);
    assert_eq!(checkpoint.person.unwrap().stage, Stage::Waiting);
    assert!(
        rig.take_of(&["end_person"]).is_empty(),
        "they wait for the caller"
    );
}

#[test]
fn a_person_who_does_not_take_the_call_is_news_and_no_more() {
    for (events, why, words) in [
        (vec![], Unreached::Busy, "did not answer (busy)"),
        (vec![placed(1)], Unreached::NoAnswer, "nobody picked up"),
        (vec![], Unreached::Failed, "could not be reached"),
        (
            vec![placed(1), answered(1)],
            Unreached::Declined,
            "did not take the call",
        ),
        // The person waited, and hung up while the caller heard that they would be connected.
        (
            vec![placed(1), answered(1), takes(1)],
            Unreached::Declined,
            "did not take the call",
        ),
    ] {
        let mut rig = asked_by_word();
        rig.event(response_started("resp_2"));
        rig.event(delta("resp_2", "resp_2", voice(9, 20)));
        rig.event(response_done("resp_2"));
        for event in events {
            rig.event(event);
        }
        rig.take();
        rig.event(gone(1, why));
        rig.event(response_started("resp_3"));
        rig.event(delta("resp_3", "resp_3", voice(9, 20)));
        rig.event(response_done("resp_3"));
        let did = about_people(&mut rig);
        assert!(
            did[0].starts_with("tell system") && did[0].contains(words),
            "{did:?}"
        );
        let said = did
            .iter()
            .find(|act| act.starts_with("respond") && act.contains(words));
        assert!(said.unwrap().contains("offer something else"), "{did:?}");
        rig.pass(20_000);
        assert!(!rig.call.is_over(), "{why:?}");
        assert_eq!(rig.call.snapshot(rig.now).transfer_to, None);
        // A stale word of that person is not listened to.
        let stale = OperatorEvent::Consult(ConsultEvent::Takes { attempt: 1 });
        assert_eq!(rig.call.objection(&stale), Some(Objection::NobodyCalled));
    }
}

#[test]
fn news_waits_until_the_caller_has_finished() {
    let mut rig = asked_by_word();
    rig.event(response_started("resp_2"));
    rig.event(delta("resp_2", "resp_2", voice(9, 20)));
    rig.event(response_done("resp_2"));
    rig.take();
    rig.event(crate::common::events::speech_started());
    rig.event(gone(1, Unreached::Busy));
    assert!(rig.take_of(&["respond"]).is_empty(), "the caller speaks");
    rig.event(crate::common::events::speech_stopped());
    rig.event(response_started("resp_3"));
    rig.event(delta("resp_3", "item_3", voice(9, 100)));
    assert!(
        rig.take_of(&["respond"]).is_empty(),
        "the caller is answered"
    );
    rig.event(response_done("resp_3"));
    assert_eq!(rig.take_of(&["respond"]).len(), 1);
}

#[test]
fn whoever_is_called_is_let_go_when_the_caller_does_not_come() {
    for (events, ends, let_go) in [
        // The call to that person has no name yet: whoever learns it ends it.
        (vec![], stop(), vec![]),
        (vec![placed(1)], stop(), vec!["end_person answered=false"]),
        (
            vec![placed(1), answered(1)],
            stop(),
            vec!["end_person answered=true"],
        ),
        (
            vec![placed(1), answered(1), takes(1)],
            stop(),
            vec!["end_person answered=true"],
        ),
        (
            vec![placed(1)],
            hang_up(),
            vec!["end_person answered=false"],
        ),
        // The caller's call may go on on another socket, and so may the person's.
        (vec![placed(1)], phone_closed(), vec![]),
        (
            vec![placed(1)],
            Event::Operator(OperatorEvent::HandOver),
            vec![],
        ),
    ] {
        let mut rig = asked_by_word();
        for event in events {
            rig.event(event);
        }
        rig.take();
        rig.event(ends);
        assert!(rig.call.is_over());
        assert_eq!(rig.take_of(&["end_person"]), let_go);
    }
}

#[test]
fn a_call_that_goes_on_elsewhere_waits_for_the_same_person_and_calls_nobody() {
    let mut rig = asked_by_word();
    rig.event(placed(1));
    rig.event(phone_closed());
    let document = rig.call.checkpoint(rig.now).encode().unwrap();
    let checkpoint = Checkpoint::decode(&document).unwrap();
    let mut rig = Rig::of(Call::resume(with_people(), &checkpoint));
    rig.media();
    rig.ready();
    rig.talks = Some(300);
    rig.pass(2_000);
    assert!(rig.take_of(&["call_person"]).is_empty());
    rig.event(takes(1));
    rig.pass_until_over(10_000);
    assert_eq!(rig.call.snapshot(rig.now).awaited_by, Some(1));
    // A later wish has a number of its own.
    let mut rig = Rig::of(Call::resume(with_people(), &checkpoint));
    rig.media();
    rig.ready();
    rig.event(gone(1, Unreached::Busy));
    rig.event(to_the_desk());
    assert_eq!(rig.take_of(&["call_person"]), ["call_person 2 front_desk"]);
}

#[test]
fn a_person_of_whom_nothing_is_heard_is_given_up() {
    for (events, within, words) in [
        (vec![], RING + Duration::from_secs(25), "nobody picked up"),
        (
            vec![placed(1), answered(1)],
            Duration::from_secs(120),
            "did not take the call",
        ),
    ] {
        let mut rig = asked_by_word();
        let had_leg = !events.is_empty();
        for event in events {
            rig.event(event);
        }
        rig.talks = Some(200);
        rig.event(response_started("resp_2"));
        rig.event(delta("resp_2", "resp_2", voice(9, 20)));
        rig.event(response_done("resp_2"));
        rig.take();
        rig.pass(u64::try_from(within.as_millis()).unwrap());
        let did = about_people(&mut rig);
        assert!(
            did.iter()
                .any(|act| act.starts_with("tell") && act.contains(words)),
            "{did:?}"
        );
        assert_eq!(
            did.contains(&"end_person answered=true".to_owned()),
            had_leg
        );
        // Meanwhile the caller heard that it goes on, and was never asked whether they are there.
        let patience = did
            .iter()
            .filter(|act| act.contains("a little more patience"));
        assert!(patience.count() >= 3, "{did:?}");
        assert!(!rig.call.is_over());
    }
}

#[test]
fn one_at_a_time_by_whatever_way_and_a_few_times_a_call() {
    let mut rig = Rig::live(with_people());
    for attempt in 1..=MOST_CALLED {
        rig.event(key('0'));
        rig.event(key('0'));
        let OperatorEvent::Transfer(to) = (match to_the_desk() {
            Event::Operator(wish) => wish,
            _ => unreachable!(),
        }) else {
            unreachable!()
        };
        let again = OperatorEvent::Transfer(to);
        assert_eq!(rig.call.objection(&again), Some(Objection::Calling));
        rig.event(gone(attempt, Unreached::Busy));
        let called = rig.take_of(&["call_person"]);
        assert_eq!(called, [format!("call_person {attempt} front_desk")]);
        rig.event(response_started(&format!("resp_{attempt}")));
        rig.event(response_done(&format!("resp_{attempt}")));
    }
    rig.take();
    rig.event(key('0'));
    assert!(rig.take_of(&["call_person"]).is_empty());
    rig.pass(1_000);
    assert!(!rig.call.is_over());
}

#[test]
fn a_fault_in_the_call_calls_nobody_twice_and_forgets_nobody() {
    let mut rig = asked_by_word();
    rig.event(placed(1));
    rig.take();
    rig.rebuild(true);
    assert!(rig.take_of(&["call_person"]).is_empty());
    rig.talks = Some(300);
    rig.event(takes(1));
    rig.pass_until_over(20_000);
    assert_eq!(rig.call.snapshot(rig.now).awaited_by, Some(1));
}

#[test]
fn without_a_model_to_stay_with_the_caller_is_sent_there_as_ever() {
    let mut rig = Rig::new(with_people());
    rig.media();
    rig.event(to_the_desk());
    assert!(rig.call.is_over());
    let snapshot = rig.call.snapshot(rig.now);
    assert_eq!(
        (snapshot.ended, snapshot.awaited_by),
        (Some(EndReason::Transferred), None)
    );
    assert!(rig.take_of(&["call_person"]).is_empty());
}

#[test]
fn audio_goes_on_while_somebody_is_called() {
    let mut rig = asked_by_word();
    rig.event(response_started("resp_2"));
    rig.take();
    for number in 0..50 {
        rig.event(delta("resp_2", "item_2", voice(9, 20)));
        rig.pass(20);
        if number == 20 {
            rig.event(answered(1));
        }
    }
    let played = rig.take_of(&["play"]);
    assert!(played.len() >= 45, "{}", played.len());
}
