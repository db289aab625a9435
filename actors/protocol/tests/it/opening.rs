//! From the accepted socket to the first words: nothing is lost and nothing is sent too early.

use crate::common::events::{
    audio_done, configured, configured_as, connected, delta, frame, frame_on, model_closed, opened,
    response_done, response_started, session_created, setup, setup_greeting, setup_with, start,
    stream_sid, voice,
};
use crate::common::rig::Rig;
use call_protocol::audio::AudioFormat;
use call_protocol::call::Greeting;
use call_protocol::call::effect::Effect;
use call_protocol::model::preroll::KEPT_MS;

#[test]
fn the_model_is_dialled_before_twilio_has_said_anything() {
    let mut rig = Rig::new(setup());
    assert_eq!(rig.take(), ["dial"]);
}

#[test]
fn early_model_audio_is_held_and_leaves_in_order_with_start() {
    let mut rig = Rig::new(setup());
    rig.ready();
    rig.event(response_started("resp_1"));
    let mut said = Vec::new();
    for tag in 1..=10 {
        rig.event(delta("resp_1", "item_1", voice(tag, 50)));
        said.extend([tag; 400]);
    }
    rig.event(audio_done("resp_1", "item_1"));
    rig.event(response_done("resp_1"));
    rig.event(connected());
    rig.pass(100);
    assert!(rig.played().is_empty(), "there is no stream to send it on");
    rig.event(start());
    rig.caller_sends(Some(0xFF));
    rig.pass(2_000);
    assert_eq!(rig.played(), said);
    assert_eq!(rig.phone.heard(rig.now), said);
}

#[test]
fn everything_sent_to_twilio_carries_the_stream_of_start() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 3_000);
    rig.pass(1_000);
    rig.event(crate::common::events::speech_started());
    rig.pass(1_000);
    let mut seen = [false; 3];
    for (_, effect) in &rig.log {
        let (place, stream) = match effect {
            Effect::Play { stream, .. } => (0, stream),
            Effect::Mark { stream, .. } => (1, stream),
            Effect::Clear { stream } => (2, stream),
            _ => continue,
        };
        seen[place] = true;
        assert_eq!(*stream, stream_sid());
    }
    assert_eq!(seen, [true; 3], "play, mark and clear were all met");
}

#[test]
fn model_audio_held_before_start_is_bounded_and_its_excess_counted() {
    let mut rig = Rig::new(setup());
    rig.ready();
    rig.event(response_started("resp_1"));
    for _ in 0..130 {
        rig.event(delta("resp_1", "item_1", voice(1, 1_000)));
    }
    let dropped = rig.take_of(&["agent_dropped"]);
    assert_eq!(dropped.len(), 10, "two minutes are kept");
    assert_eq!(dropped[0], "agent_dropped 8000 queue_full");
    assert_eq!(rig.call.snapshot(rig.now).frames.dropped, 500);
}

#[test]
fn the_callers_first_words_wait_for_the_session_and_arrive_in_order() {
    let mut rig = Rig::new(setup());
    rig.started();
    let mut spoken = Vec::new();
    for n in 0..200u8 {
        rig.event(frame(n));
        spoken.extend([n; 160]);
        rig.pass(20);
    }
    assert!(rig.appended().0.is_empty(), "no audio before configured");
    rig.ready();
    assert_eq!(rig.appended().0.len(), 300 * 8, "not in one burst");
    // The caller goes on talking while it is delivered.
    for n in 200..=250u8 {
        rig.event(frame(n));
        spoken.extend([n; 160]);
        rig.pass(20);
    }
    let behind = spoken.len() - rig.appended().0.len();
    assert!(
        (1_500 * 8..2_500 * 8).contains(&behind),
        "three times as fast: {behind} bytes to go"
    );
    rig.pass(1_000);
    let (mut delivered, _) = rig.appended();
    // The line is silent in the end, and the session is told so.
    assert!(
        delivered
            .split_off(spoken.len())
            .iter()
            .all(|byte| *byte == 0xFF)
    );
    assert!(delivered == spoken, "five seconds, whole and in order");
    let (_, before) = rig.appended();
    rig.event(frame(251));
    assert_eq!(rig.appended().1, before + 1, "live again");
}

#[test]
fn the_oldest_caller_audio_goes_first_and_is_counted() {
    let mut rig = Rig::new(setup());
    rig.started();
    let kept = KEPT_MS / 20;
    for n in 0..kept + 50 {
        rig.event(frame((n % 251) as u8));
    }
    let dropped = rig.take_of(&["caller_dropped"]);
    assert_eq!(dropped.len(), 50);
    assert_eq!(rig.call.snapshot(rig.now).frames.dropped, 50);
    rig.ready();
    rig.pass(2_000);
    let (delivered, _) = rig.appended();
    let kept = &delivered[..(KEPT_MS * 8) as usize];
    assert_eq!(kept[0], 50, "the first second is gone");
    assert_eq!(kept[kept.len() - 1], ((KEPT_MS / 20 + 49) % 251) as u8);
}

#[test]
fn the_configuration_is_the_first_thing_a_session_hears() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.media();
    rig.pass(100);
    rig.take();
    rig.event(opened());
    assert_eq!(rig.take(), ["dialled ok", "configure configure-1"]);
    rig.event(session_created());
    rig.pass(100);
    assert!(rig.take().is_empty(), "and until it is taken, the only one");
    rig.event(configured());
    let effects = rig.take();
    assert_eq!(
        effects[..2],
        ["ready again=false", "respond respond-1 `Greet.`"]
    );
    assert!(
        effects[2..]
            .iter()
            .all(|effect| effect.starts_with("append"))
    );
}

#[test]
fn a_session_that_would_speak_another_format_is_not_talked_to() {
    for format in [AudioFormat::Pcm24k, AudioFormat::Other] {
        let mut rig = Rig::new(setup());
        rig.media();
        rig.event(opened());
        rig.take();
        rig.event(configured_as(format));
        assert_eq!(
            rig.take(),
            [
                "violation model:wrong_format",
                "configure configure-1-least (least)"
            ]
        );
        rig.event(configured_as(format));
        assert!(rig.call.is_over(), "it does not do the least");
        assert!(rig.appended().0.is_empty());
    }
}

#[test]
fn a_greeting_is_asked_for_as_soon_as_the_session_is_ready() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1 `Greet.`"]);
    rig.media();
    rig.answers("resp_1", "item_1", 7, 1_000);
    rig.pass(1_500);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 1_000);
    assert!(rig.take_of(&["respond"]).is_empty(), "once");
}

#[test]
fn an_agent_that_waits_says_nothing_first() {
    let mut rig = Rig::new(setup());
    rig.ready();
    rig.media();
    rig.pass(4_000);
    assert!(rig.take_of(&["respond", "play"]).is_empty());
}

#[test]
fn a_greeting_nobody_heard_is_asked_for_again_after_a_reconnect() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    rig.media();
    rig.take();
    rig.event(model_closed(None));
    rig.obliging = true;
    rig.pass(1_000);
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1 `Greet.`"]);
}

#[test]
fn a_greeting_that_was_heard_is_not_asked_for_again() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    rig.media();
    rig.answers("resp_1", "item_1", 7, 600);
    rig.pass(2_000);
    rig.take();
    rig.event(model_closed(None));
    rig.obliging = true;
    rig.pass(1_000);
    assert!(rig.take_of(&["respond"]).is_empty());
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
}

#[test]
fn a_greeting_that_is_still_being_played_is_not_asked_for_again() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    rig.media();
    rig.answers("resp_1", "item_1", 7, 5_000);
    rig.pass(1_200);
    rig.take();
    rig.event(model_closed(None));
    rig.obliging = true;
    rig.pass(1_000);
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
    assert!(
        rig.phone.heard_ms(7, rig.now) < 5_000,
        "the greeting goes on playing"
    );
    assert!(rig.take_of(&["respond"]).is_empty());
}

#[test]
fn a_greeting_held_for_start_is_not_asked_for_again() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    rig.answers("resp_1", "item_1", 7, 1_000);
    rig.pass(500);
    rig.take();
    rig.event(model_closed(None));
    rig.obliging = true;
    rig.pass(1_000);
    assert!(rig.take_of(&["respond"]).is_empty(), "it will be heard yet");
    rig.media();
    rig.pass(1_500);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 1_000);
}

fn clip() -> Greeting {
    let text = "Welcome to the spa.".to_owned();
    let audio = voice(9, 1_000);
    Greeting::Clip { audio, text }
}

#[test]
fn a_clip_plays_at_start_whatever_the_model_does() {
    let mut rig = Rig::new(setup_with(clip(), true));
    rig.media();
    rig.pass(1_500);
    assert_eq!(rig.phone.heard_ms(9, rig.now), 1_000);
    assert_eq!(rig.take_of(&["turn"]), ["turn agent greeting heard=1000"]);
}

#[test]
fn the_model_is_told_of_a_clip_whichever_leg_is_first() {
    let told = "tell assistant `Welcome to the spa.`";
    let mut phone_first = Rig::new(setup_with(clip(), true));
    phone_first.media();
    phone_first.ready();
    assert_eq!(phone_first.take_of(&["tell", "respond"]), [told]);
    let mut model_first = Rig::new(setup_with(clip(), true));
    model_first.ready();
    assert!(
        model_first.take_of(&["tell", "respond"]).is_empty(),
        "not before it is played"
    );
    model_first.media();
    assert_eq!(model_first.take_of(&["tell", "respond"]), [told]);
}

#[test]
fn a_clip_the_caller_talks_over_stops_and_nothing_is_truncated_for_it() {
    let mut rig = Rig::new(setup_with(clip(), true));
    rig.media();
    rig.ready();
    rig.pass(300);
    rig.take();
    rig.event(crate::common::events::speech_started());
    let effects = rig.take_of(&["clear", "truncate", "delete", "turn"]);
    assert_eq!(effects, ["clear", "turn agent greeting heard=300 cut"]);
}

#[test]
fn a_frame_of_another_stream_does_not_open_the_conversation() {
    let mut rig = Rig::new(setup());
    rig.started();
    rig.ready();
    rig.take();
    for stream in [Some(crate::common::events::foreign_stream()), None] {
        rig.event(frame_on(stream, 1, None));
        assert_eq!(rig.take(), ["violation twilio:foreign_stream"]);
        assert_eq!(rig.call.state().label(), "start");
    }
    rig.event(frame(1));
    assert_eq!(rig.call.state().label(), "media");
}
