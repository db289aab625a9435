//! Every way a call ends: what it is called, which close code the media socket gets, and that it ends once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    caller_words, connected, foreign_call, foreign_stream, frame, frame_on, good_start, hang_up,
    key, mark_on, model, phone_closed, refused, response_done, response_started, setup,
    speech_started, start, start_of, stop, stream_sid, tool_call,
};
use crate::common::rig::Rig;
use call_protocol::audio::payload::PayloadError;
use call_protocol::call::event::{Event, OperatorEvent};
use call_protocol::call::outcome::{EndReason, NextStep};
use call_protocol::call::{END_CALL, Silence};
use call_protocol::model::event::{ModelEvent, Refusal, Usage};
use call_protocol::phone::AccountSid;
use call_protocol::phone::event::{MediaFormat, PhoneEvent};
use call_protocol::wire::{ReadError, SocketFault};

/// An answer is over that cost 64 dollars.
fn dear_response_done(response: &str) -> Event {
    let mut done = response_done(response);
    if let Event::Model {
        event: ModelEvent::ResponseDone(done),
        ..
    } = &mut done
    {
        done.usage = Some(Usage {
            audio_out: 1_000_000,
            ..Usage::default()
        });
        done.dollars = 64.0;
    }
    done
}

/// How a rig comes to this end. No wildcard: a new reason needs a way to it.
fn brought_to(reason: EndReason) -> Rig {
    let mut setup = setup();
    setup.call = Some(crate::common::events::call_sid());
    setup.max_length = Duration::from_secs(60);
    let agent = Arc::make_mut(&mut setup.agent);
    agent.keys.insert('0', "front_desk".to_owned());
    agent.longest_monologue = Duration::from_secs(40);
    agent.max_cost_usd = Some(1.0);
    agent.silence = Some(Silence {
        after: Duration::from_secs(8),
        instructions: "Ask whether the caller is still there.".to_owned(),
        attempts: 2,
    });
    if reason == EndReason::ModelSilent {
        agent.answer_within = Duration::from_secs(8);
        agent.silence = None;
    }
    let mut rig = Rig::new(setup);
    let unusable = || Event::Phone(PhoneEvent::Unusable(ReadError::Malformed));
    match reason {
        EndReason::CallerHungUp => {
            rig.started();
            rig.event(stop());
        }
        EndReason::PhoneLost => rig.event(phone_closed()),
        EndReason::PhoneStalled => {
            rig.started();
            rig.pass(5_000);
        }
        EndReason::NotPlayed => {
            rig.ready();
            rig.media();
            rig.phone.deaf = true;
            rig.answers("resp_1", "item_1", 7, 1_000);
            rig.pass_until_over(12_000);
        }
        EndReason::StreamFailed => {
            rig.started();
            rig.event(Event::Operator(OperatorEvent::StreamFailed {
                stream: Some(stream_sid()),
            }));
        }
        EndReason::NoStart => rig.pass(5_000),
        EndReason::MediaBeforeStart => rig.event(frame(1)),
        EndReason::SecondStart => {
            rig.started();
            rig.event(start());
        }
        EndReason::BadIdentifiers => {
            let mut start = good_start();
            start.stream = None;
            rig.event(connected());
            rig.event(start_of(start));
        }
        EndReason::ForeignCall => {
            let mut start = good_start();
            start.call = Some(foreign_call());
            rig.event(connected());
            rig.event(start_of(start));
        }
        EndReason::UnsupportedFormat => {
            let mut start = good_start();
            start.format = MediaFormat::default();
            rig.event(connected());
            rig.event(start_of(start));
        }
        EndReason::TooManyBadMessages => {
            for _ in 0..10 {
                rig.event(unusable());
            }
        }
        EndReason::SocketFault(fault) => rig.event(Event::Phone(PhoneEvent::Rejected(fault))),
        EndReason::ModelRefused => rig.event(refused(Refusal::Status(401))),
        EndReason::ModelLost => {
            rig.media();
            for _ in 0..5 {
                rig.event(refused(Refusal::Network));
                rig.pass(2_000);
            }
        }
        EndReason::ModelSilent => {
            rig.obliging = true;
            rig.ready();
            rig.media();
            rig.event(speech_started());
            rig.event(crate::common::events::speech_stopped());
            rig.pass_until_over(16_000);
        }
        EndReason::AgentHungUp => {
            rig.ready();
            rig.media();
            rig.event(response_started("resp_1"));
            rig.says("resp_1", "item_1", 7, 1_000, 0);
            rig.later(200, tool_call("resp_1", END_CALL, true));
            rig.later(200, response_done("resp_1"));
            rig.pass(1_000);
        }
        EndReason::Transferred => {
            rig.ready();
            rig.media();
            rig.event(key('0'));
            rig.answers("resp_1", "item_1", 7, 1_000);
            rig.pass(1_000);
        }
        EndReason::CallerSilent => {
            rig.talks = Some(1_000);
            rig.ready();
            rig.media();
            rig.pass_until_over(50_000);
        }
        EndReason::NobodyThere => {
            rig.talks = Some(1_000);
            rig.ready();
            rig.media();
            rig.event(speech_started());
            rig.pass_until_over(58_000);
        }
        EndReason::OperatorHangUp => rig.event(hang_up()),
        EndReason::CallOver => rig.event(Event::Operator(OperatorEvent::CallOver)),
        // What is said of a call that has no machine any more.
        EndReason::GoneMeanwhile | EndReason::Unconfirmed | EndReason::Panicked => {
            let now = rig.now;
            rig.call.end(reason, now);
            rig.pass(0);
            rig.event(hang_up());
        }
        EndReason::HandedOver => rig.event(Event::Operator(OperatorEvent::HandOver)),
        EndReason::Superseded => rig.event(Event::Operator(OperatorEvent::Superseded)),
        EndReason::TooLong => {
            rig.talks = Some(1_000);
            rig.ready();
            rig.media();
            rig.event(speech_started());
            rig.later(30_000, caller_words("item_caller", "A long story."));
            rig.pass_until_over(60_000);
        }
        EndReason::BudgetReached => {
            rig.ready();
            rig.media();
            rig.event(response_started("resp_1"));
            let took = rig.says("resp_1", "item_1", 7, 1_000, 0);
            rig.later(took, dear_response_done("resp_1"));
            rig.pass_until_over(3_000);
        }
        EndReason::Fault => {
            // The actor's word, after the machine itself failed.
            let now = rig.now;
            rig.call.end(EndReason::Fault, now);
            rig.pass(0);
            rig.event(hang_up());
        }
    }
    rig
}

/// Every reason with its close code (RFC 6455, section 7.4.1) and what the caller meets next.
const ENDINGS: [(EndReason, u16, NextStep); 34] = [
    (EndReason::CallerHungUp, 1_000, NextStep::HangUp),
    (EndReason::PhoneLost, 1_000, NextStep::Reconnect),
    (EndReason::PhoneStalled, 1_013, NextStep::Fallback),
    (EndReason::NotPlayed, 1_013, NextStep::Fallback),
    (EndReason::StreamFailed, 1_000, NextStep::Reconnect),
    (EndReason::NoStart, 1_008, NextStep::Fallback),
    (EndReason::MediaBeforeStart, 1_008, NextStep::Fallback),
    (EndReason::SecondStart, 1_008, NextStep::Fallback),
    (EndReason::BadIdentifiers, 1_008, NextStep::Fallback),
    (EndReason::ForeignCall, 1_008, NextStep::Fallback),
    (EndReason::UnsupportedFormat, 1_003, NextStep::Fallback),
    (EndReason::TooManyBadMessages, 1_007, NextStep::Fallback),
    (
        EndReason::SocketFault(SocketFault::Protocol),
        1_002,
        NextStep::Fallback,
    ),
    (
        EndReason::SocketFault(SocketFault::NotUtf8),
        1_007,
        NextStep::Fallback,
    ),
    (
        EndReason::SocketFault(SocketFault::TooLarge),
        1_009,
        NextStep::Fallback,
    ),
    (
        EndReason::SocketFault(SocketFault::Binary),
        1_003,
        NextStep::Fallback,
    ),
    (
        EndReason::SocketFault(SocketFault::Flood),
        1_008,
        NextStep::Fallback,
    ),
    (EndReason::ModelRefused, 1_000, NextStep::Fallback),
    (EndReason::ModelLost, 1_000, NextStep::Fallback),
    (EndReason::ModelSilent, 1_000, NextStep::Fallback),
    (EndReason::AgentHungUp, 1_000, NextStep::HangUp),
    (EndReason::Transferred, 1_000, NextStep::Transfer),
    (EndReason::CallerSilent, 1_000, NextStep::HangUp),
    (EndReason::NobodyThere, 1_000, NextStep::HangUp),
    (EndReason::OperatorHangUp, 1_000, NextStep::HangUp),
    (EndReason::CallOver, 1_000, NextStep::HangUp),
    (EndReason::GoneMeanwhile, 1_000, NextStep::HangUp),
    (EndReason::HandedOver, 1_001, NextStep::Reconnect),
    (EndReason::Superseded, 1_001, NextStep::Reconnect),
    (EndReason::Unconfirmed, 1_001, NextStep::Reconnect),
    (EndReason::TooLong, 1_000, NextStep::HangUp),
    (EndReason::BudgetReached, 1_000, NextStep::Fallback),
    (EndReason::Fault, 1_011, NextStep::Fallback),
    (EndReason::Panicked, 1_011, NextStep::Fallback),
];

#[test]
fn every_ending_is_reached_and_has_its_close_code() {
    for (reason, code, aftermath) in ENDINGS {
        let mut rig = brought_to(reason);
        assert!(rig.call.is_over(), "{reason}");
        let effects = rig.take_of(&["close_phone", "stopped"]);
        let expected = [format!("close_phone {code}"), format!("stopped {reason}")];
        assert_eq!(effects, expected);
        assert_eq!(rig.call.snapshot(rig.now).ended, Some(reason));
        assert_eq!(reason.next_step(), aftermath, "{reason}");
    }
    let names: BTreeSet<_> = ENDINGS.iter().map(|(reason, ..)| reason.label()).collect();
    assert_eq!(names.len(), ENDINGS.len(), "each has a name of its own");
}

#[test]
fn a_call_ends_once() {
    let mut rig = brought_to(EndReason::CallerHungUp);
    rig.take();
    rig.event(phone_closed());
    rig.event(hang_up());
    rig.pass(7_200_000);
    assert!(rig.take().is_empty());
    assert_eq!(rig.call.poll_timeout(), None);
}

#[test]
fn a_call_that_is_over_keeps_its_length_and_its_stream() {
    let mut rig = Rig::live(setup());
    rig.pass(2_000);
    rig.event(stop());
    rig.pass(10_000);
    let snapshot = rig.call.snapshot(rig.now);
    assert_eq!(snapshot.duration_ms, 2_000);
    assert_eq!(snapshot.stream_sid, Some(stream_sid()));
    assert_eq!(snapshot.frames.from_caller, 101);
}

#[test]
fn start_must_come_within_five_seconds() {
    for greeted in [false, true] {
        let mut rig = Rig::new(setup());
        if greeted {
            rig.event(connected());
        }
        rig.pass(4_999);
        assert!(!rig.call.is_over());
        rig.pass(1);
        assert_eq!(rig.take_of(&["stopped"]), ["stopped no_start"]);
    }
}

#[test]
fn a_phone_that_falls_silent_for_five_seconds_is_gone() {
    let mut rig = Rig::live(setup());
    rig.pass(3_000);
    rig.caller_sends(None);
    rig.pass(4_979);
    assert!(!rig.call.is_over());
    rig.pass(40);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped phone_stalled"]);
}

#[test]
fn frames_of_another_stream_do_not_keep_a_call_alive() {
    let mut rig = Rig::live(setup());
    rig.caller_sends(None);
    rig.pass(20);
    for _ in 0..30 {
        rig.event(frame_on(Some(foreign_stream()), 1, None));
        rig.pass(200);
    }
    assert_eq!(rig.take_of(&["stopped"]), ["stopped phone_stalled"]);
}

#[test]
fn a_phone_that_plays_nothing_for_ten_seconds_is_given_up() {
    let mut rig = Rig::live(setup());
    rig.phone.deaf = true;
    rig.answers("resp_1", "item_1", 7, 1_000);
    rig.pass(10_400);
    assert!(!rig.call.is_over());
    rig.pass(1_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped not_played"]);
}

#[test]
fn more_to_say_does_not_excuse_a_phone_that_plays_nothing() {
    let mut rig = Rig::live(setup());
    rig.phone.deaf = true;
    for n in 1..=20u8 {
        rig.answers(&format!("resp_{n}"), &format!("item_{n}"), n, 400);
        rig.pass(1_500);
    }
    assert_eq!(rig.take_of(&["stopped"]), ["stopped not_played"]);
}

#[test]
fn a_phone_that_hangs_for_a_while_is_not_fed_and_goes_on() {
    let mut rig = Rig::live(setup());
    rig.phone.deaf = true;
    rig.answers("resp_1", "item_1", 7, 20_000);
    rig.pass(8_000);
    let sent = rig.call.detail(rig.now).playback.sent;
    assert!(
        sent <= 3_500,
        "{sent} ms sent to a phone that plays nothing"
    );
    rig.phone.deaf = false;
    let marks = rig.take_of(&["mark"]);
    for mark in marks {
        let name = mark.replace("mark ", "");
        rig.event(crate::common::events::mark(&name));
    }
    rig.pass(1_000);
    assert!(rig.call.detail(rig.now).playback.sent > sent + 500);
    assert!(!rig.call.is_over());
}

#[test]
fn a_call_lasts_as_long_as_it_may_and_no_longer() {
    let mut setup = setup();
    setup.max_length = Duration::from_secs(600);
    let mut rig = Rig::live(setup);
    rig.pass(599_999);
    assert!(!rig.call.is_over());
    rig.pass(1);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped too_long"]);
}

#[test]
fn ten_bad_messages_in_ten_seconds_end_a_call_and_nine_do_not() {
    let bad = || {
        let error = ReadError::Payload(PayloadError::NotBase64);
        Event::Phone(PhoneEvent::Unusable(error))
    };
    let mut rig = Rig::live(setup());
    for _ in 0..9 {
        rig.event(bad());
    }
    rig.pass(10_001);
    for _ in 0..9 {
        rig.event(bad());
        rig.pass(1_000);
    }
    assert!(!rig.call.is_over(), "never ten within ten seconds");
    rig.event(bad());
    assert_eq!(rig.take_of(&["stopped"]), ["stopped too_many_bad_messages"]);
}

#[test]
fn ten_bad_messages_of_the_model_cost_it_the_session_and_the_caller_nothing() {
    let bad = || model(ModelEvent::Unusable(ReadError::Malformed));
    let mut rig = Rig::live(setup());
    for _ in 0..9 {
        rig.event(bad());
    }
    rig.pass(10_001);
    for _ in 0..9 {
        rig.event(bad());
        rig.pass(1_000);
    }
    assert_eq!(
        rig.take_of(&["close_model", "lost", "dial"]),
        [] as [&str; 0],
        "never ten within ten seconds"
    );
    rig.event(bad());
    let violations = rig.call.detail(rig.now).violations;
    assert_eq!(
        rig.take_of(&["close_model", "lost"]),
        ["close_model", "lost bad_messages redial=true"]
    );
    // Another session is opened, with a clean slate.
    rig.pass(2_000);
    assert_eq!(rig.take_of(&["dial"]), ["dial"]);
    rig.ready();
    for _ in 0..9 {
        rig.event(bad());
    }
    assert_eq!(rig.take_of(&["lost"]), [] as [&str; 0]);
    assert!(!rig.call.is_over());
    let of = |kind: &str| {
        let found = violations.iter().find(|violation| violation.kind == kind);
        found.map(|violation| violation.count)
    };
    assert_eq!(of("malformed"), Some(19));
    assert_eq!(of("too_many_bad_messages"), Some(1));
}

#[test]
fn a_stream_of_another_account_is_served_and_counted() {
    let other = AccountSid::parse(&format!("AC{}", "4".repeat(32)));
    let mut of_other = setup();
    of_other.account = other;
    let mut of_ours = setup();
    of_ours.account = Some(crate::common::events::account_sid());
    for (setup, counted) in [(of_other, true), (of_ours, false), (setup(), false)] {
        let mut rig = Rig::new(setup);
        rig.started();
        assert!(!rig.call.is_over());
        let violations = rig.take_of(&["violation"]);
        let expected: &[&str] = if counted {
            &["violation twilio:foreign_account"]
        } else {
            &[]
        };
        assert_eq!(violations, expected);
    }
}

#[test]
fn a_call_that_twilio_says_is_over_leaves_nothing_to_come_back_to() {
    let mut rig = Rig::live(setup());
    rig.event(Event::Operator(OperatorEvent::CallOver));
    assert_eq!(
        rig.take_of(&["checkpoint", "forget", "stopped"]),
        ["forget", "stopped call_over"]
    );
}

#[test]
fn what_names_another_stream_is_dropped_and_counted() {
    let mut rig = Rig::live(setup());
    rig.caller_sends(None);
    rig.pass(20);
    rig.take();
    let foreign = Some(foreign_stream());
    rig.event(frame_on(foreign, 66, None));
    rig.event(mark_on(foreign, "m0-1"));
    rig.event(Event::Phone(PhoneEvent::Key {
        stream: foreign,
        digit: '1',
    }));
    rig.event(Event::Phone(PhoneEvent::Stop { stream: foreign }));
    assert_eq!(rig.take(), ["violation twilio:foreign_stream"; 4]);
    assert!(!rig.appended().0.contains(&66));
    assert!(!rig.call.is_over());
}

#[test]
fn gaps_in_the_sequence_are_counted_and_marks_and_keys_are_no_gaps() {
    let mut rig = Rig::new(setup());
    rig.ready();
    rig.started();
    let sequenced = |sequence| frame_on(Some(stream_sid()), 1, Some(sequence));
    rig.event(sequenced(2));
    rig.event(sequenced(3));
    // Twilio counts every message of the stream: the key is number 4, the mark number 5.
    rig.event(crate::common::events::key('1'));
    rig.event(crate::common::events::mark("m0-1"));
    rig.event(sequenced(6));
    assert_eq!(rig.call.detail(rig.now).sequence_gaps, 0);
    rig.event(sequenced(9));
    assert_eq!(rig.call.detail(rig.now).sequence_gaps, 1);
    rig.event(sequenced(u64::MAX));
    rig.event(sequenced(u64::MAX));
    assert_eq!(rig.call.detail(rig.now).sequence_gaps, 2);
}
