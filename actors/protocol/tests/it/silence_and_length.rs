//! Silence is asked about, from when the caller has heard the last word; no call lasts for ever.

use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    caller_turn, caller_words, complaint, failed, key, model_closed, response_done,
    response_started, setup, speech_started, speech_stopped, tool_call,
};
use crate::common::rig::Rig;
use call_protocol::call::{CallSetup, END_CALL, Silence};
use call_protocol::model::command::Transcription;
use call_protocol::time::Time;

const STILL_THERE: &str = "`Ask whether the caller is still there.`";
const GOODBYE: &str = "`Say goodbye to the caller in one short, friendly sentence.`";

/// Asked after eight seconds, twice; every request is answered with 1,500 ms.
fn asking() -> CallSetup {
    let mut setup = setup();
    let agent = Arc::make_mut(&mut setup.agent);
    agent.silence = Some(Silence {
        after: Duration::from_secs(8),
        instructions: "Ask whether the caller is still there.".to_owned(),
        attempts: 2,
    });
    setup
}

fn transcribing(setup: &mut CallSetup) {
    let agent = Arc::make_mut(&mut setup.agent);
    if let Some(options) = &mut agent.session.options {
        options.transcription = Some(Transcription {
            model: "whisper-1".to_owned(),
            language: None,
        });
    }
}

fn lasting(seconds: u64) -> CallSetup {
    let mut setup = setup();
    setup.max_length = Duration::from_secs(seconds);
    setup
}

/// Milliseconds at which something beginning like this was asked of the model.
fn asked_at(rig: &Rig, words: &str) -> Vec<u64> {
    rig.shorts()
        .filter(|(_, text)| text.starts_with("respond") && text.contains(words))
        .map(|(at, _)| at.as_millis())
        .collect()
}

fn reason(rig: &Rig) -> Option<&'static str> {
    rig.call
        .snapshot(rig.now)
        .ended
        .map(|reason| reason.label())
}

#[test]
fn a_silent_caller_is_asked_twice_and_then_told_goodbye() {
    let mut rig = Rig::live(asking());
    rig.talks = Some(1_500);
    rig.pass_until_over(60_000);
    // 30 ms until the model begins, 1,500 ms of speech, then eight seconds again.
    assert_eq!(asked_at(&rig, STILL_THERE), [8_000, 17_530]);
    assert_eq!(asked_at(&rig, GOODBYE), [27_060]);
    assert_eq!(reason(&rig), Some("caller_silent"));
    assert_eq!(rig.time_of("stopped"), Some(Time::from_millis(28_590)));
    assert_eq!(rig.phone.heard_ms(203, rig.now), 1_500, "the whole goodbye");
}

#[test]
fn silence_counts_from_when_the_last_word_was_heard() {
    let mut rig = Rig::live(asking());
    // The answer is complete after 4 seconds and heard after 20.
    rig.answers("resp_1", "item_1", 7, 20_000);
    rig.pass(27_900);
    assert!(asked_at(&rig, STILL_THERE).is_empty());
    rig.pass(200);
    assert_eq!(asked_at(&rig, STILL_THERE), [28_000]);
}

#[test]
fn a_distant_phone_is_not_asked_before_it_has_heard() {
    let mut rig = Rig::live(asking());
    rig.latency = Duration::from_millis(200);
    rig.answers("resp_1", "item_1", 7, 3_000);
    rig.pass(20_000);
    let heard = rig.time_of("turn agent item_1").unwrap().as_millis();
    assert!(heard >= 3_400);
    assert_eq!(asked_at(&rig, STILL_THERE)[0], heard + 8_000);
}

#[test]
fn whoever_speaks_stops_the_clock() {
    let mut rig = Rig::live(asking());
    rig.pass(7_000);
    rig.event(speech_started());
    // A long story.
    rig.pass(30_000);
    rig.event(speech_stopped());
    rig.pass(300);
    rig.event(response_started("resp_1"));
    // A slow model: not the caller's fault.
    rig.pass(12_000);
    assert!(asked_at(&rig, STILL_THERE).is_empty());
}

#[test]
fn an_answer_begins_the_count_anew() {
    let mut rig = Rig::live(asking());
    rig.talks = Some(1_500);
    // Asked twice, and the caller answers each time.
    for _ in 0..4 {
        rig.pass(9_000);
        rig.pass(1_500);
        rig.event(speech_started());
        rig.pass(500);
        rig.event(speech_stopped());
        rig.event(caller_turn("item_caller"));
    }
    assert_eq!(asked_at(&rig, STILL_THERE).len(), 4);
    assert!(asked_at(&rig, GOODBYE).is_empty());
}

#[test]
fn a_cough_is_no_answer() {
    let mut setup = asking();
    transcribing(&mut setup);
    let mut rig = Rig::live(setup);
    rig.talks = Some(1_500);
    for n in 0..20 {
        rig.pass(4_000);
        rig.event(speech_started());
        rig.event(speech_stopped());
        let item = format!("item_{n}");
        rig.event(caller_turn(&item));
        rig.event(caller_words(&item, "  "));
        rig.pass(9_000);
        if rig.call.is_over() {
            break;
        }
    }
    assert_eq!(asked_at(&rig, STILL_THERE).len(), 2);
    assert_eq!(reason(&rig), Some("caller_silent"));
}

#[test]
fn keys_are_an_answer() {
    let mut rig = Rig::live(asking());
    rig.talks = Some(1_500);
    for _ in 0..6 {
        rig.pass(10_000);
        rig.event(key('1'));
    }
    assert!(asked_at(&rig, GOODBYE).is_empty());
    assert!(!rig.call.is_over());
}

#[test]
fn a_caller_who_is_typing_is_not_asked() {
    let mut rig = Rig::live(asking());
    for _ in 0..12 {
        rig.pass(1_000);
        rig.event(key('4'));
    }
    assert!(asked_at(&rig, STILL_THERE).is_empty());
}

#[test]
fn a_caller_who_speaks_into_the_goodbye_is_there_after_all() {
    let mut rig = Rig::live(asking());
    rig.talks = Some(1_500);
    rig.pass(28_000);
    assert_eq!(asked_at(&rig, GOODBYE).len(), 1);
    rig.event(speech_started());
    rig.pass(500);
    rig.event(speech_stopped());
    rig.event(caller_turn("item_caller"));
    rig.answers("resp_1", "item_1", 7, 1_000);
    rig.pass(5_000);
    assert!(!rig.call.is_over());
}

#[test]
fn a_caller_whose_answer_is_being_tried_again_is_not_asked() {
    let mut rig = Rig::live(asking());
    rig.event(response_started("resp_1"));
    rig.event(failed(
        "resp_1",
        complaint("rate_limit_exceeded", "try again in 1m", None),
    ));
    // The named wait, cut to eight seconds, and its spread.
    rig.pass(10_000);
    let asked = rig.take_of(&["respond"]);
    assert_eq!(asked, ["respond respond-1"], "the answer itself");
}

#[test]
fn nobody_is_asked_while_the_model_is_away() {
    let mut rig = Rig::live(asking());
    rig.pass(5_000);
    rig.event(model_closed(None));
    rig.pass(6_000);
    assert!(asked_at(&rig, "").is_empty());
}

#[test]
fn an_agent_without_that_wish_asks_nobody() {
    let mut rig = Rig::live(setup());
    rig.pass(500_000);
    assert!(asked_at(&rig, "").is_empty());
}

#[test]
fn the_end_of_the_longest_call_is_said_before_it_comes() {
    let mut rig = Rig::live(lasting(600));
    rig.talks = Some(2_000);
    rig.pass_until_over(700_000);
    assert_eq!(
        asked_at(&rig, "this call must end in less than a minute"),
        [555_000]
    );
    assert_eq!(asked_at(&rig, GOODBYE), [585_000]);
    assert_eq!(reason(&rig), Some("too_long"));
    assert_eq!(rig.phone.heard_ms(202, rig.now), 2_000, "the whole goodbye");
    let ended = rig.time_of("stopped").unwrap().as_millis();
    assert!((587_000..600_000).contains(&ended), "{ended}");
}

#[test]
fn no_call_is_longer_than_it_may_be_whatever_is_said() {
    for speaks in [false, true] {
        let mut rig = Rig::live(lasting(600));
        rig.talks = Some(60_000);
        rig.pass(580_000);
        if speaks {
            rig.event(speech_started());
        }
        rig.pass(19_999);
        assert!(!rig.call.is_over());
        rig.pass(1);
        assert_eq!(reason(&rig), Some("too_long"));
    }
}

#[test]
fn the_last_goodbye_cannot_be_kept_off() {
    let mut rig = Rig::live(lasting(600));
    rig.talks = Some(2_000);
    rig.pass(585_500);
    rig.event(speech_started());
    rig.pass(500);
    rig.event(speech_stopped());
    rig.event(caller_turn("item_caller"));
    rig.answers("resp_1", "item_1", 7, 2_000);
    rig.pass_until_over(20_000);
    assert_eq!(reason(&rig), Some("too_long"));
    assert_eq!(
        rig.phone.heard_ms(7, rig.now),
        2_000,
        "the caller's word is answered"
    );
    assert!(rig.now < Time::from_millis(590_000));
}

#[test]
fn a_caller_in_the_middle_of_a_word_is_not_spoken_over_for_the_wrap_up() {
    let mut rig = Rig::live(lasting(600));
    rig.pass(554_000);
    rig.event(speech_started());
    rig.pass(2_000);
    assert!(asked_at(&rig, "less than a minute").is_empty());
    let told = rig.take_of(&["tell"]);
    assert!(told[0].contains("less than a minute"), "{told:?}");
}

#[test]
fn a_short_call_is_not_wrapped_up() {
    let mut rig = Rig::live(lasting(20));
    rig.pass(19_999);
    assert!(asked_at(&rig, "").is_empty() && !rig.call.is_over());
    rig.pass(1);
    assert_eq!(reason(&rig), Some("too_long"));
}

/// Hold music: voice activity without end, and the model answers it.
fn hold_music(rig: &mut Rig, words: bool) {
    for n in 0..200 {
        rig.event(speech_started());
        rig.pass(1_500);
        rig.event(speech_stopped());
        let item = format!("item_{n}");
        rig.event(caller_turn(&item));
        rig.event(caller_words(&item, if words { "Hello?" } else { "" }));
        rig.pass(100);
        rig.answers(&format!("resp_{n}"), &format!("agent_{n}"), 7, 1_000);
        rig.pass(1_400);
        if rig.call.is_over() {
            return;
        }
    }
}

#[test]
fn hold_music_keeps_no_call_open() {
    let mut setup = setup();
    transcribing(&mut setup);
    Arc::make_mut(&mut setup.agent).longest_monologue = Duration::from_secs(240);
    let mut rig = Rig::live(setup);
    hold_music(&mut rig, false);
    assert_eq!(reason(&rig), Some("nobody_there"));
    let ended = rig.now.as_millis();
    assert!((240_000..256_000).contains(&ended), "{ended}");
}

#[test]
fn noise_that_never_stops_keeps_no_call_open() {
    let mut setup = setup();
    Arc::make_mut(&mut setup.agent).longest_monologue = Duration::from_secs(240);
    let mut rig = Rig::live(setup);
    rig.event(speech_started());
    rig.pass_until_over(600_000);
    assert_eq!(reason(&rig), Some("nobody_there"));
    assert_eq!(rig.now, Time::from_millis(255_000));
}

#[test]
fn a_conversation_goes_on_as_long_as_it_is_one() {
    let mut setup = setup();
    transcribing(&mut setup);
    Arc::make_mut(&mut setup.agent).longest_monologue = Duration::from_secs(240);
    let mut rig = Rig::live(setup);
    hold_music(&mut rig, true);
    assert!(!rig.call.is_over());
    assert_eq!(rig.now, Time::from_millis(600_000));
}

#[test]
fn words_that_come_into_the_goodbye_to_nobody_keep_the_call() {
    let mut setup = setup();
    transcribing(&mut setup);
    Arc::make_mut(&mut setup.agent).longest_monologue = Duration::from_secs(240);
    let mut rig = Rig::live(setup);
    rig.talks = Some(3_000);
    rig.pass(241_000);
    assert_eq!(asked_at(&rig, GOODBYE).len(), 1);
    rig.event(speech_started());
    rig.pass(800);
    rig.event(speech_stopped());
    rig.event(caller_turn("item_1"));
    rig.event(caller_words(
        "item_1",
        "Yes, I am here, I was looking for my card.",
    ));
    rig.answers("resp_1", "item_a", 7, 1_000);
    rig.pass(100_000);
    assert!(!rig.call.is_over());
}

/// The agent says goodbye in so many milliseconds and ends the call.
fn says_goodbye(rig: &mut Rig, ms: u64) {
    rig.event(response_started("resp_bye"));
    let took = rig.says("resp_bye", "item_bye", 9, ms, 0);
    rig.later(took, tool_call("resp_bye", END_CALL, true));
    rig.later(took, response_done("resp_bye"));
}

#[test]
fn a_goodbye_called_off_by_noise_leaves_the_watch_for_turns_running() {
    let mut setup = setup();
    transcribing(&mut setup);
    Arc::make_mut(&mut setup.agent).longest_monologue = Duration::from_secs(60);
    let mut rig = Rig::live(setup);
    rig.pass(58_000);
    says_goodbye(&mut rig, 6_000);
    rig.pass(4_000);
    rig.event(speech_started());
    rig.event(speech_stopped());
    rig.pass_until_over(60_000);
    assert_eq!(reason(&rig), Some("nobody_there"));
}

#[test]
fn a_model_lost_while_noise_goes_on_does_not_hold_the_end_up() {
    let mut setup = setup();
    Arc::make_mut(&mut setup.agent).longest_monologue = Duration::from_secs(60);
    let mut rig = Rig::live(setup);
    rig.event(speech_started());
    rig.pass(61_000);
    rig.event(model_closed(None));
    assert_eq!(reason(&rig), Some("nobody_there"));
}

#[test]
fn a_call_that_is_saying_goodbye_is_not_told_that_its_end_is_near() {
    let mut rig = Rig::live(lasting(600));
    rig.pass(550_000);
    says_goodbye(&mut rig, 20_000);
    rig.pass_until_over(60_000);
    assert!(rig.take_of(&["tell", "respond"]).is_empty());
    assert_eq!(reason(&rig), Some("agent_hung_up"));
}

#[test]
fn a_call_that_ends_anyway_does_so_for_its_own_reason() {
    let mut rig = Rig::live(lasting(600));
    rig.pass(580_500);
    says_goodbye(&mut rig, 22_000);
    rig.pass_until_over(60_000);
    assert_eq!(rig.now, Time::from_millis(600_000));
    assert_eq!(reason(&rig), Some("agent_hung_up"));
}
