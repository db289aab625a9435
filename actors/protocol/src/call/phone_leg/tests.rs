//! Every message in every state of the phone leg.

use super::*;
use crate::audio::payload::Payload;
use crate::phone::event::MediaFormat;

fn sid(last: char) -> StreamSid {
    StreamSid::parse(&format!("MZ{}", last.to_string().repeat(32))).expect("a SID")
}

fn call_sid(last: char) -> CallSid {
    CallSid::parse(&format!("CA{}", last.to_string().repeat(32))).expect("a SID")
}

fn start() -> StreamStart {
    StreamStart {
        stream: Some(sid('1')),
        call: Some(call_sid('2')),
        account: AccountSid::parse(&format!("AC{}", "3".repeat(32))),
        format: MediaFormat {
            encoding: "audio/x-mulaw".to_owned(),
            sample_rate: 8_000,
            channels: 1,
        },
        ..StreamStart::default()
    }
}

fn frame(stream: StreamSid, sequence: u64) -> CallerAudio {
    CallerAudio {
        stream: Some(stream),
        sequence: Some(sequence),
        timestamp_ms: None,
        payload: Payload::from_audio(&[0xFF; 160]),
    }
}

/// A leg in each state: accepted, connected, start, media, away, stop.
fn legs() -> [PhoneLeg; 6] {
    let mut legs: [PhoneLeg; 6] = Default::default();
    for (steps, leg) in legs.iter_mut().enumerate() {
        let now = Time::ZERO;
        if steps >= 1 {
            leg.connected();
        }
        if steps >= 2 {
            leg.begin(sid('1'), call_sid('2'), Playback::default(), now);
        }
        if steps >= 3 {
            leg.audio(&frame(sid('1'), 1), now).expect("audio of it");
        }
        if steps >= 4 {
            leg.lose(Time::from_millis(2_000), true);
        }
        if steps >= 5 {
            leg.end(EndReason::PhoneLost, now);
        }
    }
    legs
}

/// What each leg says to something.
fn all<T>(act: impl Fn(&mut PhoneLeg) -> T) -> [T; 6] {
    legs().map(|mut leg| act(&mut leg))
}

#[test]
fn connected_is_said_once_on_each_socket() {
    use Connected::{AfterStop, Again, First, InPlace};
    let said = all(PhoneLeg::connected);
    assert_eq!(said, [First, Again, Again, Again, InPlace, AfterStop]);
}

#[test]
fn a_start_is_followed_before_a_stream_and_in_the_place_of_a_lost_one() {
    let said = all(|leg| {
        leg.check_start(&start(), None, None)
            .map(|started| started.absence)
    });
    let absence = Some((Time::from_millis(2_000), true));
    let (second, over) = (Err(NoStart::Second), Err(NoStart::AfterStop));
    assert_eq!(
        said,
        [Ok(None), Ok(None), second, second, Ok(absence), over]
    );
}

#[test]
fn a_start_of_something_else_is_not_followed() {
    let mut bad = [start(), start(), start()];
    bad[0].stream = None;
    bad[1].call = Some(call_sid('9'));
    bad[2].format.sample_rate = 16_000;
    let unsupported = NoStart::UnsupportedFormat {
        is_foreign_account: true,
    };
    let expected = [NoStart::BadIdentifiers, NoStart::ForeignCall, unsupported];
    let ours = AccountSid::parse(&format!("AC{}", "4".repeat(32)));
    for (start, why) in bad.iter().zip(expected) {
        let call = Some(call_sid('2'));
        let checked = PhoneLeg::default().check_start(start, call, ours);
        assert_eq!(checked.map(|_| ()), Err(why));
    }
}

#[test]
fn audio_is_taken_on_its_stream_and_the_first_of_it_is_told() {
    let of = |stream| {
        all(|leg| {
            leg.audio(&frame(stream, 2), Time::ZERO)
                .map(|heard| heard.is_first)
        })
    };
    let (before, over) = (Err(Misplaced::BeforeStart), Err(Misplaced::AfterStop));
    let foreign = Err(Misplaced::ForeignStream);
    assert_eq!(
        of(sid('1')),
        [before, before, Ok(true), Ok(false), before, over]
    );
    assert_eq!(
        of(sid('9')),
        [before, before, foreign, foreign, before, over]
    );
}

#[test]
fn other_messages_are_taken_on_their_stream() {
    let (before, over) = (Err(Misplaced::BeforeStart), Err(Misplaced::AfterStop));
    let foreign = Err(Misplaced::ForeignStream);
    let message = |stream| all(|leg| leg.message(stream));
    assert_eq!(
        message(Some(sid('1'))),
        [before, before, Ok(()), Ok(()), before, over]
    );
    assert_eq!(
        message(None),
        [before, before, foreign, foreign, before, over]
    );
    // A stop need not say of what.
    let stop = |stream| all(|leg| leg.stopped(stream));
    assert_eq!(stop(None), [before, before, Ok(()), Ok(()), before, over]);
    assert_eq!(
        stop(Some(sid('9'))),
        [before, before, foreign, foreign, before, over]
    );
}

#[test]
fn a_gap_is_counted_over_all_messages_of_a_stream() {
    let [.., mut leg, _, _] = legs();
    leg.message(Some(sid('1'))).expect("a message of it");
    let gap = |leg: &mut PhoneLeg, sequence| {
        let heard = leg.audio(&frame(sid('1'), sequence), Time::ZERO);
        heard.map(|heard| heard.has_gap)
    };
    assert_eq!(gap(&mut leg, 3), Ok(false), "two was no audio");
    assert_eq!(gap(&mut leg, 5), Ok(true));
}

#[test]
fn a_mark_of_an_earlier_ledger_means_nothing_and_one_never_sent_is_told() {
    let [.., mut leg, _, _] = legs();
    assert!(matches!(leg.marked("m0-7", Time::ZERO), Marked::Unknown));
    leg.begin_ledger(Time::ZERO);
    assert!(matches!(leg.marked("m0-7", Time::ZERO), Marked::Nothing));
    assert!(matches!(
        leg.marked("nonsense", Time::ZERO),
        Marked::Unknown
    ));
}

#[test]
fn a_leg_after_a_fault_is_on_the_same_stream_and_numbers_its_marks_anew() {
    let [.., leg, _, _] = legs();
    let remains = leg.remains().expect("a stream lives");
    let after = PhoneLeg::after(remains, Time::from_millis(9));
    assert_eq!(after.known(), leg.known());
    assert!(after.is_in_media() && after.epoch == 1);
    assert!(legs()[1].remains().is_none(), "there is no stream yet");
}
