//! The caller speaks while the agent does: what was heard stays, the rest is taken back.

use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    complaint, delta, done_as, done_with_tools, error, id, key, mark, model, opened, response_done,
    response_started, session_created, setup, setup_greeting, setup_with, speech_started,
    speech_stopped, tool_call, voice,
};
use crate::common::rig::Rig;

use call_protocol::call::effect::Effect;
use call_protocol::call::{CallSetup, Greeting};
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::{ModelEvent, ResponseStatus};

const ACTS: [&str; 6] = [
    "clear",
    "truncate",
    "delete",
    "cancel",
    "interrupted",
    "turn",
];

/// The milliseconds in the only truncation among these effects.
fn truncated_at(effects: &[String]) -> u64 {
    let mut truncations = effects
        .iter()
        .filter_map(|effect| effect.strip_prefix("truncate "));
    let truncation = truncations.next().unwrap_or_default();
    assert_eq!(truncations.next(), None, "{effects:?}");
    let at = truncation.rsplit(' ').next().unwrap_or_default();
    at.parse().unwrap_or_else(|_| panic!("{effects:?}"))
}

#[test]
fn speech_while_the_agent_is_silent_is_an_ordinary_turn() {
    let mut rig = Rig::live(setup());
    rig.event(speech_started());
    assert!(rig.take_of(&ACTS).is_empty());
}

#[test]
fn an_answer_is_cut_where_the_caller_stopped_listening() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 4_000);
    rig.pass(1_500);
    rig.take();
    rig.event(speech_started());
    assert_eq!(
        rig.take_of(&ACTS),
        [
            "clear",
            "interrupted 1500",
            "truncate item_1/0 1500",
            "turn agent item_1 heard=1500 cut"
        ]
    );
    rig.pass(3_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 1_500, "the rest is silence");
}

#[test]
fn the_cut_lies_within_forty_milliseconds_of_the_truth() {
    for latency in [0, 5, 10, 20] {
        for speaks_after in (60..3_900).step_by(97) {
            let mut rig = Rig::live(setup());
            rig.latency = Duration::from_millis(latency);
            rig.answers("resp_1", "item_1", 7, 4_000);
            rig.pass(speaks_after);
            rig.take();
            rig.event(speech_started());
            let said = truncated_at(&rig.take_of(&ACTS));
            rig.pass(1_000);
            let truth = rig.phone.heard_ms(7, rig.now);
            assert!(
                said.abs_diff(truth) <= 40,
                "{said} ms for {truth} ms, {latency} ms away, after {speaks_after} ms"
            );
        }
    }
}

#[test]
fn the_cut_never_claims_more_than_was_heard_however_far_twilio_is() {
    for latency in [50, 100, 200] {
        for speaks_after in (600..3_900).step_by(97) {
            let mut rig = Rig::live(setup());
            rig.latency = Duration::from_millis(latency);
            rig.answers("resp_1", "item_1", 7, 4_000);
            rig.pass(speaks_after);
            rig.take();
            rig.event(speech_started());
            let said = truncated_at(&rig.take_of(&ACTS));
            rig.pass(1_000);
            let truth = rig.phone.heard_ms(7, rig.now);
            assert!(said <= truth, "{said} ms for {truth} ms");
        }
    }
}

#[test]
fn an_answer_cut_before_its_first_frame_is_forgotten() {
    let mut rig = Rig::new(setup());
    rig.ready();
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 200)));
    rig.take();
    rig.event(speech_started());
    assert_eq!(
        rig.take_of(&ACTS),
        [
            "interrupted 0",
            "delete item_1",
            "turn agent item_1 heard=0 cut"
        ],
        "there is nothing at Twilio to clear"
    );
    rig.media();
    rig.pass(1_000);
    assert!(rig.played().is_empty());
}

#[test]
fn an_answer_cut_before_its_first_audio_came_is_not_heard_later() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(speech_started());
    rig.event(delta("resp_1", "item_1", voice(7, 200)));
    rig.pass(1_000);
    assert!(rig.played().is_empty());
    assert_eq!(
        rig.take_of(&["agent_dropped"]),
        ["agent_dropped 1600 interrupted"]
    );
}

#[test]
fn of_several_items_the_heard_ones_stay_and_the_unheard_are_forgotten() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    let mut at = 0;
    for (item, tag) in [("item_1", 1), ("item_2", 2), ("item_3", 3)] {
        at += rig.says("resp_1", item, tag, 1_000, at);
    }
    rig.later(at, response_done("resp_1"));
    rig.pass(1_400);
    assert_eq!(rig.take_of(&["turn"]), ["turn agent item_1 heard=1000"]);
    rig.event(speech_started());
    assert_eq!(
        rig.take_of(&ACTS),
        [
            "clear",
            "interrupted 400",
            "truncate item_2/0 400",
            "turn agent item_2 heard=400 cut",
            "delete item_3",
            "turn agent item_3 heard=0 cut"
        ],
        "item_1 keeps its transcript"
    );
}

#[test]
fn an_item_whose_mark_is_still_under_way_is_not_truncated() {
    let mut rig = Rig::live(setup());
    rig.latency = Duration::from_millis(100);
    rig.answers("resp_1", "item_1", 7, 600);
    // All of it was heard; the mark that proves it is on its way back.
    rig.pass(750);
    rig.take();
    rig.event(speech_started());
    let effects = rig.take_of(&ACTS);
    assert!(
        effects.contains(&"turn agent item_1 heard=600".to_owned()),
        "{effects:?}"
    );
    let touched = |effect: &String| effect.starts_with("truncate") || effect.starts_with("delete");
    assert!(!effects.iter().any(touched), "{effects:?}");
}

#[test]
fn speech_after_the_last_word_cuts_nothing() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 1_000);
    rig.pass(1_100);
    rig.take();
    rig.event(speech_started());
    assert!(rig.take_of(&ACTS).is_empty());
    assert_eq!(rig.call.detail(rig.now).barge_ins, 0);
}

#[test]
fn a_second_interruption_in_a_row_finds_nothing_to_cut() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 4_000);
    rig.pass(1_000);
    rig.event(speech_started());
    rig.take();
    rig.event(speech_started());
    rig.pass(300);
    rig.event(speech_started());
    assert!(rig.take_of(&ACTS).is_empty());
    assert_eq!(rig.call.detail(rig.now).barge_ins, 1);
}

#[test]
fn each_answer_can_be_interrupted() {
    let mut rig = Rig::live(setup());
    for n in 1..=5u8 {
        let (response, item) = (format!("resp_{n}"), format!("item_{n}"));
        rig.answers(&response, &item, n, 2_000);
        rig.pass(700);
        rig.take();
        rig.event(speech_started());
        let effects = rig.take_of(&ACTS);
        assert_eq!(truncated_at(&effects), 700);
        rig.pass(500);
        assert_eq!(rig.phone.heard_ms(n, rig.now), 700);
    }
    assert_eq!(rig.call.detail(rig.now).barge_ins, 5);
}

#[test]
fn a_greeting_can_be_interrupted_and_is_not_begun_again() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    rig.media();
    rig.answers("resp_1", "item_1", 7, 3_000);
    rig.pass(800);
    rig.take();
    rig.event(speech_started());
    assert_eq!(truncated_at(&rig.take_of(&ACTS)), 800);
    rig.pass(3_000);
    assert!(rig.take_of(&["respond"]).is_empty());
}

#[test]
fn late_deltas_of_an_interrupted_answer_never_reach_the_caller() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.says("resp_1", "item_1", 7, 10_000, 0);
    rig.pass(500);
    let interrupted = rig.now;
    rig.event(speech_started());
    rig.pass(3_000);
    rig.event(done_as("resp_1", ResponseStatus::Interrupted, 1));
    assert_eq!(rig.phone.heard_ms(7, rig.now), 500);
    let late = rig
        .shorts()
        .filter(|(at, _)| *at > interrupted)
        .map(|(_, effect)| effect);
    assert!(!late.into_iter().any(|effect| effect.starts_with("play")));
}

#[test]
fn the_answer_after_an_interruption_is_heard_from_its_first_byte() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 4_000);
    rig.pass(900);
    rig.event(speech_started());
    rig.pass(1_000);
    rig.answers("resp_2", "item_2", 8, 1_000);
    rig.pass(1_500);
    assert_eq!(rig.phone.heard_ms(8, rig.now), 1_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 900);
    let turns = rig.take_of(&["turn"]);
    assert_eq!(
        turns.last().map(String::as_str),
        Some("turn agent item_2 heard=1000")
    );
}

#[test]
fn a_server_that_interrupts_by_itself_is_not_asked_to() {
    let mut rig = Rig::live_with(setup(), Some(true));
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 400)));
    rig.pass(100);
    rig.event(speech_started());
    assert!(rig.take_of(&["cancel"]).is_empty());
}

#[test]
fn a_server_that_does_not_interrupt_is_asked_to_cancel_what_runs() {
    let mut rig = Rig::live_with(setup(), Some(false));
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 400)));
    rig.pass(100);
    rig.take();
    rig.event(speech_started());
    assert_eq!(
        rig.take_of(&ACTS)[..3],
        ["cancel resp_1", "clear", "interrupted 100"]
    );
}

#[test]
fn nothing_is_cancelled_where_nothing_runs() {
    let mut rig = Rig::live_with(setup(), Some(false));
    rig.answers("resp_1", "item_1", 7, 4_000);
    rig.pass(1_500);
    rig.take();
    rig.event(speech_started());
    let effects = rig.take_of(&ACTS);
    assert!(effects.contains(&"clear".to_owned()));
    assert!(
        !effects.iter().any(|effect| effect.starts_with("cancel")),
        "the answer is complete at the server"
    );
}

#[test]
fn an_answer_asked_for_and_not_begun_is_cancelled_when_it_begins() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.media();
    rig.ready();
    rig.event(speech_started());
    rig.take();
    rig.event(response_started("resp_1"));
    assert_eq!(rig.take_of(&ACTS), ["cancel resp_1"]);
    rig.event(delta("resp_1", "item_1", voice(7, 400)));
    rig.pass(500);
    assert!(rig.played().is_empty());
}

#[test]
fn marks_of_what_was_thrown_away_prove_nothing() {
    let mut rig = Rig::live(setup());
    rig.latency = Duration::from_millis(50);
    rig.answers("resp_1", "item_1", 7, 2_000);
    rig.pass(900);
    rig.event(speech_started());
    let heard = rig.call.detail(rig.now).playback.heard;
    rig.take();
    rig.pass(1_000);
    assert!(
        rig.take_of(&["violation", "turn"]).is_empty(),
        "the flushed marks are expected and mean nothing"
    );
    assert_eq!(rig.call.detail(rig.now).playback.heard, heard);
    rig.event(mark("m0-1"));
    assert_eq!(
        rig.take_of(&["violation"]),
        ["violation twilio:unknown_mark"]
    );
}

#[test]
fn sent_is_heard_or_flushed_or_under_way_at_every_moment() {
    let mut rig = Rig::live(setup());
    rig.latency = Duration::from_millis(20);
    for n in 1..=4u8 {
        rig.answers(&format!("resp_{n}"), &format!("item_{n}"), n, 2_000);
        for _ in 0..15 {
            rig.pass(97);
            let books = rig.call.detail(rig.now).playback;
            let sum = books.heard + books.flushed + books.outstanding;
            assert!(books.sent.abs_diff(sum) <= 2, "{books:?}");
            assert!(
                books.outstanding <= call_protocol::phone::playback::LEAD_MS + 41,
                "{books:?}"
            );
        }
        rig.event(speech_started());
    }
}

#[test]
fn an_answer_is_heard_without_gaps_while_the_phone_is_near() {
    for latency in [0, 20, 50, 90] {
        let mut rig = Rig::live(setup());
        rig.latency = Duration::from_millis(latency);
        rig.answers("resp_1", "item_1", 7, 10_000);
        rig.pass(12_000);
        assert_eq!(rig.phone.heard_ms(7, rig.now), 10_000);
        assert!(
            rig.phone.gaps.is_empty(),
            "{latency} ms away: {:?}",
            rig.phone.gaps
        );
    }
}

#[test]
fn an_interruption_while_a_tool_runs_leaves_its_answer_to_the_end_of_the_response() {
    for server_cancels in [true, false] {
        let mut rig = Rig::live_with(setup(), Some(server_cancels));
        rig.event(response_started("resp_1"));
        rig.says("resp_1", "item_1", 7, 2_000, 0);
        rig.pass(500);
        rig.event(tool_call("resp_1", "gossip", true));
        rig.take();
        rig.event(speech_started());
        let effects = rig.take_of(&["truncate", "tool_output", "respond"]);
        assert_eq!(effects, ["truncate item_1/0 500"]);
        rig.event(done_as("resp_1", ResponseStatus::Interrupted, 1));
        rig.pass(5_000);
        assert_eq!(
            rig.take_of(&["tool_output", "respond"]),
            [r#"tool_output call_1 {"error":"there is no tool named gossip"}"#],
            "the server answers the caller, and then knows of it"
        );
        assert_eq!(rig.phone.heard_ms(7, rig.now), 500);
    }
}

#[test]
fn a_tool_call_that_comes_after_the_caller_spoke_is_answered_and_asks_for_nothing() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.says("resp_1", "item_1", 7, 2_000, 0);
    rig.pass(500);
    rig.event(speech_started());
    rig.take();
    rig.event(tool_call("resp_1", "gossip", true));
    rig.event(done_as("resp_1", ResponseStatus::Interrupted, 1));
    rig.pass(5_000);
    assert_eq!(rig.take_of(&["tool_output", "respond"]).len(), 1);
}

#[test]
fn an_interruption_between_a_tools_answer_and_the_next_response_cancels_that_one() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", "gossip", true));
    rig.event(done_with_tools("resp_1", 1));
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
    rig.event(speech_started());
    rig.event(response_started("resp_2"));
    assert_eq!(rig.take_of(&["cancel"]), ["cancel resp_2"]);
    rig.event(delta("resp_2", "item_2", voice(8, 400)));
    rig.pass(1_000);
    assert!(rig.played().is_empty());
}

#[test]
fn a_part_after_one_that_was_heard_is_truncated_and_its_item_kept() {
    let part = |number, tag, ms| {
        let (response, item) = (id("resp_1"), id("item_1"));
        let payload = voice(tag, ms);
        model(ModelEvent::Audio {
            response,
            item,
            part: number,
            payload,
        })
    };
    for heard in [400, 600, 900] {
        let mut rig = Rig::live(setup());
        rig.event(response_started("resp_1"));
        rig.event(part(0, 7, 600));
        rig.event(part(1, 8, 2_000));
        rig.pass(heard);
        rig.take();
        rig.event(speech_started());
        let effects = rig.take_of(&["truncate", "delete"]);
        let expected = match heard {
            400 => vec!["truncate item_1/0 400", "truncate item_1/1 0"],
            600 => vec!["truncate item_1/1 0"],
            _ => vec!["truncate item_1/1 300"],
        };
        assert_eq!(effects, expected, "after {heard} ms");
    }
}

#[test]
fn an_item_that_was_not_heard_is_deleted_once_whatever_its_parts() {
    let part = |number| {
        let (response, item) = (id("resp_1"), id("item_2"));
        let payload = voice(8, 1_000);
        model(ModelEvent::Audio {
            response,
            item,
            part: number,
            payload,
        })
    };
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 1_000)));
    // Its first part is text.
    rig.event(part(1));
    rig.event(part(2));
    rig.pass(500);
    rig.take();
    rig.event(speech_started());
    assert_eq!(
        rig.take_of(&["truncate", "delete"]),
        ["truncate item_1/0 500", "delete item_2"]
    );
}

#[test]
fn a_response_that_another_follows_is_over_also_without_a_word() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 410)));
    rig.event(response_started("resp_2"));
    rig.pass(1_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 410, "to its last byte");
    assert_eq!(rig.take_of(&["turn"]), ["turn agent item_1 heard=410"]);
}

#[test]
fn an_agent_that_lets_nothing_be_cut_is_heard_to_the_end_and_answers_then() {
    for says in [Some(false), None] {
        let mut rig = Rig::live_with(setup_with(Greeting::Wait, false), says);
        rig.answers("resp_1", "item_1", 7, 3_000);
        rig.pass(900);
        rig.take();
        rig.event(speech_started());
        rig.pass(300);
        rig.event(speech_stopped());
        let turn = ModelEvent::CallerTurn {
            item: id("item_caller"),
        };
        rig.event(model(turn));
        // The server answers by itself; that is heard after what goes on.
        rig.answers("resp_2", "item_2", 8, 1_000);
        rig.pass(1_700);
        assert_eq!(rig.phone.heard_ms(8, rig.now), 0, "{says:?}");
        rig.pass(2_500);
        assert_eq!(rig.phone.heard_ms(7, rig.now), 3_000, "{says:?}");
        assert_eq!(rig.phone.heard_ms(8, rig.now), 1_000, "{says:?}");
        let cut = rig.take_of(&["clear", "cancel", "truncate", "delete", "interrupted"]);
        assert!(cut.is_empty(), "{cut:?}");
    }
}

#[test]
fn a_turn_that_no_server_could_answer_while_it_spoke_is_answered_after_it() {
    let mut rig = Rig::live_with(setup_with(Greeting::Wait, false), Some(false));
    rig.event(response_started("resp_1"));
    rig.says("resp_1", "item_1", 7, 2_000, 0);
    rig.pass(200);
    rig.event(speech_started());
    rig.event(speech_stopped());
    let busy = complaint("conversation_already_has_active_response", "Wait.", None);
    rig.event(error(busy));
    // More of the first answer is no answer to it.
    rig.pass(300);
    assert!(rig.take_of(&["respond"]).is_empty());
    rig.event(response_done("resp_1"));
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
    rig.event(response_started("resp_2"));
    rig.event(response_done("resp_2"));
    rig.pass(3_000);
    assert!(rig.take_of(&["cancel", "clear"]).is_empty());
}

/// A call whose greeting, said by the model, nothing cuts.
fn protected(greeting: Greeting) -> CallSetup {
    let mut setup = setup_with(greeting, true);
    Arc::make_mut(&mut setup.agent).protected.greeting = true;
    setup
}

#[test]
fn a_protected_greeting_of_the_model_is_not_cut_and_everything_after_it_is() {
    let mut rig = Rig::new(protected(Greeting::Model {
        instructions: "Greet.".to_owned(),
    }));
    rig.media();
    rig.event(opened());
    let asked = rig.log.iter().find_map(|(_, effect)| match effect {
        Effect::ToModel(_, ModelCommand::Configure { setup, .. }) => setup.options.clone(),
        _ => None,
    });
    let turns = asked.and_then(|options| options.turns);
    assert!(
        !turns.is_some_and(|turns| turns.interrupts()),
        "the server would cut it"
    );
    rig.event(session_created());
    rig.event(model(rig.configured_at(rig.now)));
    // The caller speaks before it begins, and into it.
    rig.event(speech_started());
    rig.event(speech_stopped());
    rig.answers("resp_1", "item_1", 7, 2_000);
    rig.pass(900);
    rig.event(speech_started());
    assert!(rig.take_of(&["clear", "cancel", "find_turns"]).is_empty());
    rig.event(speech_stopped());
    rig.answers("resp_2", "item_2", 8, 3_000);
    rig.pass(1_000);
    assert!(rig.take_of(&["find_turns"]).is_empty(), "it is still heard");
    rig.pass(1_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 2_000);
    assert_eq!(
        rig.take_of(&["find_turns"]),
        ["find_turns turns-1 interrupt=true"]
    );
    rig.event(speech_started());
    let effects = rig.take_of(&["clear", "interrupted"]);
    assert_eq!(
        effects.first().map(String::as_str),
        Some("clear"),
        "{effects:?}"
    );
    rig.pass(2_000);
    assert!(rig.phone.heard_ms(8, rig.now) < 1_200);
}

#[test]
fn a_protected_clip_is_played_to_its_end_whoever_speaks() {
    let clip = Greeting::Clip {
        audio: voice(7, 2_000),
        text: "Welcome.".to_owned(),
    };
    let mut rig = Rig::live(protected(clip.clone()));
    rig.pass(500);
    rig.event(speech_started());
    rig.pass(2_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 2_000);
    assert!(rig.take_of(&["clear", "find_turns"]).is_empty());
    // Without that it is cut.
    let mut rig = Rig::live(setup_with(clip, true));
    rig.pass(500);
    rig.event(speech_started());
    rig.pass(2_000);
    assert!(rig.phone.heard_ms(7, rig.now) < 700);
}

#[test]
fn a_protected_filler_goes_on_while_the_caller_speaks_and_stops_for_the_answer() {
    for is_protected in [true, false] {
        let mut setup = setup();
        let agent = Arc::make_mut(&mut setup.agent);
        agent.filler = Some(voice(9, 4_000));
        agent.protected.filler = is_protected;
        let mut rig = Rig::live(setup);
        rig.event(speech_started());
        rig.event(speech_stopped());
        rig.event(response_started("resp_1"));
        rig.pass(2_200);
        let before = rig.phone.heard_ms(9, rig.now);
        assert!(before > 0, "the caller waits");
        rig.event(speech_started());
        rig.pass(1_500);
        rig.event(speech_stopped());
        rig.pass(400);
        let meanwhile = rig.phone.heard_ms(9, rig.now) - before;
        assert_eq!(meanwhile > 1_500, is_protected, "{meanwhile} ms");
        assert_eq!(meanwhile < 200, !is_protected, "{meanwhile} ms");
        rig.event(response_started("resp_2"));
        rig.says("resp_2", "item_2", 8, 400, 0);
        rig.pass(1_000);
        assert_eq!(rig.phone.heard_ms(8, rig.now), 400);
    }
}

#[test]
fn keys_and_operators_cut_what_the_caller_s_voice_does_not() {
    let mut setup = setup_with(Greeting::Wait, false);
    let agent = Arc::make_mut(&mut setup.agent);
    agent.keys.insert('0', "front_desk".to_owned());
    agent.transfer_targets.push("front_desk".to_owned());
    let mut rig = Rig::live(setup);
    rig.answers("resp_1", "item_1", 7, 3_000);
    rig.pass(500);
    rig.take();
    rig.event(key('0'));
    assert_eq!(rig.take_of(&["clear"]), ["clear"]);
}
