//! Asking for answers: one at a time, again when they fail, never for ever.

mod common;

use call_protocol::call::event::ResponseStatus;
use common::events::{
    audio_done, complaint, delta, done_as, error, failed, key, response_done, response_started,
    setup, setup_greeting, speech_started, tool_call, voice,
};
use common::rig::Rig;

#[test]
fn a_tool_call_is_answered_and_the_model_asked_to_go_on_when_its_response_is_done() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", "lookup", true));
    assert_eq!(
        rig.take_of(&["tool_output", "respond"]),
        [r#"tool_output call_1 {"error":"there is no tool named lookup"}"#]
    );
    rig.event(response_done("resp_1"));
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
}

#[test]
fn a_tool_call_cut_short_is_not_run() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", "lookup", false));
    rig.event(response_done("resp_1"));
    assert!(rig.take_of(&["tool_output", "respond"]).is_empty());
}

#[test]
fn wishes_raised_while_an_answer_runs_become_one() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    for digit in ['1', '2', '3'] {
        rig.event(key(digit));
    }
    assert_eq!(
        rig.take_of(&["tell", "respond"]).len(),
        3,
        "three keys told"
    );
    rig.event(response_done("resp_1"));
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
    rig.event(response_started("resp_2"));
    rig.event(response_done("resp_2"));
    assert!(rig.take_of(&["respond"]).is_empty());
}

#[test]
fn a_request_that_met_a_running_answer_is_owed_until_that_is_done() {
    let busy = || {
        error(complaint(
            "conversation_already_has_active_response",
            "",
            Some("respond-1"),
        ))
    };
    // The server's own answer was announced before it read our request, or after.
    for announced_first in [true, false] {
        let mut rig = Rig::live(setup());
        rig.event(key('1'));
        assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
        if announced_first {
            rig.event(response_started("resp_vad"));
            rig.event(busy());
        } else {
            rig.event(busy());
            rig.event(response_started("resp_vad"));
        }
        assert!(rig.take_of(&["respond"]).is_empty());
        rig.event(response_done("resp_vad"));
        assert_eq!(
            rig.take_of(&["respond"]),
            ["respond respond-2"],
            "announced first: {announced_first}"
        );
    }
}

#[test]
fn a_request_that_was_refused_does_not_hold_up_the_next() {
    let mut rig = Rig::live(setup());
    rig.event(key('1'));
    rig.event(key('2'));
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
    rig.event(error(complaint("invalid_value", "", Some("respond-1"))));
    assert_eq!(
        rig.take_of(&["respond"]),
        ["respond respond-2"],
        "the wish raised meanwhile"
    );
}

#[test]
fn a_request_that_met_a_server_in_trouble_is_made_again_after_the_named_wait() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    rig.media();
    rig.take();
    let limit = complaint(
        "rate_limit_exceeded",
        "Please try again in 1.5s.",
        Some("respond-1"),
    );
    rig.event(error(limit));
    rig.pass(1_499);
    assert!(rig.take_of(&["respond"]).is_empty());
    rig.pass(1);
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-2 `Greet.`"]);
}

#[test]
fn a_failed_answer_is_asked_for_again_after_the_named_wait() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    let message = "Rate limit reached. Please try again in 1.5s.";
    rig.event(failed(
        "resp_1",
        complaint("rate_limit_exceeded", message, None),
    ));
    rig.pass(1_499);
    assert!(rig.take_of(&["respond"]).is_empty());
    rig.pass(1);
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
}

#[test]
fn a_failed_greeting_is_asked_for_again_in_its_own_words() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    rig.media();
    rig.event(response_started("resp_1"));
    rig.take();
    rig.event(failed("resp_1", complaint("server_error", "", None)));
    rig.pass(500);
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-2 `Greet.`"]);
}

#[test]
fn a_caller_who_speaks_takes_the_place_of_the_retry() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(failed("resp_1", complaint("server_error", "", None)));
    rig.pass(100);
    rig.event(speech_started());
    rig.pass(5_000);
    assert!(
        rig.take_of(&["respond"]).is_empty(),
        "the server answers what he says"
    );
}

#[test]
fn answers_that_go_on_failing_lead_to_another_session() {
    let mut rig = Rig::live(setup());
    for n in 1..=4 {
        let response = format!("resp_{n}");
        rig.event(response_started(&response));
        rig.event(failed(&response, complaint("server_error", "", None)));
        rig.pass(500);
    }
    assert_eq!(
        rig.take_of(&["respond", "lost"]),
        [
            "respond respond-1",
            "respond respond-2",
            "respond respond-3",
            "lost answers_fail redial=true"
        ]
    );
}

#[test]
fn an_empty_answer_is_asked_for_once_more_at_once() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(done_as("resp_1", ResponseStatus::Completed, 0));
    rig.pass(1);
    assert_eq!(
        rig.take_of(&["violation", "respond"]),
        ["violation model:empty_response", "respond respond-1"]
    );
    rig.event(response_started("resp_2"));
    rig.event(response_done("resp_2"));
    rig.pass(5_000);
    assert!(rig.take_of(&["respond"]).is_empty());
}

#[test]
fn an_answer_that_was_heard_is_not_empty_whatever_the_server_lists() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 200)));
    rig.event(audio_done("resp_1", "item_1"));
    rig.event(done_as("resp_1", ResponseStatus::Completed, 0));
    rig.pass(5_000);
    assert!(rig.take_of(&["respond", "violation"]).is_empty());
}

#[test]
fn an_answer_the_token_limit_cut_goes_on() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(done_as("resp_1", ResponseStatus::OutOfTokens, 1));
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
}

#[test]
fn races_with_the_server_are_nobodys_fault() {
    let mut rig = Rig::live(setup());
    let races = [
        complaint("response_cancel_not_active", "", None),
        complaint("item_truncate_invalid_item_id", "", None),
        complaint(
            "",
            "Audio content of 1840ms is already shorter than 2600ms",
            None,
        ),
        complaint(
            "",
            "Only model output audio messages can be truncated",
            None,
        ),
    ];
    for race in races {
        rig.event(error(race));
    }
    assert!(rig.take().is_empty());
}

#[test]
fn audio_of_a_response_that_was_never_announced_is_not_played() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_ghost", "item_ghost", voice(66, 200)));
    rig.event(delta("resp_1", "item_1", voice(7, 200)));
    rig.pass(500);
    assert!(!rig.played().contains(&66));
    assert_eq!(rig.phone.heard_ms(7, rig.now), 200);
}

#[test]
fn a_server_that_announces_nothing_is_heard_all_the_same() {
    let mut rig = Rig::live(setup());
    rig.event(delta("resp_1", "item_1", voice(7, 200)));
    rig.pass(500);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 200);
}

#[test]
fn deltas_after_the_end_of_an_answer_are_dropped_and_counted() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 200);
    rig.pass(1_000);
    rig.take();
    rig.event(delta("resp_1", "item_1", voice(66, 200)));
    assert_eq!(rig.take(), ["agent_dropped 1600 interrupted"]);
    assert_eq!(rig.call.snapshot(rig.now).frames.dropped, 10);
}
