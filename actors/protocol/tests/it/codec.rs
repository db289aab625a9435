//! The model's audio is not what was asked for: it is found out, transcoded and counted, and never played as it is.

use std::f64::consts::PI;

use crate::common::events::{
    audio_done, complaint, delta, error, model, opened, response_done, response_started,
    response_started_as, session, session_created, setup, speech_started, start_of,
};
use crate::common::rig::Rig;
use call_protocol::audio::payload::Payload;
use call_protocol::audio::{AudioFormat, decode_sample, encode_sample};
use call_protocol::call::effect::Peer;
use call_protocol::model::event::{ModelEvent, SessionInfo};

/// Speech-like linear audio at 24 kHz: a voice of 140 Hz that rises and falls.
fn linear(ms: usize) -> Vec<u8> {
    (0..24 * ms)
        .flat_map(|n| (sample(n as f64 / 24_000.0) as i16).to_le_bytes())
        .collect()
}

fn mulaw(ms: usize) -> Vec<u8> {
    (0..8 * ms)
        .map(|n| encode_sample(sample(n as f64 / 8_000.0) as i16))
        .collect()
}

fn sample(seconds: f64) -> f64 {
    let swell = (PI * (seconds * 3.0).fract()).sin();
    let voice: f64 = (1..8)
        .map(|k| (2.0 * PI * 140.0 * f64::from(k) * seconds).sin() / f64::from(k))
        .sum();
    voice * swell * 7_000.0
}

/// The model sends this audio in stretches of so many bytes, as one answer.
fn answers_with(rig: &mut Rig, response: &str, item: &str, audio: &[u8], stretch: usize) {
    rig.event(response_started(response));
    for piece in audio.chunks(stretch) {
        rig.event(delta(response, item, Payload::from_audio(piece)));
    }
    rig.event(audio_done(response, item));
    rig.event(response_done(response));
}

/// How far what was heard is from what was said, as a share of its level. The filter delays by a millisecond.
fn distortion(heard: &[u8], said: &[u8]) -> f64 {
    let samples = |audio: &[u8]| -> Vec<f64> {
        audio
            .iter()
            .map(|byte| f64::from(decode_sample(*byte)))
            .collect()
    };
    let (heard, said) = (samples(heard), samples(said));
    let level: f64 = said.iter().map(|sample| sample * sample).sum();
    (0..20)
        .map(|delay| {
            let pairs = heard[delay..].iter().zip(&said);
            let error: f64 = pairs.map(|(heard, said)| (heard - said).powi(2)).sum();
            (error / level).sqrt()
        })
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn what_was_asked_for_is_passed_on_byte_for_byte() {
    for stretch in [160, 333, 800, 1_600, 9_999] {
        let mut rig = Rig::live(setup());
        answers_with(&mut rig, "resp_1", "item_1", &mulaw(2_000), stretch);
        rig.pass(3_000);
        assert_eq!(rig.played(), mulaw(2_000), "in stretches of {stretch}");
        assert!(!rig.call.detail(rig.now).transcoding);
        assert_eq!(rig.call.violations(Peer::Model, "wrong_format"), 0);
    }
}

#[test]
fn undeclared_linear_audio_is_found_out_before_a_byte_of_it_is_played() {
    for stretch in [480, 777, 4_800, 9_600, 96_000] {
        let mut rig = Rig::live(setup());
        answers_with(&mut rig, "resp_1", "item_1", &linear(2_000), stretch);
        rig.pass(3_000);
        assert_eq!(
            rig.take_of(&["violation", "transcoding"]),
            ["violation model:wrong_format", "transcoding"],
            "said once"
        );
        let heard = rig.phone.heard(rig.now);
        assert_eq!(heard.len(), 16_000);
        let distortion = distortion(&heard, &mulaw(2_000));
        assert!(distortion < 0.15, "{distortion} in stretches of {stretch}");
    }
}

#[test]
fn linear_audio_that_begins_with_silence_is_not_played_as_a_bang() {
    for silence in [vec![0u8; 4_801], [1, 0, 255, 255, 0, 0].repeat(700)] {
        let mut rig = Rig::live(setup());
        let mut audio = silence;
        // The sample that begins in the silence ends in it.
        audio.resize(audio.len().next_multiple_of(2), 0);
        audio.extend(linear(1_000));
        answers_with(&mut rig, "resp_1", "item_1", &audio, 961);
        rig.pass(3_000);
        assert!(rig.call.detail(rig.now).transcoding);
        let heard = rig.phone.heard(rig.now);
        let first: Vec<i16> = heard[..60]
            .iter()
            .map(|byte| decode_sample(*byte))
            .collect();
        assert!(first.iter().all(|sample| sample.abs() < 1_000), "{first:?}");
        let voice = &heard[heard.len() - 8_000..];
        let distortion = distortion(voice, &mulaw(1_000));
        assert!(distortion < 0.2, "{distortion}");
    }
}

#[test]
fn linear_audio_declared_with_the_response_is_transcoded_from_its_first_byte() {
    let mut rig = Rig::live(setup());
    rig.event(response_started_as("resp_1", Some(AudioFormat::Pcm24k)));
    rig.event(delta("resp_1", "item_1", Payload::from_audio(&linear(10))));
    rig.event(audio_done("resp_1", "item_1"));
    rig.event(response_done("resp_1"));
    rig.pass(500);
    assert_eq!(rig.played().len(), 80);
    assert!(!rig.call.is_over());
    rig.event(response_started_as("resp_2", Some(AudioFormat::Pcm24k)));
    assert_eq!(rig.call.violations(Peer::Model, "wrong_format"), 1);
}

#[test]
fn a_server_that_insists_on_linear_audio_is_taken_as_it_is() {
    let linear_out = || {
        model(ModelEvent::SessionConfigured(SessionInfo {
            output: Some(AudioFormat::Pcm24k),
            ..session(AudioFormat::Mulaw)
        }))
    };
    let mut rig = Rig::new(setup());
    rig.media();
    rig.event(opened());
    rig.event(session_created());
    rig.event(linear_out());
    assert_eq!(
        rig.take_of(&["configure", "ready"]),
        [
            "configure configure-1",
            "configure configure-1-least (least)"
        ],
        "asked once more"
    );
    rig.event(linear_out());
    assert_eq!(
        rig.take_of(&["ready", "transcoding"]),
        ["transcoding", "ready again=false"]
    );
    rig.event(linear_out());
    assert!(rig.take_of(&["lost"]).is_empty(), "it is known by now");
    answers_with(&mut rig, "resp_1", "item_1", &linear(1_000), 4_800);
    rig.pass(2_000);
    let distortion = distortion(&rig.phone.heard(rig.now), &mulaw(1_000));
    assert!(distortion < 0.15, "{distortion}");
}

#[test]
fn a_server_that_hears_something_else_than_mulaw_is_not_talked_to() {
    let mut rig = Rig::new(setup());
    rig.media();
    rig.event(opened());
    for _ in 0..2 {
        rig.event(model(ModelEvent::SessionConfigured(SessionInfo {
            input: Some(AudioFormat::Pcm24k),
            ..session(AudioFormat::Mulaw)
        })));
    }
    assert!(rig.take_of(&["append", "ready"]).is_empty());
    assert_eq!(rig.call.violations(Peer::Model, "wrong_format"), 2);
}

#[test]
fn an_interruption_does_not_turn_the_next_answer_into_noise() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    // An odd number of bytes: half a sample stays behind.
    let cut = &linear(1_000)[..33_333];
    rig.event(delta("resp_1", "item_1", Payload::from_audio(cut)));
    rig.pass(300);
    rig.event(speech_started());
    let before = rig.played().len();
    answers_with(&mut rig, "resp_2", "item_2", &linear(1_000), 3_333);
    rig.pass(2_000);
    let heard = rig.played()[before..].to_vec();
    assert_eq!(heard.len(), 8_000);
    let distortion = distortion(&heard, &mulaw(1_000));
    assert!(distortion < 0.15, "{distortion}");
}

#[test]
fn positions_are_those_of_what_the_caller_hears() {
    let mut rig = Rig::live(setup());
    answers_with(&mut rig, "resp_1", "item_1", &linear(3_000), 9_600);
    rig.pass(1_200);
    rig.take();
    rig.event(speech_started());
    assert_eq!(rig.take_of(&["truncate"]), ["truncate item_1/0 1200"]);
}

#[test]
fn another_session_is_judged_anew() {
    let mut rig = Rig::live(setup());
    answers_with(&mut rig, "resp_1", "item_1", &linear(500), 4_800);
    rig.pass(1_000);
    assert!(rig.call.detail(rig.now).transcoding);
    rig.event(error(complaint("session_expired", "", None)));
    rig.obliging = true;
    rig.pass(1_000);
    let before = rig.played().len();
    answers_with(&mut rig, "resp_1", "item_2", &mulaw(500), 1_600);
    rig.pass(1_000);
    assert_eq!(rig.played()[before..], mulaw(500));
    assert!(!rig.call.detail(rig.now).transcoding);
}

#[test]
fn a_word_too_short_to_judge_is_played_when_it_is_over() {
    for said_to_be_over in [true, false] {
        let mut rig = Rig::live(setup());
        rig.event(response_started("resp_1"));
        rig.event(delta("resp_1", "item_1", Payload::from_audio(&mulaw(60))));
        assert!(rig.played().is_empty());
        if said_to_be_over {
            rig.event(audio_done("resp_1", "item_1"));
        }
        rig.event(response_done("resp_1"));
        rig.pass(500);
        assert_eq!(rig.played(), mulaw(60));
        assert_eq!(rig.take_of(&["turn"]), ["turn agent item_1 heard=60"]);
    }
}

#[test]
fn a_stream_in_another_format_is_refused_in_words() {
    let mut rig = Rig::new(setup());
    rig.event(crate::common::events::connected());
    let mut start = crate::common::events::good_start();
    start.format.encoding = "audio/l16\n".to_owned();
    start.format.sample_rate = 16_000;
    rig.event(start_of(start));
    assert_eq!(
        rig.take_of(&["refused", "stopped"]),
        [
            r"refused the stream is audio/l16\n, 16000 Hz, 1 channels; only audio/x-mulaw, 8000 Hz, 1 channel is served",
            "stopped unsupported_format"
        ]
    );
}
