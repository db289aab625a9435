//! Goodbye and transfer: the call ends when the caller has heard the last word, and goes on if they speak into it.

use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    caller_turn, complaint, done_as, done_with_tools, error, failed, model_closed, refused,
    response_done, response_started, setup, speech_started, speech_stopped, tool_call,
    tool_call_as,
};
use crate::common::rig::Rig;
use call_protocol::call::outcome::Destination;
use call_protocol::call::{CallSetup, END_CALL, TRANSFER_CALL};
use call_protocol::model::event::{Refusal, ResponseStatus};

/// A response that says something of this length and then ends the call.
fn says_goodbye(rig: &mut Rig, response: &str, tag: u8, ms: u64) {
    rig.event(response_started(response));
    let took = rig.says(response, &format!("item_{response}"), tag, ms, 0);
    rig.later(took, tool_call(response, END_CALL, true));
    rig.later(took, response_done(response));
}

fn with_targets() -> CallSetup {
    let mut setup = setup();
    let agent = Arc::make_mut(&mut setup.agent);
    agent.transfer_targets = vec!["front_desk".to_owned(), "billing".to_owned()];
    agent.keys.insert('0', "front_desk".to_owned());
    setup
}

/// When the call ended, and why.
fn ended(rig: &Rig) -> (u64, String) {
    let reason = rig
        .call
        .snapshot(rig.now)
        .ended
        .map(|reason| reason.label());
    let at = rig.time_of("stopped").map_or(0, |at| at.as_millis());
    (at, reason.unwrap_or("not at all").to_owned())
}

#[test]
fn the_call_ends_when_the_last_mark_of_the_farewell_is_back_and_not_before() {
    for latency in [0, 40, 150] {
        for ms in [300, 1_000, 7_000, 13_370] {
            let mut rig = Rig::live(setup());
            rig.latency = Duration::from_millis(latency);
            let begun = rig.now.as_millis();
            says_goodbye(&mut rig, "resp_1", 7, ms);
            rig.pass_until_over(30_000);
            let (at, reason) = ended(&rig);
            assert_eq!(reason, "agent_hung_up");
            assert_eq!(rig.phone.heard_ms(7, rig.now), ms, "every word of {ms} ms");
            let late = at - begun - ms;
            assert!(late <= 2 * latency + 200, "{late} ms after the last word");
        }
    }
}

#[test]
fn a_farewell_longer_than_the_wait_for_one_is_heard_to_its_end() {
    let mut rig = Rig::live(setup());
    says_goodbye(&mut rig, "resp_1", 7, 25_000);
    rig.pass_until_over(60_000);
    assert_eq!(ended(&rig).1, "agent_hung_up");
    assert_eq!(rig.phone.heard_ms(7, rig.now), 25_000);
}

#[test]
fn a_caller_who_speaks_into_the_farewell_keeps_the_call() {
    let mut rig = Rig::live(setup());
    says_goodbye(&mut rig, "resp_1", 7, 3_000);
    rig.pass(1_500);
    rig.take();
    rig.event(speech_started());
    assert_eq!(
        rig.take_of(&["tool_output", "truncate", "respond", "stopped"]),
        [
            r#"tool_output call_1 {"status":"the caller went on speaking, so the call goes on"}"#,
            "truncate item_resp_1/0 1500"
        ]
    );
    rig.pass(700);
    rig.event(speech_stopped());
    rig.pass(400);
    rig.answers("resp_2", "item_2", 8, 2_000);
    rig.pass(60_000);
    assert!(!rig.call.is_over());
    assert_eq!(rig.phone.heard_ms(8, rig.now), 2_000);
}

#[test]
fn a_goodbye_the_caller_has_already_spoken_over_ends_nothing() {
    // The caller speaks before the tool call arrives, and falls silent before the model answers.
    for silent_again in [false, true] {
        let mut rig = Rig::live(setup());
        rig.event(response_started("resp_1"));
        rig.says("resp_1", "item_1", 7, 2_000, 0);
        rig.pass(500);
        rig.event(speech_started());
        if silent_again {
            rig.event(speech_stopped());
        }
        rig.take();
        rig.event(tool_call("resp_1", END_CALL, true));
        rig.event(done_as("resp_1", ResponseStatus::Interrupted, 1));
        rig.pass(20_000);
        assert!(!rig.call.is_over());
        assert_eq!(
            rig.take_of(&["tool_output", "respond"]),
            [r#"tool_output call_1 {"status":"the caller went on speaking, so the call goes on"}"#],
            "the server answers the caller by itself"
        );
    }
}

#[test]
fn a_model_that_hangs_up_without_a_word_is_asked_for_one() {
    let mut rig = Rig::live(setup());
    rig.talks = Some(1_200);
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", END_CALL, true));
    rig.event(done_with_tools("resp_1", 1));
    let effects = rig.take_of(&["tool_output", "respond"]);
    assert_eq!(
        effects,
        [
            r#"tool_output call_1 {"status":"the caller must hear a word first"}"#,
            "respond respond-1 `Say goodbye to the caller in one short, friendly sentence.`"
        ]
    );
    rig.pass_until_over(20_000);
    assert_eq!(ended(&rig).1, "agent_hung_up");
    assert_eq!(rig.phone.heard_ms(201, rig.now), 1_200);
}

#[test]
fn a_farewell_that_follows_the_tool_call_in_its_response_is_the_farewell() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", END_CALL, true));
    let took = rig.says("resp_1", "item_1", 7, 2_000, 50);
    rig.later(50 + took, response_done("resp_1"));
    rig.pass_until_over(20_000);
    assert_eq!(ended(&rig).1, "agent_hung_up");
    assert_eq!(rig.phone.heard_ms(7, rig.now), 2_000);
    assert!(
        rig.take_of(&["respond"]).is_empty(),
        "one goodbye is enough"
    );
}

#[test]
fn a_farewell_that_never_comes_is_not_waited_for_for_ever() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", END_CALL, true));
    rig.event(done_with_tools("resp_1", 1));
    rig.pass(14_900);
    assert!(!rig.call.is_over());
    rig.pass(200);
    assert_eq!(ended(&rig).1, "agent_hung_up");
}

#[test]
fn a_farewell_that_fails_is_said_in_the_next_try() {
    let mut rig = Rig::live(setup());
    rig.talks = Some(1_000);
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", END_CALL, true));
    rig.event(failed("resp_1", complaint("server_error", "", None)));
    rig.pass_until_over(10_000);
    assert_eq!(ended(&rig).1, "agent_hung_up");
    assert_eq!(rig.phone.heard_ms(201, rig.now), 1_000);
    assert_eq!(rig.phone.heard_ms(202, rig.now), 0);
}

#[test]
fn a_goodbye_said_before_the_stream_began_is_heard_when_it_does() {
    let mut rig = Rig::new(setup());
    rig.ready();
    says_goodbye(&mut rig, "resp_1", 7, 1_000);
    rig.pass(500);
    assert!(!rig.call.is_over());
    rig.media();
    rig.pass_until_over(5_000);
    assert_eq!(ended(&rig).1, "agent_hung_up");
    assert_eq!(rig.phone.heard_ms(7, rig.now), 1_000);
}

#[test]
fn a_server_that_announces_no_responses_is_given_the_time_to_say_goodbye() {
    let mut rig = Rig::live(setup());
    rig.talks = Some(1_000);
    rig.event(tool_call("resp_1", END_CALL, true));
    rig.pass(300);
    assert!(!rig.call.is_over());
    rig.event(done_with_tools("resp_1", 1));
    rig.pass_until_over(10_000);
    assert_eq!(ended(&rig).1, "agent_hung_up");
    assert_eq!(rig.phone.heard_ms(201, rig.now), 1_000);
}

#[test]
fn a_second_goodbye_is_answered_too_if_the_call_goes_on() {
    let mut rig = Rig::live(setup());
    says_goodbye(&mut rig, "resp_1", 7, 3_000);
    rig.pass(1_000);
    rig.event(response_started("resp_2"));
    rig.event(tool_call_as("resp_2", "call_2", END_CALL, "{}"));
    rig.event(done_with_tools("resp_2", 1));
    rig.take();
    rig.event(speech_started());
    let outputs = rig.take_of(&["tool_output"]);
    assert!(
        outputs.len() == 2 && outputs[0].contains("call_1") && outputs[1].contains("call_2"),
        "{outputs:?}"
    );
}

#[test]
fn a_goodbye_in_a_farewell_the_caller_keeps_off_is_not_remembered() {
    let mut rig = Rig::live(setup());
    says_goodbye(&mut rig, "resp_1", 7, 3_000);
    rig.pass(1_000);
    rig.event(speech_started());
    rig.event(speech_stopped());
    rig.answers("resp_2", "item_2", 8, 500);
    rig.pass(30_000);
    assert!(!rig.call.is_over(), "that answer was no farewell");
    says_goodbye(&mut rig, "resp_3", 9, 500);
    rig.event(tool_call_as("resp_3", "call_3", END_CALL, "{}"));
    rig.pass_until_over(5_000);
    assert_eq!(ended(&rig).1, "agent_hung_up");
}

#[test]
fn a_model_lost_in_its_farewell_ends_the_call_after_the_last_word_it_said() {
    for how in ["lost", "refused for good"] {
        let mut rig = Rig::live(setup());
        says_goodbye(&mut rig, "resp_1", 7, 4_000);
        rig.pass(1_000);
        if how == "lost" {
            rig.event(model_closed(Some(1_011)));
        } else {
            rig.event(error(complaint("insufficient_quota", "", None)));
        }
        rig.pass_until_over(20_000);
        assert_eq!(ended(&rig).1, "agent_hung_up", "{how}");
        assert_eq!(rig.phone.heard_ms(7, rig.now), 4_000, "{how}");
    }
}

#[test]
fn the_model_sends_the_caller_to_somebody_known_once_he_has_heard_so() {
    let mut rig = Rig::live(with_targets());
    rig.event(response_started("resp_1"));
    let took = rig.says("resp_1", "item_1", 7, 1_500, 0);
    let arguments = r#"{"target":"billing"}"#;
    rig.later(
        took,
        tool_call_as("resp_1", "call_1", TRANSFER_CALL, arguments),
    );
    rig.later(took, response_done("resp_1"));
    rig.pass_until_over(20_000);
    assert_eq!(ended(&rig).1, "transferred");
    assert_eq!(rig.phone.heard_ms(7, rig.now), 1_500);
    let snapshot = rig.call.snapshot(rig.now);
    let billing = Destination::Target("billing".to_owned());
    assert_eq!(snapshot.transfer_to, Some(billing));
}

#[test]
fn a_model_that_ends_and_transfers_in_one_breath_transfers() {
    let mut rig = Rig::live(with_targets());
    rig.event(response_started("resp_1"));
    let took = rig.says("resp_1", "item_1", 7, 1_500, 0);
    rig.later(took, tool_call_as("resp_1", "call_1", END_CALL, "{}"));
    let arguments = r#"{"target":"billing"}"#;
    rig.later(
        took,
        tool_call_as("resp_1", "call_2", TRANSFER_CALL, arguments),
    );
    rig.later(took, response_done("resp_1"));
    rig.pass_until_over(20_000);
    assert_eq!(ended(&rig).1, "transferred");
}

#[test]
fn a_tool_call_of_a_lost_session_is_not_answered_to_the_next() {
    let mut rig = Rig::live(setup());
    says_goodbye(&mut rig, "resp_1", 7, 6_000);
    rig.pass(2_000);
    rig.obliging = true;
    rig.event(model_closed(None));
    rig.pass(1_000);
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
    rig.event(speech_started());
    rig.pass(20_000);
    assert!(!rig.call.is_over());
    assert!(rig.take_of(&["tool_output"]).is_empty());
}

#[test]
fn a_transfer_without_a_word_is_announced_first() {
    let mut rig = Rig::live(with_targets());
    rig.talks = Some(900);
    rig.event(response_started("resp_1"));
    let arguments = r#"{"target":"billing"}"#;
    rig.event(tool_call_as("resp_1", "call_1", TRANSFER_CALL, arguments));
    rig.event(done_with_tools("resp_1", 1));
    let asked = rig.take_of(&["respond"]);
    assert!(
        asked[0].contains("you are connecting them now"),
        "{asked:?}"
    );
    rig.pass_until_over(20_000);
    assert_eq!(ended(&rig).1, "transferred");
    assert_eq!(rig.phone.heard_ms(201, rig.now), 900);
}

#[test]
fn a_transfer_to_nobody_known_is_refused_in_words_and_the_call_goes_on() {
    for arguments in [
        r#"{"target":"the moon"}"#,
        "{}",
        "nonsense",
        r#"{"target":7}"#,
    ] {
        let mut rig = Rig::live(with_targets());
        rig.event(response_started("resp_1"));
        rig.event(tool_call_as("resp_1", "call_1", TRANSFER_CALL, arguments));
        rig.event(done_with_tools("resp_1", 1));
        assert_eq!(
            rig.take_of(&["tool_output", "respond"]),
            [
                r#"tool_output call_1 {"error":"nobody by that name; known: front_desk, billing"}"#,
                "respond respond-1"
            ],
            "{arguments}"
        );
        rig.pass(20_000);
        assert!(!rig.call.is_over());
    }
}

#[test]
fn a_caller_who_speaks_into_the_announcement_is_not_sent_away() {
    let mut rig = Rig::live(with_targets());
    rig.event(response_started("resp_1"));
    let took = rig.says("resp_1", "item_1", 7, 2_000, 0);
    let arguments = r#"{"target":"billing"}"#;
    rig.later(
        took,
        tool_call_as("resp_1", "call_1", TRANSFER_CALL, arguments),
    );
    rig.later(took, response_done("resp_1"));
    rig.pass(1_000);
    rig.event(speech_started());
    rig.event(speech_stopped());
    rig.event(caller_turn("item_caller"));
    rig.pass(20_000);
    assert!(!rig.call.is_over());
    rig.event(crate::common::events::hang_up());
    assert_eq!(rig.call.snapshot(rig.now).transfer_to, None);
}

#[test]
fn a_call_whose_model_stays_away_ends_as_lost_and_not_as_a_goodbye() {
    let mut rig = Rig::live(setup());
    rig.event(model_closed(None));
    for _ in 0..5 {
        rig.event(refused(Refusal::Network));
        rig.pass(3_000);
    }
    assert_eq!(ended(&rig).1, "model_lost");
}
