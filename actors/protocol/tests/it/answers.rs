//! Asking for answers: one at a time, again when they fail, never for ever.

use crate::common::events::{
    agent_words, audio_done, complaint, delta, done_as, error, failed, key, message_done,
    response_done, response_started, setup, setup_greeting, speech_started, speech_stopped,
    tool_call, tool_call_as, voice,
};
use crate::common::rig::Rig;
use call_protocol::call::effect::{Effect, Peer};
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::ResponseStatus;

#[test]
fn a_tool_call_is_answered_and_the_model_asked_to_go_on_when_its_response_is_done() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", "gossip", true));
    assert!(
        rig.take_of(&["tool_output", "respond"]).is_empty(),
        "the server does not know the call yet"
    );
    rig.event(response_done("resp_1"));
    assert_eq!(
        rig.take_of(&["tool_output", "respond"]),
        [
            r#"tool_output call_1 {"error":"there is no tool named gossip"}"#,
            "respond respond-1"
        ]
    );
}

#[test]
fn a_tool_call_cut_short_is_not_run() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 200)));
    rig.event(tool_call("resp_1", "gossip", false));
    rig.event(response_done("resp_1"));
    assert!(rig.take_of(&["tool_output", "respond"]).is_empty());
}

#[test]
fn wishes_raised_while_an_answer_runs_become_one() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    for digit in ['1', '2', '3'] {
        rig.event(key(digit));
        rig.pass(2_000);
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
        rig.event(key('#'));
        rig.pass(0);
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
    for digit in ['1', '2'] {
        rig.event(key(digit));
        rig.pass(2_000);
    }
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
    rig.pass(376);
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
    rig.pass(376);
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
    rig.pass(625);
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
        "the server answers what they say"
    );
}

#[test]
fn answers_that_go_on_failing_lead_to_another_session() {
    let mut rig = Rig::live(setup());
    for n in 1..=4 {
        let response = format!("resp_{n}");
        rig.event(response_started(&response));
        rig.event(failed(&response, complaint("server_error", "", None)));
        rig.pass(625);
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
fn an_empty_answer_is_asked_for_once_more_at_once_and_not_twice() {
    let mut rig = Rig::live(setup());
    let empty = |rig: &mut Rig, response: &str| {
        rig.event(response_started(response));
        rig.event(done_as(response, ResponseStatus::Completed, 0));
        rig.take_of(&["violation", "respond"])
    };
    assert_eq!(
        empty(&mut rig, "resp_1"),
        ["violation model:empty_response", "respond respond-1"]
    );
    assert_eq!(
        empty(&mut rig, "resp_2"),
        ["violation model:empty_response"],
        "it has nothing to say"
    );
    rig.event(speech_started());
    rig.event(speech_stopped());
    assert_eq!(
        empty(&mut rig, "resp_3"),
        ["violation model:empty_response", "respond respond-2"],
        "another turn, another answer"
    );
}

#[test]
fn a_message_without_a_byte_of_audio_is_taken_back_and_asked_for_once_more() {
    // Text alone, or an audio part in which nothing comes.
    for spoken_items in [0, 1] {
        let mut rig = Rig::live(setup());
        rig.event(speech_started());
        rig.event(speech_stopped());
        let mut unheard = |n: u32| {
            let (response, item) = (format!("resp_{n}"), format!("item_{n}"));
            rig.event(response_started(&response));
            rig.event(agent_words(&item, "Yes."));
            if spoken_items > 0 {
                rig.event(delta(&response, &item, voice(7, 0)));
                rig.event(audio_done(&response, &item));
            }
            rig.event(message_done(&response, &item, spoken_items));
            rig.take_of(&["violation", "delete", "respond"])
        };
        let first = unheard(1);
        let again = unheard(2);
        assert_eq!(
            first,
            [
                "violation model:empty_response",
                "delete item_1",
                "respond respond-1"
            ],
            "{spoken_items} audio parts"
        );
        assert_eq!(again, ["violation model:empty_response", "delete item_2"]);
    }
}

#[test]
fn what_was_raised_while_a_failed_answer_ran_is_said_in_the_one_that_takes_its_place() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(key('#'));
    rig.pass(0);
    rig.event(failed("resp_1", complaint("server_error", "", None)));
    rig.pass(2_000);
    assert_eq!(
        rig.take_of(&["tell", "respond"]),
        [
            "tell user `[The caller pressed these keys on the phone: #]`",
            "respond respond-1"
        ]
    );
}

#[test]
fn an_empty_answer_that_had_a_purpose_is_asked_for_again_with_it() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    rig.media();
    rig.take();
    rig.event(response_started("resp_1"));
    rig.event(done_as("resp_1", ResponseStatus::Completed, 0));
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-2 `Greet.`"]);
}

#[test]
fn retries_of_calls_that_failed_together_are_spread() {
    let mut moments = std::collections::BTreeSet::new();
    for seed in 1..20u64 {
        let mut setup = setup();
        setup.seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut rig = Rig::live(setup);
        rig.event(response_started("resp_1"));
        let limit = complaint("rate_limit_exceeded", "Please try again in 2s.", None);
        rig.event(failed("resp_1", limit));
        rig.pass(3_000);
        let asked = rig.time_of("respond").expect("asked again").as_millis();
        assert!((2_000..=2_500).contains(&asked), "{asked}");
        moments.insert(asked);
    }
    assert!(moments.len() > 10, "{moments:?}");
}

#[test]
fn a_long_wait_named_by_the_server_is_not_waited_for() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    let limit = complaint("rate_limit_exceeded", "try again in 1m26.4s.", None);
    rig.event(failed("resp_1", limit));
    rig.pass(10_000);
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
}

#[test]
fn an_answer_the_filter_cut_is_closed_with_a_fixed_sentence_once() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(done_as("resp_1", ResponseStatus::Filtered, 1));
    let effects = rig.take_of(&["violation", "respond"]);
    assert_eq!(effects[0], "violation model:filtered_response");
    assert!(
        effects[1].starts_with("respond respond-1 `Say exactly this"),
        "{effects:?}"
    );
    rig.event(response_started("resp_2"));
    rig.event(done_as("resp_2", ResponseStatus::Filtered, 1));
    rig.pass(5_000);
    assert!(rig.take_of(&["respond"]).is_empty());
}

#[test]
fn an_answer_with_a_purpose_keeps_what_the_session_was_told() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    let asked = rig.log.iter().find_map(|(_, effect)| match effect {
        Effect::ToModel(_, ModelCommand::Respond { instructions, .. }) => instructions.clone(),
        _ => None,
    });
    assert_eq!(asked.as_deref(), Some("Be kind.\n\nGreet."));
}

#[test]
fn a_tool_call_told_twice_is_answered_once() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", "gossip", true));
    rig.event(tool_call("resp_1", "gossip", true));
    rig.event(response_done("resp_1"));
    rig.event(tool_call("resp_1", "gossip", true));
    assert_eq!(rig.take_of(&["tool_output"]).len(), 1);
    assert_eq!(rig.call.violations(Peer::Model, "tool_call_again"), 2);
}

#[test]
fn several_tool_calls_in_a_response_are_answered_before_one_request_to_go_on() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    for call in ["call_1", "call_2", "call_3"] {
        rig.event(tool_call_as("resp_1", call, "gossip", "{}"));
    }
    rig.event(response_done("resp_1"));
    let effects = rig.take_of(&["tool_output", "respond"]);
    assert_eq!(effects.len(), 4);
    assert_eq!(effects[3], "respond respond-1");
}

#[test]
fn the_end_of_another_response_does_not_hand_in_an_answer_early() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(response_started("resp_2"));
    rig.event(tool_call("resp_2", "gossip", true));
    rig.event(response_done("resp_1"));
    assert!(rig.take_of(&["tool_output", "respond"]).is_empty());
    rig.event(response_done("resp_2"));
    assert_eq!(rig.take_of(&["tool_output", "respond"]).len(), 2);
}

#[test]
fn an_answer_is_handed_in_also_when_its_response_is_never_said_to_be_done() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", "gossip", true));
    rig.event(response_started("resp_2"));
    assert_eq!(rig.take_of(&["tool_output"]).len(), 1);
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
    let asked = rig.take_of(&["respond"]);
    assert!(
        asked.len() == 1 && asked[0].contains("Go on exactly where it stopped"),
        "{asked:?}"
    );
    for n in 2..10 {
        let response = format!("resp_{n}");
        rig.event(response_started(&response));
        rig.event(done_as(&response, ResponseStatus::OutOfTokens, 1));
    }
    assert_eq!(rig.take_of(&["respond"]).len(), 1, "not for ever");
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

#[test]
fn an_answer_cut_by_its_server_is_counted_told_and_marked_on_its_turn() {
    for (status, why, kind) in [
        (ResponseStatus::OutOfTokens, "tokens", "out_of_tokens"),
        (ResponseStatus::Filtered, "filter", "filtered_response"),
    ] {
        let mut rig = Rig::live(setup());
        rig.event(response_started("resp_1"));
        rig.event(agent_words("item_1", "We have two o'clock, three"));
        rig.event(delta("resp_1", "item_1", voice(7, 400)));
        rig.event(done_as("resp_1", status, 1));
        assert_eq!(
            rig.take_of(&["violation", "answer_cut"]),
            [
                format!("violation model:{kind}"),
                format!("answer_cut - {why}")
            ]
        );
        let turns: Vec<_> = rig.call.detail(rig.now).turns;
        assert_eq!(turns.last().and_then(|turn| turn.unfinished), Some(why));
        // An answer that came to its end is not marked.
        rig.answers("resp_2", "item_2", 8, 200);
        rig.pass(2_000);
        let turns: Vec<_> = rig.call.detail(rig.now).turns;
        assert_eq!(turns.last().and_then(|turn| turn.unfinished), None);
    }
}
