//! Media streams that name their agent themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    call_sid, connected, delta, good_start, response_started, setup_greeting, start, start_of,
    voice,
};
use crate::common::rig::Rig;
use call_protocol::call::choice::{Choice, PARAMETER};
use call_protocol::call::effect::Peer;
use call_protocol::call::event::Event;
use call_protocol::call::{CallSetup, Greeting};

/// A call without a ticket, in which the stream may choose the night porter.
fn open_call() -> CallSetup {
    let mut setup = setup_greeting("Greet by day.");
    setup.call = None;
    let mut porter = (*setup.agent).clone();
    porter.name = "porter".to_owned();
    porter.session.instructions = "You are the night porter.".to_owned();
    porter.greeting = Greeting::Model {
        instructions: "Greet by night.".to_owned(),
    };
    let choice = Choice {
        agent: Arc::new(porter),
        max_length: Duration::from_secs(60),
    };
    setup.choices = Arc::new(BTreeMap::from([("porter".to_owned(), choice)]));
    setup
}

fn start_for(agent: &str) -> Event {
    let mut start = good_start();
    start
        .parameters
        .insert(PARAMETER.to_owned(), agent.to_owned());
    start_of(start)
}

#[test]
fn the_agent_the_stream_names_answers_and_nothing_of_the_other_is_heard() {
    let mut rig = Rig::new(open_call());
    // The other one had begun to speak.
    rig.ready();
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 600)));
    rig.event(connected());
    rig.take();
    rig.event(start_for("porter"));
    let did = rig.take();
    assert_eq!(did[..2], ["close_model", "dial"], "{did:?}");
    assert_eq!(rig.call.snapshot(rig.now).agent, "porter");
    rig.ready();
    rig.pass(300);
    assert!(rig.played().is_empty(), "held for the other agent");
    let asked = rig.take_of(&["respond"]);
    assert_eq!(asked, ["respond respond-1 `Greet by night.`"]);
    assert_eq!(rig.call.setup().max_length, Duration::from_secs(60));
    rig.event(response_started("resp_2"));
    rig.event(delta("resp_2", "item_2", voice(9, 600)));
    rig.pass(300);
    assert!(rig.played().contains(&9));
}

#[test]
fn a_stream_that_names_the_agent_who_answers_anyway_changes_nothing() {
    let mut named = Rig::new(open_call());
    let mut usual = Rig::new(open_call());
    let name = named.call.setup().agent.name.clone();
    for rig in [&mut named, &mut usual] {
        rig.ready();
        rig.event(connected());
    }
    named.event(start_for(&name));
    usual.event(start());
    assert_eq!(named.take(), usual.take());
}

#[test]
fn nobody_by_that_name_is_counted_and_the_call_goes_on() {
    let mut rig = Rig::new(open_call());
    rig.ready();
    rig.event(connected());
    rig.event(start_for("the moon"));
    assert_eq!(rig.call.violations(Peer::Phone, "unknown_agent"), 1);
    assert!(!rig.call.is_over());
    assert!(!rig.take().contains(&"close_model".to_owned()));
}

#[test]
fn a_ticket_has_chosen_and_a_stream_that_disagrees_is_counted() {
    let mut setup = open_call();
    setup.call = Some(call_sid());
    setup.choices = Arc::default();
    let mut rig = Rig::new(setup);
    rig.ready();
    rig.event(connected());
    rig.event(start_for("porter"));
    assert_eq!(rig.call.violations(Peer::Phone, "other_agent"), 1);
    assert_ne!(rig.call.snapshot(rig.now).agent, "porter");
    assert!(!rig.call.is_over());
}
