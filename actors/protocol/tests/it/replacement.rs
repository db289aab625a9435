//! F20: a media socket that is lost without a word, and another one that takes its place within two seconds.

use crate::common::events::{
    connected, foreign_call, foreign_stream, frame, frame_on, good_start, mark_on, phone_closed,
    phone_vanished, setup, speech_started, start, start_of, stop, stream_sid,
};
use crate::common::phone::SimPhone;
use crate::common::rig::Rig;
use call_protocol::call::event::{Event, OperatorEvent};
use call_protocol::call::outcome::EndReason;
use call_protocol::phone::event::PhoneEvent;

/// A second into an answer of three, the socket breaks.
fn lost_in_mid_answer() -> Rig {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 3_000);
    rig.pass(1_000);
    rig.take();
    lose(&mut rig);
    rig
}

/// The socket breaks; nothing of it is heard any more, and no frame comes.
fn lose(rig: &mut Rig) {
    rig.caller_sends(None);
    rig.event(phone_vanished());
    rig.phone = SimPhone::default();
}

/// Another socket says what Twilio's sockets say. The rig's phone knows one stream, so it has the same SID.
fn come_back(rig: &mut Rig) {
    rig.event(connected());
    rig.event(start());
}

#[test]
fn the_model_knows_what_was_heard_before_the_line_broke_and_nothing_is_played_to_nobody() {
    let mut rig = lost_in_mid_answer();
    let told = rig.take_of(&["truncate", "turn", "phone_away", "checkpoint", "play"]);
    assert_eq!(
        told,
        [
            "truncate item_1/0 1000",
            "turn agent item_1 heard=1000 cut",
            "phone_away",
            "checkpoint"
        ]
    );
    rig.pass(800);
    assert!(rig.take_of(&["play", "mark", "close_model"]).is_empty());
}

#[test]
fn the_next_socket_gets_the_same_session_and_the_agent_speaks_first_in_it() {
    let mut rig = lost_in_mid_answer();
    rig.pass(500);
    rig.take();
    come_back(&mut rig);
    let did = rig.take();
    assert!(did.contains(&"phone_back 500".to_owned()), "{did:?}");
    let words = did.iter().find(|effect| effect.starts_with("respond"));
    assert!(
        words.is_some_and(|words| words.contains("Do not greet again")),
        "{did:?}"
    );
    assert!(!did.iter().any(|effect| effect.starts_with("dial")));
    rig.answers("resp_2", "item_2", 8, 1_000);
    rig.pass(1_500);
    assert_eq!(rig.phone.heard_ms(8, rig.now), 1_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 0, "what was cut stays cut");
    assert_eq!(
        rig.take_of(&["turn", "violation"]),
        ["turn agent item_2 heard=1000"]
    );
    assert_eq!(rig.call.snapshot(rig.now).model.reconnects, 0);
}

#[test]
fn from_then_on_the_next_stream_is_the_calls() {
    let mut rig = lost_in_mid_answer();
    let mut again = good_start();
    again.stream = Some(foreign_stream());
    rig.event(start_of(again));
    assert_eq!(
        rig.call.snapshot(rig.now).stream_sid,
        Some(foreign_stream())
    );
    rig.take();
    rig.event(frame(1));
    assert_eq!(rig.take(), ["violation twilio:foreign_stream"]);
    rig.event(frame_on(Some(foreign_stream()), 1, None));
    assert_eq!(rig.call.snapshot(rig.now).state.label(), "media");
    // Nor does a mark of the lost stream mean anything on this one.
    rig.event(mark_on(Some(foreign_stream()), "m0-1"));
    assert!(rig.take_of(&["violation"]).is_empty());
}

#[test]
fn a_caller_whose_turn_it_was_is_not_spoken_to_unless_they_say_nothing() {
    for says in [false, true] {
        let mut rig = Rig::live(setup());
        rig.answers("resp_1", "item_1", 7, 1_000);
        rig.pass(3_000);
        lose(&mut rig);
        rig.pass(300);
        rig.take();
        come_back(&mut rig);
        rig.caller_sends(Some(0xFF));
        rig.pass(1_900);
        assert_eq!(rig.take_of(&["respond"]), [] as [&str; 0]);
        if says {
            rig.event(speech_started());
        }
        rig.rebuild(true);
        rig.pass(2_200);
        // What they said before may have gone into the line that was lost.
        let asked = rig.take_of(&["respond"]);
        assert_eq!(asked.len(), usize::from(!says), "{asked:?}");
        assert!(asked.iter().all(|words| words.contains("the caller waits")));
    }
}

#[test]
fn within_a_second_of_the_loss_nothing_is_paid_for_any_more_and_a_later_socket_gets_a_session_that_was_told()
 {
    let mut rig = lost_in_mid_answer();
    rig.obliging = true;
    rig.take();
    rig.pass(899);
    assert!(rig.take_of(&["close_model"]).is_empty());
    rig.pass(1);
    assert_eq!(rig.take_of(&["close_model", "dial"]), ["close_model"]);
    rig.pass(1_099);
    assert!(
        rig.take_of(&["dial"]).is_empty(),
        "nobody is there to talk to"
    );
    come_back(&mut rig);
    rig.pass(100);
    let did = rig.take_of(&["dial", "tell", "respond"]);
    assert_eq!(did[0], "dial");
    assert!(
        did[1].starts_with("tell") && did[1].contains("Do not greet again"),
        "{did:?}"
    );
    assert!(did[2].starts_with("respond"), "{did:?}");
}

#[test]
fn after_two_seconds_the_call_is_over_and_twilio_is_told_to_connect_again() {
    let mut rig = lost_in_mid_answer();
    rig.pass(1_999);
    assert!(!rig.call.is_over());
    rig.pass(1);
    assert_eq!(
        rig.take_of(&["stopped", "close_model"]),
        ["close_model", "close_model", "stopped phone_lost"]
    );
    come_back(&mut rig);
    assert_eq!(
        rig.take(),
        ["violation twilio:after_stop", "violation twilio:after_stop"]
    );
}

#[test]
fn a_next_socket_that_breaks_before_its_start_costs_nothing_but_gets_no_more_time() {
    let mut rig = lost_in_mid_answer();
    rig.pass(1_000);
    rig.event(connected());
    rig.event(phone_vanished());
    rig.pass(900);
    assert!(!rig.call.is_over());
    come_back(&mut rig);
    assert!(!rig.call.is_over());
    // And a second loss has a grace of its own.
    rig.event(frame(1));
    lose(&mut rig);
    rig.pass(1_900);
    assert!(!rig.call.is_over());
    rig.pass(100);
    assert_eq!(rig.call.snapshot(rig.now).ended, Some(EndReason::PhoneLost));
}

#[test]
fn who_means_to_close_the_socket_ends_the_call_at_once() {
    for end in [stop(), phone_closed()] {
        let mut rig = Rig::live(setup());
        rig.event(end);
        assert!(rig.call.is_over());
        assert!(rig.take().contains(&"close_model".to_owned()));
    }
}

#[test]
fn while_the_first_stream_lives_a_second_start_and_another_calls_start_end_it() {
    let mut rig = Rig::live(setup());
    rig.event(start());
    assert_eq!(
        rig.take_of(&["close_phone", "stopped"]),
        ["close_phone 1008", "stopped second_start"]
    );
    let mut rig = lost_in_mid_answer();
    let mut another = good_start();
    another.call = Some(foreign_call());
    rig.event(start_of(another));
    assert_eq!(
        rig.take_of(&["close_phone", "stopped"]),
        ["close_phone 1008", "stopped foreign_call"]
    );
}

#[test]
fn twilios_word_that_the_lost_stream_has_failed_ends_neither_the_grace_nor_the_next_stream() {
    let failed = |stream| Event::Operator(OperatorEvent::StreamFailed { stream });
    let mut rig = lost_in_mid_answer();
    rig.event(failed(Some(stream_sid())));
    assert!(!rig.call.is_over());
    let mut again = good_start();
    again.stream = Some(foreign_stream());
    rig.event(start_of(again));
    rig.event(failed(Some(stream_sid())));
    assert!(!rig.call.is_over());
    rig.event(failed(Some(foreign_stream())));
    assert_eq!(
        rig.call.snapshot(rig.now).ended,
        Some(EndReason::StreamFailed)
    );
}

#[test]
fn what_the_model_says_meanwhile_waits_for_the_caller() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 1_000);
    rig.pass(3_000);
    rig.take();
    lose(&mut rig);
    rig.pass(100);
    rig.answers("resp_2", "item_2", 9, 1_000);
    rig.pass(500);
    assert!(rig.take_of(&["play"]).is_empty());
    come_back(&mut rig);
    rig.pass(1_500);
    assert_eq!(rig.phone.heard_ms(9, rig.now), 1_000);
    assert!(
        rig.take_of(&["respond"]).is_empty(),
        "the caller hears it already"
    );
}

#[test]
fn a_fault_while_the_caller_is_away_changes_nothing() {
    for keep_playback in [true, false] {
        let mut rig = lost_in_mid_answer();
        rig.pass(400);
        rig.rebuild(keep_playback);
        rig.pass(1_000);
        assert!(!rig.call.is_over());
        come_back(&mut rig);
        assert_eq!(rig.call.snapshot(rig.now).state.label(), "start");
        rig.event(Event::Phone(PhoneEvent::Stop { stream: None }));
        assert_eq!(
            rig.call.snapshot(rig.now).ended,
            Some(EndReason::CallerHungUp)
        );
    }
}
