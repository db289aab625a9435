//! The transcript of what was heard: who, said, heard, cut, and how long the caller waited.

use std::time::Duration;

use crate::common::events::{
    agent_words, caller_turn, caller_words, delta, hang_up, response_done, response_started, setup,
    speech_started, speech_stopped, voice,
};
use crate::common::rig::Rig;
use call_protocol::call::effect::{Effect, Report};
use call_protocol::conversation::{Speaker, Turn};

/// The turns told of, in order.
fn told(rig: &Rig) -> Vec<Turn> {
    rig.log
        .iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Report(Report::Turn(turn)) => Some(turn.as_ref().clone()),
            _ => None,
        })
        .collect()
}

/// The caller asks; the model begins to answer 600 ms after their last word, with 2 seconds of speech.
fn a_question_answered(rig: &mut Rig) {
    rig.event(speech_started());
    rig.pass(900);
    rig.event(speech_stopped());
    rig.event(caller_turn("item_caller"));
    rig.pass(350);
    rig.event(response_started("resp_1"));
    rig.event(agent_words(
        "item_1",
        "We are open until nine in the evening.",
    ));
    rig.pass(250);
    let took = rig.says("resp_1", "item_1", 7, 2_000, 0);
    rig.later(took, response_done("resp_1"));
}

#[test]
fn a_turn_tells_what_was_said_and_heard_and_how_long_it_took() {
    let mut rig = Rig::live(setup());
    a_question_answered(&mut rig);
    rig.pass(2_500);
    let turn = told(&rig).pop().unwrap();
    assert_eq!(turn.who, Speaker::Agent);
    assert_eq!(
        turn.said.as_deref(),
        Some("We are open until nine in the evening.")
    );
    assert_eq!(turn.heard, turn.said);
    assert!(!turn.cut && !turn.estimated);
    assert_eq!(
        (turn.received_ms, turn.sent_ms, turn.heard_ms),
        (2_000, 2_000, 2_000)
    );
    assert_eq!(turn.model_ms, Some(600), "to the first delta");
    assert_eq!(turn.latency_ms, Some(600), "to the first byte for Twilio");
    assert_eq!(turn.heard_after_ms, Some(600), "to the caller's ear");
}

#[test]
fn the_way_to_the_caller_counts_in_what_he_waited() {
    for latency in [50, 200] {
        let mut rig = Rig::live(setup());
        rig.latency = Duration::from_millis(latency);
        a_question_answered(&mut rig);
        rig.pass(3_500);
        let turn = told(&rig).pop().unwrap();
        assert_eq!(turn.latency_ms, Some(600));
        // The mark that proves it comes the way back, too.
        let heard_after = turn.heard_after_ms.unwrap();
        assert!(
            (600 + latency..=600 + 2 * latency + 1).contains(&heard_after),
            "{heard_after} ms, {latency} ms away"
        );
    }
}

#[test]
fn a_pause_inside_an_answer_does_not_move_its_beginning() {
    let mut rig = Rig::live(setup());
    rig.event(speech_started());
    rig.event(speech_stopped());
    rig.pass(600);
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 200)));
    rig.pass(900);
    rig.event(delta("resp_1", "item_1", voice(7, 200)));
    rig.event(response_done("resp_1"));
    rig.pass(1_000);
    let turn = told(&rig).pop().unwrap();
    assert_eq!(turn.heard_ms, 400);
    assert_eq!(turn.heard_after_ms, Some(600));
}

#[test]
fn an_answer_that_waits_behind_another_is_heard_later() {
    let mut rig = Rig::live(setup());
    a_question_answered(&mut rig);
    rig.later(450, response_started("resp_2"));
    let took = rig.says("resp_2", "item_2", 8, 1_000, 460);
    rig.later(460 + took, response_done("resp_2"));
    rig.pass(5_000);
    let turns = told(&rig);
    let [first, second] = &turns[..] else {
        panic!("{turns:?}")
    };
    assert_eq!(first.heard_after_ms, Some(600));
    assert_eq!(second.heard_after_ms, None, "nobody waited for that one");
    assert_eq!(second.heard_ms, 1_000);
}

#[test]
fn a_cut_turn_tells_where_and_marks_its_words_as_an_estimate() {
    let mut rig = Rig::live(setup());
    a_question_answered(&mut rig);
    rig.pass(1_000);
    rig.event(speech_started());
    let turn = told(&rig).pop().unwrap();
    assert!(turn.cut && turn.estimated);
    assert_eq!(turn.heard_ms, 1_000);
    assert_eq!(turn.received_ms, 2_000);
    assert!((1_000..=1_400).contains(&turn.sent_ms));
    assert_eq!(turn.heard.as_deref(), Some("We are open until"));
    assert_eq!(turn.heard_after_ms, Some(600));
}

#[test]
fn a_turn_of_which_nothing_was_heard_has_no_time_of_hearing() {
    let mut rig = Rig::live(setup());
    rig.latency = Duration::from_millis(100);
    a_question_answered(&mut rig);
    rig.pass(0);
    rig.event(speech_started());
    rig.pass(1_000);
    let turn = told(&rig).pop().unwrap();
    assert_eq!(turn.heard_ms, 0);
    assert_eq!(turn.heard.as_deref(), Some(""));
    assert_eq!(turn.heard_after_ms, None);
}

#[test]
fn the_callers_words_are_told_whenever_they_come_and_keep_their_place() {
    let mut rig = Rig::live(setup());
    a_question_answered(&mut rig);
    rig.pass(3_000);
    // Long after the answer.
    rig.event(caller_words("item_caller", "When do you close?"));
    rig.event(caller_words("item_caller", "When do you close?"));
    let turns = told(&rig);
    let order: Vec<_> = turns.iter().map(|turn| turn.who).collect();
    assert_eq!(order, [Speaker::Agent, Speaker::Caller], "told once each");
    let page = rig.call.detail(rig.now).turns;
    let order: Vec<_> = page.iter().map(|turn| turn.who).collect();
    assert_eq!(order, [Speaker::Caller, Speaker::Agent]);
    assert_eq!(page[0].said.as_deref(), Some("When do you close?"));
}

#[test]
fn what_was_not_told_when_the_call_ends_is_told_then() {
    let mut rig = Rig::live(setup());
    a_question_answered(&mut rig);
    rig.pass(700);
    rig.event(hang_up());
    let turns = told(&rig);
    assert_eq!(turns.len(), 2);
    assert!(turns.iter().any(|turn| turn.who == Speaker::Caller));
    let agent = turns.iter().find(|turn| turn.who == Speaker::Agent);
    assert!(agent.is_some_and(|turn| turn.cut && turn.heard_ms == 700));
}
