//! The caller waits: filler while they do, and a model that says nothing is not waited for for ever.

use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    caller_turn, caller_words, configured, delta, done_with_tools, model, model_closed,
    model_closed_after, opened, response_done, response_started, setup, setup_greeting,
    speech_started, speech_stopped, tool_call, tool_call_as, tool_finished, voice,
};
use crate::common::rig::Rig;
use call_protocol::audio::{SILENCE, encode_sample};
use call_protocol::call::{CallSetup, END_CALL, FILLER_AFTER};
use call_protocol::model::event::ModelEvent;
use call_protocol::time::Time;
use call_protocol::tool::ToolResult;

/// The byte the filler is made of.
const FILLER: u8 = 0x33;

/// Milliseconds of it.
const FILLER_MS: u64 = 800;

fn filled(mut setup: CallSetup) -> CallSetup {
    let agent = Arc::make_mut(&mut setup.agent);
    agent.filler = Some(voice(FILLER, FILLER_MS));
    agent.answer_within = Duration::from_secs(8);
    setup
}

/// Milliseconds of filler the caller has heard.
fn filler_heard(rig: &Rig) -> u64 {
    rig.phone.heard_ms(FILLER, rig.now)
}

/// Says something and waits for the answer.
fn take_turn(rig: &mut Rig) {
    rig.event(speech_started());
    rig.pass(500);
    rig.event(speech_stopped());
}

#[test]
fn a_caller_who_waits_for_the_first_word_hears_filler_after_two_seconds() {
    let mut rig = Rig::new(filled(setup_greeting("Greet.")));
    rig.media();
    rig.pass(1_999);
    assert_eq!(filler_heard(&rig), 0);
    rig.pass(2_500);
    let heard = filler_heard(&rig);
    assert!(heard >= 2_300, "over and over: {heard} ms");
    assert_eq!(rig.take_of(&["turn", "first_agent_audio"]), [] as [&str; 0]);
    // The session comes at last: the greeting is still due, and takes the place of the filler at once.
    rig.ready();
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1 `Greet.`"]);
    rig.answers("resp_1", "item_1", 7, 1_000);
    let filler_until = filler_heard(&rig);
    rig.pass(1_500);
    assert_eq!(
        filler_heard(&rig),
        filler_until,
        "not a word of filler after the first of the agent"
    );
    assert_eq!(rig.phone.heard_ms(7, rig.now), 1_000);
    assert_eq!(
        rig.take_of(&[
            "clear",
            "turn",
            "first_agent_audio",
            "truncate",
            "delete",
            "interrupted"
        ]),
        ["clear", "first_agent_audio", "turn agent item_1 heard=1000"]
    );
}

#[test]
fn filler_is_heard_while_a_lost_model_is_dialled_again_and_never_told() {
    let mut rig = Rig::live(filled(setup()));
    rig.event(caller_words("item_0", "Do you have time today?"));
    take_turn(&mut rig);
    rig.event(model_closed(None));
    rig.pass(4_000);
    assert!(filler_heard(&rig) >= 1_500, "{}", filler_heard(&rig));
    rig.ready();
    let told = rig.take_of(&["tell"]);
    assert_eq!(told.len(), 1);
    rig.answers("resp_2", "item_2", 8, 600);
    rig.pass(2_000);
    assert_eq!(rig.phone.heard_ms(8, rig.now), 600);
    let turns = rig.call.detail(rig.now).turns;
    let items: Vec<_> = turns.iter().map(|turn| turn.item.to_string()).collect();
    assert_eq!(items, ["item_0", "item_2"], "filler is nobody's turn");
    let books = rig.call.detail(rig.now).playback;
    assert_eq!(books.heard + books.flushed, books.sent, "{books:?}");
}

#[test]
fn a_caller_who_is_owed_nothing_hears_no_filler() {
    let mut rig = Rig::live(filled(setup()));
    rig.pass(60_000);
    assert_eq!(filler_heard(&rig), 0, "the caller has the next word");
    let mut rig = Rig::live(filled(setup()));
    rig.event(speech_started());
    rig.pass(60_000);
    assert_eq!(filler_heard(&rig), 0, "the caller speaks");
    // An answer within two seconds of their last word, of which the server took half a second to be sure.
    let mut rig = Rig::live(filled(setup()));
    take_turn(&mut rig);
    rig.pass(1_490);
    rig.answers("resp_1", "item_1", 7, 1_000);
    rig.pass(5_000);
    assert_eq!(filler_heard(&rig), 0);
}

#[test]
fn filler_stops_when_the_caller_speaks_and_nobody_is_interrupted_by_that() {
    let mut rig = Rig::live(filled(setup()));
    take_turn(&mut rig);
    rig.pass(3_000);
    assert!(filler_heard(&rig) > 500);
    rig.take();
    rig.event(speech_started());
    assert_eq!(
        rig.take_of(&["clear", "interrupted", "truncate", "delete"]),
        ["clear"]
    );
    let heard = filler_heard(&rig);
    rig.pass(3_000);
    assert_eq!(filler_heard(&rig), heard);
}

#[test]
fn one_tool_after_another_is_one_wait() {
    let mut rig = Rig::live(filled(setup()));
    rig.answers("resp_0", "item_0", 7, 400);
    rig.pass(1_000);
    take_turn(&mut rig);
    let asked = rig.now;
    rig.event(caller_turn("item_1"));
    for (number, response) in (1..).zip(["resp_1", "resp_2", "resp_3", "resp_4"]) {
        rig.pass(150);
        rig.event(response_started(response));
        rig.event(tool_call_as(
            response,
            response,
            "lookup",
            &format!("{{\"n\":{number}}}"),
        ));
        rig.event(done_with_tools(response, 1));
        rig.pass(600);
        rig.event(tool_finished(number, ToolResult::Ok, "{}"));
    }
    let waited = rig.now.since(asked);
    assert_eq!(waited, Duration::from_millis(3_000));
    let heard = filler_heard(&rig);
    assert!(heard >= 900, "{heard} ms of filler in a wait of {waited:?}");
}

#[test]
fn a_goodbye_is_not_filled() {
    let mut rig = Rig::live(filled(setup()));
    take_turn(&mut rig);
    rig.pass(3_000);
    rig.event(response_started("resp_1"));
    rig.event(tool_call("resp_1", END_CALL, true));
    rig.event(delta("resp_1", "item_1", voice(7, 400)));
    rig.event(response_done("resp_1"));
    rig.pass_until_over(20_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped agent_hung_up"]);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 400);
}

#[test]
fn filler_goes_on_after_a_fault_in_a_step() {
    for keep in [true, false] {
        let mut rig = Rig::live(filled(setup()));
        take_turn(&mut rig);
        rig.pass(3_000);
        let before = filler_heard(&rig);
        rig.rebuild(keep);
        rig.pass(4_000);
        assert!(filler_heard(&rig) >= before + 1_000, "keep {keep}");
        rig.answers("resp_1", "item_1", 7, 500);
        rig.pass(1_000);
        assert_eq!(rig.phone.heard_ms(7, rig.now), 500, "keep {keep}");
    }
}

#[test]
fn a_model_that_says_nothing_is_asked_again_then_replaced_then_given_up_within_sixteen_seconds() {
    let mut rig = Rig::live(filled(setup()));
    rig.obliging = true;
    rig.event(caller_words("item_0", "Hello?"));
    take_turn(&mut rig);
    let since = rig.now;
    rig.take();
    rig.pass(7_999);
    assert_eq!(
        rig.take_of(&["respond", "lost", "stopped"]),
        [] as [&str; 0]
    );
    rig.pass(1);
    assert_eq!(
        rig.take_of(&["respond", "lost", "stopped"]),
        ["respond respond-1"]
    );
    rig.pass(3_000);
    assert_eq!(
        rig.take_of(&["respond", "lost", "stopped"]),
        ["lost silent redial=true"]
    );
    rig.pass_until_over(10_000);
    assert_eq!(
        rig.take_of(&["dial", "tell", "respond", "lost", "stopped"]),
        [
            "dial",
            "tell system `Caller: Hello?`",
            "respond respond-1",
            "stopped model_silent"
        ]
    );
    let took = rig.now.since(since);
    assert!(took <= Duration::from_secs(16), "{took:?}");
    let silent = took - Duration::from_millis(filler_heard(&rig));
    assert!(
        silent <= FILLER_AFTER + Duration::from_secs(1),
        "{silent:?} without a sound"
    );
    println!("model silent after a turn: given up {took:?} after it, bar 16 s");
}

#[test]
fn a_response_that_began_and_says_nothing_is_cancelled_and_asked_for_again() {
    let mut rig = Rig::live(filled(setup()));
    take_turn(&mut rig);
    rig.event(response_started("resp_1"));
    rig.take();
    rig.pass(8_000);
    assert_eq!(rig.take_of(&["cancel", "respond"]), ["cancel resp_1"]);
    rig.event(crate::common::events::done_as(
        "resp_1",
        call_protocol::model::event::ResponseStatus::Cancelled,
        0,
    ));
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
    rig.answers("resp_2", "item_2", 8, 600);
    rig.pass(30_000);
    assert_eq!(rig.phone.heard_ms(8, rig.now), 600);
    assert!(!rig.call.is_over());
}

#[test]
fn an_answer_makes_up_for_the_silence_before_it() {
    let mut rig = Rig::live(filled(setup()));
    for n in 1..=5u8 {
        take_turn(&mut rig);
        rig.pass(8_500);
        rig.answers(&format!("resp_{n}"), &format!("item_{n}"), n, 300);
        rig.pass(2_000);
    }
    assert_eq!(
        rig.take_of(&["lost", "stopped"]),
        [] as [&str; 0],
        "late is not lost"
    );
}

#[test]
fn a_wait_the_server_named_is_not_silence() {
    let mut rig = Rig::live(filled(setup()));
    take_turn(&mut rig);
    rig.pass(1_000);
    rig.event(response_started("resp_1"));
    let limit = crate::common::events::complaint("rate_limit_exceeded", "try again in 7.5s", None);
    rig.event(crate::common::events::failed("resp_1", limit));
    rig.take();
    rig.pass(7_400);
    assert_eq!(rig.take_of(&["respond", "lost"]), [] as [&str; 0]);
    rig.pass(2_000);
    assert_eq!(rig.take_of(&["respond", "lost"]), ["respond respond-1"]);
    assert!(
        filler_heard(&rig) > 4_000,
        "and the caller hears filler meanwhile"
    );
}

#[test]
fn audio_is_back_within_a_second_and_a_half_of_the_models_return() {
    let mut rig = Rig::live(filled(setup()));
    rig.event(caller_words("item_0", "Hello?"));
    take_turn(&mut rig);
    rig.event(model_closed(None));
    rig.pass(3_500);
    rig.event(opened());
    rig.pass(50);
    rig.event(configured());
    let back = rig.now;
    rig.later(600, response_started("resp_2"));
    rig.later(600, delta("resp_2", "item_2", voice(9, 400)));
    rig.pass(700);
    let first: Time = (0..)
        .map(Time::from_millis)
        .find(|at| rig.phone.heard_ms(9, *at) > 0)
        .unwrap_or_default();
    let took = first.since(back);
    assert!(
        took <= Duration::from_millis(650),
        "the model took 600 ms of it: {took:?}"
    );
}

#[test]
fn a_caller_whom_a_stuck_session_may_not_have_heard_gets_filler_at_once() {
    let mut rig = Rig::live(filled(setup()));
    rig.answers("resp_1", "item_1", 7, 400);
    rig.pass(3_000);
    // The caller may have spoken, and waited for as long as it took to find the session dead.
    rig.event(model(ModelEvent::Unresponsive));
    rig.pass(100);
    assert!(filler_heard(&rig) > 0, "{}", filler_heard(&rig));
    // A session that says goodbye was listening to the last.
    let mut rig = Rig::live(filled(setup()));
    rig.answers("resp_1", "item_1", 7, 400);
    rig.pass(3_000);
    rig.event(model_closed(None));
    rig.pass(1_900);
    assert_eq!(filler_heard(&rig), 0);
}

#[test]
fn what_the_caller_said_to_a_server_that_was_gone_already_is_asked_for_again() {
    /// A server that says nothing more for `quiet_ms`, the caller's sounds in the middle of it, and its socket's end.
    fn lost(sound: u8, sound_ms: u64, quiet_ms: u64) -> Rig {
        let mut rig = Rig::live(filled(setup()));
        rig.answers("resp_1", "item_1", 7, 400);
        rig.pass(3_000);
        rig.take();
        rig.caller_sends(Some(sound));
        rig.pass(sound_ms);
        rig.caller_sends(Some(SILENCE));
        rig.pass(400);
        rig.event(model_closed_after(None, quiet_ms));
        rig.pass(1_000);
        rig.event(opened());
        rig.pass(50);
        rig.event(configured());
        rig
    }
    let is_asked = |mut rig: Rig| {
        let told = rig.take_of(&["tell", "respond"]);
        let asked = told.iter().any(|line| line.starts_with("respond"));
        let asks_again = told[0].contains("you could not hear the caller");
        assert_eq!(asked, asks_again, "{told:?}");
        (asked, filler_heard(&rig) > 0)
    };
    let loud = encode_sample(4_000);
    assert_eq!(is_asked(lost(loud, 600, 1_500)), (true, true));
    assert_eq!(
        is_asked(lost(loud, 600, 300)),
        (false, false),
        "it has heard that and found no speech"
    );
    assert_eq!(is_asked(lost(loud, 200, 1_500)), (false, false), "a cough");
    let noise = encode_sample(300);
    assert_eq!(is_asked(lost(noise, 600, 1_500)), (false, false));
}
