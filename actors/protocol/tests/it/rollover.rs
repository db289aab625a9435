//! Sessions end after an hour, calls do not: the next one is opened before, told the conversation, and taken between
//! two turns.

use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    audio_done, caller_turn, caller_words, delta, model, model_closed, opened, response_done,
    response_started, setup, speech_started, speech_stopped, standby, voice,
};
use crate::common::rig::{Rig, audio_of};
use crate::common::short::Of;
use call_protocol::call::CallSetup;
use call_protocol::call::effect::Effect;
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::{ModelEvent, Refusal};
use call_protocol::time::Time;

const HOUR_S: u64 = 3_600;

/// A call that lasts all day.
fn long_call() -> CallSetup {
    let mut setup = setup();
    setup.max_length = Duration::from_secs(24 * 3_600);
    Arc::make_mut(&mut setup.agent).longest_monologue = setup.max_length;
    setup
}

/// A call whose sessions live this many seconds, the first of them ready, the caller there.
fn rig_with_sessions_of(seconds: u64) -> Rig {
    let mut rig = Rig::new(long_call());
    rig.lifetime = Some(seconds);
    rig.event(opened());
    let info = rig.configured_at(rig.now);
    rig.event(model(info));
    rig.obliging = true;
    rig.media();
    rig.take();
    rig
}

/// The same with sessions of an hour; the next one has come to wait while the caller speaks.
fn speaking_while_the_next_one_waits() -> Rig {
    let mut rig = rig_with_sessions_of(HOUR_S);
    rig.pass(55 * 60_000 - 500);
    rig.event(speech_started());
    rig.pass(2_000);
    rig
}

/// One turn of each side, ten seconds in all.
fn talk(rig: &mut Rig, n: u64) {
    let (caller, response, item) = (format!("c{n}"), format!("resp_{n}"), format!("item_{n}"));
    rig.event(speech_started());
    rig.pass(1_000);
    rig.event(speech_stopped());
    rig.event(caller_turn(&caller));
    rig.event(caller_words(&caller, &format!("Question {n}.")));
    rig.pass(400);
    rig.answers(&response, &item, (n % 200) as u8 + 1, 2_000);
    rig.pass(8_600);
}

/// How long no audio of the caller reached any session, at the longest, and how much of it reached none at all.
fn longest_gap(rig: &Rig) -> Duration {
    let mut last: Option<Time> = None;
    let mut longest = Duration::ZERO;
    for (at, effect) in &rig.log {
        if let Effect::ToModel(_, ModelCommand::Append(_)) = effect {
            longest = longest.max(last.map_or(Duration::ZERO, |last| at.since(last)));
            last = Some(*at);
        }
    }
    longest
}

#[test]
fn the_next_session_is_opened_five_minutes_before_the_end_and_told_the_conversation() {
    let mut rig = rig_with_sessions_of(HOUR_S);
    talk(&mut rig, 1);
    rig.pass(55 * 60_000 - 10_000 - 1_000);
    assert_eq!(rig.take_of(&["dial_standby"]), [] as [&str; 0]);
    // The old one talks meanwhile.
    rig.event(speech_started());
    rig.pass(1_100);
    assert_eq!(
        rig.take_of(&["dial_standby", "standby", "take_standby", "dial"]),
        [
            "dial_standby",
            "standby configure configure-2",
            "standby tell system `Caller: Question 1.`"
        ]
    );
    rig.event(speech_stopped());
    rig.event(caller_words("c2", "And tomorrow?"));
    rig.pass(400);
    rig.answers("resp_2", "item_2", 2, 2_000);
    rig.pass(1_000);
    assert_eq!(
        rig.take_of(&["take_standby"]),
        [] as [&str; 0],
        "an answer is being heard"
    );
    rig.pass(3_000);
    assert_eq!(
        rig.take_of(&[
            "take_standby",
            "rolled_over",
            "tell",
            "respond",
            "lost",
            "clear"
        ]),
        [
            "take_standby",
            "rolled_over ok",
            "tell system `Caller: And tomorrow?`"
        ]
    );
}

#[test]
fn three_rollovers_in_a_row_are_inaudible() {
    let mut rig = rig_with_sessions_of(HOUR_S);
    let mut n = 0;
    while rig.now < Time::from_millis(220 * 60_000) {
        n += 1;
        talk(&mut rig, n);
    }
    let taken: Vec<Time> = rig
        .shorts()
        .filter(|(_, effect)| effect == "take_standby")
        .map(|(at, _)| at)
        .collect();
    assert_eq!(taken.len(), 3, "{taken:?}");
    for (nth, at) in (1..).zip(&taken) {
        let before_end = Duration::from_secs(HOUR_S) * nth - at.since(Time::ZERO);
        assert!(
            before_end >= Duration::from_secs(60),
            "{before_end:?} before the end"
        );
    }
    let gap = longest_gap(&rig);
    assert!(gap <= Duration::from_millis(300), "{gap:?}");
    assert_eq!(
        rig.take_of(&["lost", "clear", "interrupted", "caller_dropped"]),
        [] as [&str; 0]
    );
    let frames = rig.call.snapshot(rig.now).frames;
    assert_eq!(frames.dropped, 0);
    // Every answer was heard to its end.
    let whole = rig
        .call
        .detail(rig.now)
        .turns
        .iter()
        .filter(|turn| turn.cut)
        .count();
    assert_eq!(whole, 0);
    println!(
        "3 rollovers in {n} turns over 220 min: longest gap of caller audio {gap:?}, bar 300 ms; answers cut 0"
    );
}

#[test]
fn a_session_that_does_not_say_when_it_ends_is_followed_after_fifty_five_minutes() {
    let mut rig = Rig::live(long_call());
    rig.pass(55 * 60_000 - 1_000);
    assert_eq!(rig.take_of(&["dial_standby"]), [] as [&str; 0]);
    rig.pass(2_000);
    assert_eq!(rig.take_of(&["dial_standby"]), ["dial_standby"]);
}

#[test]
fn a_clock_that_is_wrong_by_hours_is_not_believed() {
    let mut rig = Rig::new(long_call());
    rig.event(opened());
    rig.lifetime = Some(0);
    let info = rig.configured_at(rig.now);
    rig.event(model(info));
    rig.media();
    rig.pass(60_000);
    assert_eq!(rig.take_of(&["dial_standby"]), [] as [&str; 0]);
}

#[test]
fn the_last_moment_does_not_wait_for_a_pause() {
    let mut rig = rig_with_sessions_of(120);
    rig.pass(61_000);
    rig.take();
    // Never a pause from the opening of the next session on: here it is opened while the caller speaks.
    let mut rig = rig_with_sessions_of(120);
    rig.pass(59_000);
    rig.event(speech_started());
    rig.caller_sends(Some(0x55));
    rig.pass(45_900);
    assert_eq!(rig.take_of(&["take_standby"]), [] as [&str; 0]);
    rig.pass(200);
    assert_eq!(
        rig.take_of(&["take_standby", "rolled_over"]),
        ["take_standby", "rolled_over forced"]
    );
    // The caller's sentence is told again from its beginning, as far as it is kept.
    let before = rig.appended().0.len();
    rig.pass(4_000);
    let (audio, _) = rig.appended();
    assert!(
        audio.len() - before >= 8 * 8_000,
        "{} ms",
        (audio.len() - before) / 8
    );
    assert!(longest_gap(&rig) <= Duration::from_millis(300));
}

#[test]
fn an_answer_that_is_cut_by_the_last_moment_is_owed_by_the_next_session() {
    let mut rig = rig_with_sessions_of(120);
    rig.pass(59_000);
    rig.event(speech_started());
    rig.pass(45_000);
    rig.event(speech_stopped());
    rig.event(caller_words("c1", "Tell me everything."));
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(5, 600)));
    rig.pass(1_100);
    assert_eq!(
        rig.take_of(&["take_standby", "rolled_over", "respond"]),
        ["take_standby", "rolled_over forced", "respond respond-1"]
    );
    // The caller interrupts what the old session said: the new one knows nothing of it.
    let mut rig2 = rig_with_sessions_of(120);
    rig2.pass(59_000);
    rig2.event(speech_started());
    rig2.pass(45_000);
    rig2.event(speech_stopped());
    rig2.event(response_started("resp_1"));
    rig2.pass(900);
    rig2.event(delta("resp_1", "item_1", voice(5, 3_000)));
    rig2.pass(200);
    assert_eq!(rig2.take_of(&["take_standby"]), ["take_standby"]);
    rig2.event(speech_started());
    assert_eq!(rig2.take_of(&["clear", "truncate", "delete"]), ["clear"]);
}

#[test]
fn what_is_said_in_the_moment_of_the_change_reaches_the_next_session() {
    let mut rig = rig_with_sessions_of(120);
    rig.pass(59_000);
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 200)));
    rig.event(audio_done("resp_1", "item_1"));
    rig.pass(2_000);
    let mut tag = 0;
    for _ in 0..50 {
        tag += 1;
        rig.event(crate::common::events::frame(tag));
    }
    rig.take();
    rig.event(response_done("resp_1"));
    let switched = rig.of.iter().rposition(|of| *of == Of::Replaced);
    rig.pass(500);
    let mut after = Vec::new();
    for (_, effect) in &rig.log[switched.unwrap()..] {
        if let Effect::ToModel(_, ModelCommand::Append(payload)) = effect {
            after.extend(audio_of(payload));
        }
    }
    assert_eq!(
        after[0], 26,
        "the last half second again: 25 frames of the 50"
    );
    assert_eq!(after[25 * 160 - 1], 50);
}

#[test]
fn a_next_session_that_cannot_be_had_is_tried_again_and_then_the_loss_is_one_like_any_other() {
    let mut rig = rig_with_sessions_of(HOUR_S);
    rig.obliging = false;
    rig.pass(55 * 60_000 + 1_000);
    let mut attempts = rig.take_of(&["dial_standby"]).len();
    for _ in 0..40 {
        rig.event(standby(ModelEvent::Refused(Refusal::Status(503))));
        rig.pass(6_000);
        attempts += rig.take_of(&["dial_standby"]).len();
    }
    assert!(
        (4..=10).contains(&attempts),
        "{attempts} attempts in four minutes"
    );
    assert!(!rig.call.is_over());
    rig.event(model_closed(Some(1_001)));
    assert_eq!(
        rig.take_of(&["lost", "stopped"]),
        ["lost session_over redial=true"]
    );
    rig.obliging = true;
    rig.pass(2_000);
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
}

#[test]
fn a_refusal_for_good_is_not_tried_again_and_ends_no_call_that_has_a_session() {
    let mut rig = rig_with_sessions_of(HOUR_S);
    rig.obliging = false;
    rig.pass(55 * 60_000 + 1_000);
    rig.take();
    rig.event(standby(ModelEvent::Refused(Refusal::Status(401))));
    rig.pass(4 * 60_000);
    assert_eq!(rig.take_of(&["dial_standby", "stopped"]), [] as [&str; 0]);
}

#[test]
fn a_session_lost_while_the_next_one_waits_is_replaced_at_once() {
    let mut rig = speaking_while_the_next_one_waits();
    rig.event(speech_stopped());
    rig.event(caller_words("c1", "Hello?"));
    rig.event(response_started("resp_1"));
    rig.take();
    rig.event(model_closed(None));
    assert_eq!(
        rig.take_of(&["take_standby", "rolled_over", "lost", "dial", "respond"]),
        ["take_standby", "rolled_over rescued", "respond respond-1"]
    );
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
}

#[test]
fn a_session_that_was_stuck_while_the_next_one_waits_is_replaced_by_one_that_knows() {
    let mut rig = speaking_while_the_next_one_waits();
    rig.take();
    rig.event(model(ModelEvent::Unresponsive));
    let told = rig.take_of(&["take_standby", "tell", "respond"]);
    let last = told.len() - 2;
    assert_eq!(
        (told[0].as_str(), told[last + 1].as_str()),
        ("take_standby", "respond respond-1")
    );
    assert!(told[last].contains("could not hear the caller"), "{told:?}");
    // Another loss, much later, is one like any other.
    rig.event(speech_stopped());
    rig.answers("resp_1", "item_1", 7, 400);
    rig.pass(10_000);
    rig.take();
    rig.event(model_closed(None));
    rig.pass(2_000);
    let told = rig.take_of(&["tell"]);
    assert!(!told.concat().contains("could not hear"), "{told:?}");
}

#[test]
fn a_call_that_ends_lets_go_of_both_sessions() {
    let mut rig = rig_with_sessions_of(HOUR_S);
    rig.event(speech_started());
    rig.pass(55 * 60_000 + 2_000);
    rig.take();
    rig.event(crate::common::events::stop());
    assert_eq!(
        rig.take_of(&["close_standby", "close_model", "close_phone", "stopped"]),
        [
            "close_standby",
            "close_model",
            "close_phone 1000",
            "stopped caller_hung_up"
        ]
    );
    rig.event(standby(ModelEvent::Opened));
    assert!(rig.take().is_empty());
}

#[test]
fn a_fault_in_a_step_forgets_nothing_of_it() {
    for at in [54 * 60_000, 55 * 60_000 + 10, 55 * 60_000 + 2_000] {
        let mut rig = rig_with_sessions_of(HOUR_S);
        rig.event(speech_started());
        rig.pass(at);
        rig.rebuild(true);
        rig.pass(60 * 60_000 - at - 16_000);
        rig.event(speech_stopped());
        rig.answers("resp_1", "item_1", 1, 500);
        rig.pass(3_000);
        assert_eq!(
            rig.take_of(&["rolled_over", "lost"]),
            ["rolled_over ok"],
            "{at}"
        );
    }
}
