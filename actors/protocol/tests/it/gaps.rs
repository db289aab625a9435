//! Frames that do not come: filled with silence, so that the model can tell when a turn ends.

use crate::common::events::{configured, model_closed, opened, setup, stream_sid, voice};
use crate::common::rig::Rig;
use call_protocol::audio::SILENCE;
use call_protocol::call::event::Event;
use call_protocol::phone::event::{CallerAudio, PhoneEvent};

const VOICE: u8 = 42;

/// 20 ms of voice with Twilio's timestamp.
fn frame_at(timestamp_ms: u64) -> Event {
    Event::Phone(PhoneEvent::Audio(CallerAudio {
        stream: Some(stream_sid()),
        sequence: None,
        timestamp_ms: Some(timestamp_ms),
        payload: voice(VOICE, 20),
    }))
}

/// A call whose caller has sent a second of voice, the first frame stamped 57 ms.
fn speaking() -> Rig {
    let mut rig = Rig::new(setup());
    rig.ready();
    rig.started();
    for n in 0..50 {
        rig.event(frame_at(57 + n * 20));
        rig.pass(20);
    }
    rig
}

/// What was appended, as runs of voice and silence in milliseconds.
fn runs(rig: &Rig) -> Vec<(u8, usize)> {
    let mut runs: Vec<(u8, usize)> = Vec::new();
    for byte in rig.appended().0 {
        match runs.last_mut() {
            Some((last, bytes)) if *last == byte => *bytes += 1,
            _ => runs.push((byte, 1)),
        }
    }
    runs.into_iter()
        .map(|(byte, bytes)| (byte, bytes / 8))
        .collect()
}

#[test]
fn frames_in_step_are_passed_on_as_they_are() {
    let rig = speaking();
    assert_eq!(runs(&rig), [(VOICE, 1_000)]);
    assert_eq!(rig.call.detail(rig.now).filled_ms, 0);
}

#[test]
fn a_hole_in_the_timestamps_is_filled_with_silence_of_its_length() {
    let mut rig = speaking();
    for n in 0..50 {
        rig.event(frame_at(57 + 1_000 + 340 + n * 20));
        rig.pass(20);
    }
    assert_eq!(runs(&rig), [(VOICE, 1_000), (SILENCE, 340), (VOICE, 1_000)]);
    assert_eq!(rig.call.detail(rig.now).filled_ms, 340);
}

#[test]
fn frames_a_little_uneven_are_no_hole() {
    let mut rig = speaking();
    let mut at = 1_057;
    for step in [20, 19, 23, 18, 31, 20, 9, 45, 20] {
        rig.event(frame_at(at));
        rig.pass(20);
        at += step;
    }
    assert_eq!(rig.call.detail(rig.now).filled_ms, 0);
}

#[test]
fn a_line_that_falls_quiet_is_filled_as_time_passes() {
    let mut rig = speaking();
    // The last frame came 20 ms ago.
    rig.pass(729);
    assert_eq!(runs(&rig), [(VOICE, 1_000)]);
    rig.pass(1);
    assert_eq!(runs(&rig), [(VOICE, 1_000), (SILENCE, 1_000)]);
    rig.pass(2_000);
    assert_eq!(runs(&rig), [(VOICE, 1_000), (SILENCE, 3_000)]);
}

#[test]
fn what_was_filled_meanwhile_is_not_filled_again_when_the_line_is_back() {
    let mut rig = speaking();
    rig.pass(2_980);
    for n in 0..50 {
        rig.event(frame_at(57 + 1_000 + 3_000 + n * 20));
        rig.pass(20);
    }
    let runs = runs(&rig);
    assert_eq!(runs[1], (SILENCE, 3_000), "{runs:?}");
    assert_eq!(runs[2], (VOICE, 1_000));
}

#[test]
fn a_line_that_stays_quiet_for_five_seconds_is_lost() {
    let mut rig = speaking();
    rig.pass(4_979);
    assert!(!rig.call.is_over());
    rig.pass(1);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped phone_stalled"]);
}

#[test]
fn a_clock_gone_mad_fills_nothing() {
    for timestamp in [0, 3_600_000, u64::MAX - 1, u64::MAX] {
        let mut rig = speaking();
        rig.event(frame_at(timestamp));
        rig.event(frame_at(timestamp));
        rig.pass(20);
        assert_eq!(rig.call.detail(rig.now).filled_ms, 0, "{timestamp}");
        assert!(!rig.call.is_over());
    }
}

#[test]
fn a_frame_out_of_order_opens_no_hole() {
    let mut rig = speaking();
    for timestamp in [1_057, 1_077, 900, 1_097, 1_117] {
        rig.event(frame_at(timestamp));
        rig.pass(20);
    }
    assert_eq!(rig.call.detail(rig.now).filled_ms, 0);
}

#[test]
fn no_silence_is_sent_where_there_is_no_session() {
    let mut rig = speaking();
    rig.event(model_closed(None));
    let before = rig.appended().0.len();
    rig.pass(2_000);
    rig.event(frame_at(57 + 1_000 + 2_000));
    assert_eq!(rig.appended().0.len(), before);
    assert_eq!(rig.call.detail(rig.now).filled_ms, 0);
    rig.event(opened());
    rig.event(configured());
    assert_eq!(rig.appended().0[before..], [VOICE; 160]);
}
