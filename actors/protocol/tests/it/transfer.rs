//! Callers who come back from a transfer that reached nobody.

use std::sync::Arc;

use crate::common::events::{
    caller_words, delta, key, model_closed, response_done, response_started, setup, setup_greeting,
    tool_call_as, voice,
};
use crate::common::rig::Rig;
use call_protocol::call::event::{Event, OperatorEvent};
use call_protocol::call::outcome::{Destination, EndReason, MOST_RETURNS, NextStep, Unreached};
use call_protocol::call::{Call, CallSetup, TRANSFER_CALL};
use call_protocol::checkpoint::{Checkpoint, Standing};

fn desk() -> Destination {
    Destination::Target("front_desk".to_owned())
}

fn with_key() -> CallSetup {
    let mut setup = setup();
    let agent = Arc::make_mut(&mut setup.agent);
    agent.transfer_targets = vec!["front_desk".to_owned()];
    agent.keys.insert('0', "front_desk".to_owned());
    setup
}

/// A caller who has asked for somebody by a key, and was sent there; as it was written down.
fn transferred() -> Checkpoint {
    let mut rig = Rig::live(with_key());
    rig.event(caller_words("item_1", "I want a person."));
    rig.talks = Some(500);
    rig.event(key('0'));
    rig.pass_until_over(20_000);
    let checkpoint = rig.call.checkpoint(rig.now);
    assert_eq!(checkpoint.aftermath(), (NextStep::Transfer, Some(&desk())));
    let document = checkpoint.encode().unwrap();
    Checkpoint::decode(&document).unwrap()
}

/// A call that goes on from a checkpoint, in media, its session ready.
fn back(checkpoint: &Checkpoint, setup: CallSetup) -> Rig {
    let mut rig = Rig::of(Call::resume(setup, checkpoint));
    rig.media();
    rig.ready();
    rig
}

#[test]
fn a_caller_nobody_took_is_back_with_the_agent_who_knows_why() {
    for (why, words) in [
        (Unreached::Busy, "did not answer (busy)"),
        (Unreached::NoAnswer, "did not answer (it rang"),
        (Unreached::Failed, "could not be reached"),
        (Unreached::Canceled, "called off"),
        (Unreached::Declined, "did not take the call"),
    ] {
        let mut checkpoint = transferred();
        assert!(checkpoint.come_back(why));
        assert_eq!(checkpoint.aftermath(), (NextStep::Reconnect, None));
        let mut rig = back(&checkpoint, with_key());
        let told = rig.take_of(&["tell", "respond"]);
        assert!(told[0].contains("I want a person."), "{told:?}");
        assert!(
            told[1].contains("front_desk") && told[1].contains(words),
            "{told:?}"
        );
        assert!(
            told[2].contains(words) && told[2].contains("offer something else"),
            "{told:?}"
        );
        assert_eq!(told.len(), 3, "{told:?}");
    }
}

#[test]
fn a_caller_nobody_took_is_told_so_once() {
    let mut checkpoint = transferred();
    checkpoint.come_back(Unreached::Busy);
    let mut rig = back(&checkpoint, with_key());
    // Not said yet: whoever goes on has to say it.
    assert!(rig.call.checkpoint(rig.now).returned.is_some());
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 500)));
    rig.event(response_done("resp_1"));
    rig.pass(2_000);
    assert!(rig.call.checkpoint(rig.now).returned.is_none());
    // The next session knows it all the same.
    rig.take();
    rig.obliging = true;
    rig.event(model_closed(None));
    rig.pass(3_000);
    let told = rig.take_of(&["tell", "respond"]);
    assert!(told[1].contains("did not answer (busy)"), "{told:?}");
    assert_eq!(told.len(), 2, "nothing is asked for: {told:?}");
}

#[test]
fn a_caller_who_was_sent_away_before_a_word_was_said_is_not_greeted_as_a_new_one() {
    let mut checkpoint = Checkpoint {
        standing: Standing::Over {
            reason: EndReason::Transferred,
            to: Some(desk()),
        },
        ..Checkpoint::default()
    };
    assert!(!checkpoint.has_begun());
    checkpoint.come_back(Unreached::NoAnswer);
    assert!(checkpoint.has_begun());
    let mut rig = back(&checkpoint, setup_greeting("Greet the caller."));
    let asked = rig.take_of(&["respond"]);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("nobody picked up"), "{asked:?}");
}

#[test]
fn the_way_back_is_open_a_few_times() {
    let mut checkpoint = transferred();
    for time in 1..=MOST_RETURNS {
        assert!(checkpoint.come_back(Unreached::Busy), "{time}");
        assert!(checkpoint.come_back(Unreached::Busy), "asked again");
        assert_eq!(checkpoint.returns, time);
        let mut rig = back(&checkpoint, with_key());
        rig.talks = Some(500);
        rig.event(response_started("resp_1"));
        rig.event(delta("resp_1", "item_1", voice(7, 500)));
        rig.event(response_done("resp_1"));
        rig.pass(2_000);
        rig.event(Event::Operator(OperatorEvent::Transfer(desk())));
        rig.pass_until_over(20_000);
        checkpoint = rig.call.checkpoint(rig.now);
    }
    assert!(!checkpoint.come_back(Unreached::Busy));
    assert_eq!(checkpoint.aftermath(), (NextStep::Transfer, Some(&desk())));
}

#[test]
fn what_the_model_says_of_the_call_is_kept_for_whoever_takes_it() {
    let mut setup = with_key();
    Arc::make_mut(&mut setup.agent)
        .transfer_targets
        .push("billing".to_owned());
    for (arguments, briefing) in [
        (
            r#"{"target":"billing","summary":" Ann wants a refund. "}"#.to_owned(),
            Some("Ann wants a refund."),
        ),
        (r#"{"target":"billing","summary":" "}"#.to_owned(), None),
        (r#"{"target":"billing","summary":7}"#.to_owned(), None),
        (
            format!(r#"{{"target":"billing","summary":"{}"}}"#, "a".repeat(900)),
            Some(&*"a".repeat(500)),
        ),
    ] {
        let mut rig = Rig::live(setup.clone());
        rig.event(response_started("resp_1"));
        let took = rig.says("resp_1", "item_1", 7, 500, 0);
        let call = tool_call_as("resp_1", "call_1", TRANSFER_CALL, &arguments);
        rig.later(took, call);
        rig.later(took, response_done("resp_1"));
        rig.pass_until_over(20_000);
        let mut checkpoint = rig.call.checkpoint(rig.now);
        assert_eq!(checkpoint.briefing.as_deref(), briefing, "{arguments}");
        checkpoint.come_back(Unreached::Declined);
        assert_eq!(checkpoint.briefing, None, "the next one begins anew");
    }
}

#[test]
fn only_a_transfer_leads_back() {
    for reason in EndReason::ALL {
        let mut checkpoint = Checkpoint {
            standing: Standing::Over { reason, to: None },
            ..Checkpoint::default()
        };
        assert_eq!(
            checkpoint.come_back(Unreached::Busy),
            reason == EndReason::Transferred,
            "{reason}"
        );
    }
}
