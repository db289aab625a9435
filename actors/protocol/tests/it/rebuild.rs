//! A machine built anew after a fault: the same call, on the same sockets.

use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    caller_words, delta, key, response_done, response_started, setup, speech_started, tool_call,
    voice,
};
use crate::common::rig::Rig;
use call_protocol::call::outcome::EndReason;
use call_protocol::call::{END_CALL, Silence};

#[test]
fn an_answer_goes_on_where_it_was_and_is_heard_to_its_end() {
    for at in [100, 700, 2_900] {
        let mut rig = Rig::live(setup());
        rig.latency = Duration::from_millis(30);
        rig.answers("resp_1", "item_1", 7, 3_000);
        rig.pass(at);
        rig.rebuild(true);
        rig.pass(4_000);
        assert_eq!(
            rig.phone.heard_ms(7, rig.now),
            3_000,
            "built anew after {at} ms"
        );
        assert_eq!(rig.take_of(&["turn"]), ["turn agent item_1 heard=3000"]);
        rig.pass(60_000);
        assert!(
            !rig.call.is_over(),
            "{:?}",
            rig.call.snapshot(rig.now).ended
        );
    }
}

#[test]
fn a_call_whose_ledger_is_given_up_is_cleared_and_the_model_goes_on() {
    let mut rig = Rig::live(setup());
    rig.latency = Duration::from_millis(30);
    rig.answers("resp_1", "item_1", 7, 3_000);
    rig.pass(1_000);
    rig.take();
    rig.rebuild(false);
    assert_eq!(
        rig.take_of(&["clear", "respond"]),
        ["clear", "respond respond-1"]
    );
    // Marks of before mean nothing any more, and are no violation.
    rig.pass(500);
    assert!(rig.take_of(&["violation"]).is_empty());
    rig.answers("resp_2", "item_2", 8, 1_000);
    rig.pass(2_000);
    assert_eq!(rig.phone.heard_ms(8, rig.now), 1_000);
}

#[test]
fn a_farewell_is_still_heard_to_its_end_and_then_ends_the_call() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 4_000);
    rig.event(tool_call("resp_1", END_CALL, true));
    rig.pass(1_000);
    rig.rebuild(true);
    rig.pass_until_over(20_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped agent_hung_up"]);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 4_000);
}

#[test]
fn keys_pressed_before_are_told_after() {
    let mut rig = Rig::live(setup());
    rig.event(key('4'));
    rig.rebuild(true);
    rig.pass(0);
    let told = rig.take_of(&["tell"]);
    assert!(told.len() == 1 && told[0].contains(": 4]"), "{told:?}");
}

#[test]
fn every_limit_of_the_call_holds_on() {
    let mut silent = setup();
    Arc::make_mut(&mut silent.agent).silence = Some(Silence {
        after: Duration::from_secs(8),
        instructions: "Ask.".to_owned(),
        attempts: 2,
    });
    let mut rig = Rig::live(silent);
    rig.pass(5_000);
    rig.rebuild(true);
    rig.pass(8_000);
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1 `Ask.`"]);

    let mut long = setup();
    long.max_length = Duration::from_secs(60);
    let mut rig = Rig::live(long);
    rig.pass(30_000);
    rig.rebuild(true);
    rig.pass(30_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped too_long"]);

    let mut noisy = setup();
    Arc::make_mut(&mut noisy.agent).longest_monologue = Duration::from_secs(60);
    let mut rig = Rig::live(noisy);
    rig.event(speech_started());
    rig.rebuild(true);
    rig.pass_until_over(90_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped nobody_there"]);

    let mut rig = Rig::live(setup());
    rig.rebuild(true);
    rig.caller_sends(None);
    rig.pass(6_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped phone_stalled"]);
}

#[test]
fn the_conversation_is_the_same() {
    let mut rig = Rig::live(setup());
    rig.event(caller_words("item_1", "Hello?"));
    rig.event(response_started("resp_1"));
    rig.event(response_done("resp_1"));
    rig.rebuild(true);
    rig.rebuild(false);
    let turns = rig.call.detail(rig.now).turns;
    assert_eq!(turns.len(), 1);
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
}

#[test]
fn what_was_not_carried_out_yet_still_is() {
    for keep_playback in [true, false] {
        let mut rig = Rig::live(setup());
        rig.take();
        rig.handle(caller_words("item_1", "Hello?"));
        rig.rebuild(keep_playback);
        assert_eq!(rig.take_of(&["turn", "checkpoint"]).len(), 2);
    }
}

#[test]
fn audio_that_had_not_left_leaves_after_the_first_fault_and_is_given_up_after_the_second() {
    for (keep_playback, heard_ms) in [(true, 600), (false, 0)] {
        let mut rig = Rig::live(setup());
        rig.event(response_started("resp_1"));
        rig.take();
        for _ in 0..3 {
            rig.handle(delta("resp_1", "item_1", voice(7, 200)));
        }
        rig.rebuild(keep_playback);
        rig.pass(2_000);
        assert_eq!(rig.phone.heard_ms(7, rig.now), heard_ms);
    }
}

#[test]
fn an_end_is_carried_out_whatever_of_it_was_done() {
    for done in 0..6 {
        let mut rig = Rig::live(setup());
        rig.take();
        rig.call.end(EndReason::AgentHungUp, rig.now);
        for _ in 0..done {
            rig.call.poll_effect();
        }
        rig.rebuild(true);
        let ended = rig.take();
        let of_the_end = [
            "checkpoint",
            "close_model",
            "close_phone 1000",
            "state stop",
            "stopped agent_hung_up",
        ];
        for effect in of_the_end {
            let times = ended.iter().filter(|one| **one == effect).count();
            assert_eq!(times, 1, "{effect} in {ended:?}");
        }
        assert!(rig.call.is_over());
    }
}

#[test]
fn a_value_that_is_given_up_is_replaced_by_what_was_written_down() {
    let mut rig = Rig::live(setup());
    rig.obliging = true;
    rig.event(caller_words("item_1", "I want a massage."));
    rig.answers("resp_1", "item_2", 7, 600);
    rig.pass(2_000);
    let checkpoint = rig.call.checkpoint(rig.now);
    // What comes after it is lost, the audio under way included.
    rig.answers("resp_2", "item_3", 8, 3_000);
    rig.pass(500);
    rig.take();
    rig.revive(&checkpoint);
    assert_eq!(
        rig.take_of(&["clear", "close_model", "dial"]),
        ["clear", "close_model", "dial"]
    );
    rig.pass(200);
    let told = rig.take_of(&["ready", "tell", "respond"]);
    assert_eq!(told[0], "ready again=true");
    assert!(told.iter().any(|line| line.contains("massage")), "{told:?}");
    assert!(told.last().unwrap().starts_with("respond"), "{told:?}");
    rig.answers("resp_3", "item_4", 9, 600);
    rig.pass(2_000);
    assert_eq!(rig.phone.heard_ms(9, rig.now), 600);
    // Marks of the ledger before mean nothing any more, and are no violation.
    assert!(rig.take_of(&["violation"]).is_empty());
    let detail = rig.call.detail(rig.now);
    assert_eq!(detail.turns.len(), 3);
    rig.pass(60_000);
    assert!(
        !rig.call.is_over(),
        "{:?}",
        rig.call.snapshot(rig.now).ended
    );
}

#[test]
fn a_call_without_a_stream_has_nothing_to_be_revived_from() {
    let rig = Rig::live(setup());
    assert!(rig.call.salvage().is_some());
    let fresh = call_protocol::call::Call::new(setup());
    assert!(fresh.salvage().is_none());
}
