//! Checkpoints: what is written down, what is read again, and a call that goes on from one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    agent_words, caller_words, phone_closed, setup, setup_greeting, setup_with, speech_started,
    speech_stopped, stop, tool_call,
};
use crate::common::rig::Rig;
use call_protocol::audio::payload::Payload;
use call_protocol::call::effect::Effect;
use call_protocol::call::event::{Event, OperatorEvent};
use call_protocol::call::outcome::{Destination, EndReason, NextStep};
use call_protocol::call::{Call, CallSetup, END_CALL, Greeting};
use call_protocol::checkpoint::{Checkpoint, CheckpointError, MAX_BYTES, Standing};
use call_protocol::conversation::{KeptTurn, Speaker};
use call_protocol::model::command::ModelCommand;
use call_protocol::phone::Direction;
use call_protocol::tool::memory::ToolMemory;
use proptest::prelude::*;

const VERSION_1: &str = include_str!("../data/checkpoint-1.json");

/// A call in which the agent has greeted, the caller has asked, and the agent answers.
fn talking(setup: CallSetup) -> Rig {
    let mut rig = Rig::live(setup);
    rig.answers("resp_1", "item_1", 7, 1_000);
    rig.event(agent_words("item_1", "Good morning."));
    rig.pass(1_500);
    rig.event(speech_started());
    rig.pass(800);
    rig.event(speech_stopped());
    rig.event(caller_words("item_2", "A massage, please."));
    rig
}

/// What the model was told as a system item since the last time.
fn told(rig: &Rig) -> Vec<String> {
    let texts = rig.log.iter().filter_map(|(_, effect)| match effect {
        Effect::ToModel(_, ModelCommand::Tell { text, .. }) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

/// What the model was asked to say.
fn asked(rig: &Rig) -> Vec<String> {
    let wishes = rig.log.iter().filter_map(|(_, effect)| match effect {
        Effect::ToModel(_, ModelCommand::Respond { instructions, .. }) => {
            Some(instructions.clone().unwrap_or_default())
        }
        _ => None,
    });
    wishes.collect()
}

/// The call goes on in another process, which has read what this one wrote.
fn taken_over(rig: &Rig, setup: CallSetup) -> Rig {
    let document = rig.call.checkpoint(rig.now).encode().expect("it fits");
    let checkpoint = Checkpoint::decode(&document).expect("it is read again");
    Rig::of(Call::resume(setup, &checkpoint))
}

// ---- the document ----

#[test]
fn a_document_of_version_1_is_read_as_it_was_meant() {
    let checkpoint = Checkpoint::decode(VERSION_1.as_bytes()).unwrap();
    assert_eq!(
        (
            checkpoint.agent.as_str(),
            checkpoint.epoch,
            checkpoint.resumes
        ),
        ("spa", 2, 1)
    );
    assert_eq!(checkpoint.from.as_deref(), Some("+1•••••0142"));
    assert_eq!(checkpoint.elapsed_ms, 81_234);
    assert_eq!((checkpoint.turns.len(), checkpoint.forgotten), (3, 3));
    assert!(checkpoint.turns[2].cut && checkpoint.turns[2].who == Speaker::Agent);
    assert_eq!(
        checkpoint.aftermath(),
        (
            NextStep::Transfer,
            Some(&Destination::Target("front_desk".to_owned()))
        )
    );
    // What this code writes is the golden file, byte for byte.
    let written = checkpoint.encode().unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), VERSION_1.trim_end());
}

#[test]
fn the_direction_is_kept_and_an_older_documents_is_inbound() {
    let older = Checkpoint::decode(VERSION_1.as_bytes()).unwrap();
    assert_eq!(older.direction, Direction::Inbound);
    let outbound = Checkpoint {
        direction: Direction::Outbound,
        ..older
    };
    let written = outbound.clone().encode().unwrap();
    let text = String::from_utf8_lossy(&written);
    assert!(text.contains(r#""direction":"outbound""#), "{text}");
    assert_eq!(Checkpoint::decode(&written), Ok(outbound));
}

#[test]
fn fields_that_are_missing_or_unknown_do_no_harm() {
    let least = Checkpoint::decode(br#"{"v":1,"call":{}}"#).unwrap();
    assert_eq!(least, Checkpoint::default());
    let more = br#"{"v":1,"later":[1],"call":{"agent":"spa","mood":"good","turns":[{"who":"caller","pitch":3}]}}"#;
    let more = Checkpoint::decode(more).unwrap();
    assert_eq!((more.agent.as_str(), more.turns.len()), ("spa", 1));
}

#[test]
fn what_is_no_checkpoint_is_refused_with_the_reason() {
    let newer = Checkpoint::decode(br#"{"v":2,"call":{"turns":"otherwise"}}"#);
    assert_eq!(newer, Err(CheckpointError::Newer(2)));
    for bad in [
        "",
        "null",
        "[]",
        "{",
        r#"{"v":-1}"#,
        r#"{"v":1}"#,
        r#"{"v":1,"call":{"epoch":-3}}"#,
    ] {
        let refused = Checkpoint::decode(bad.as_bytes());
        assert!(
            matches!(refused, Err(CheckpointError::Unreadable(_))),
            "{bad}: {refused:?}"
        );
    }
    let large = format!(
        r#"{{"v":1,"call":{{"agent":"{}"}}}}"#,
        "a".repeat(MAX_BYTES)
    );
    let refused = Checkpoint::decode(large.as_bytes());
    assert!(
        matches!(refused, Err(CheckpointError::TooLarge(_))),
        "{refused:?}"
    );
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::collection::vec(any::<char>(), 0..60).prop_map(String::from_iter))
}

fn turn() -> impl Strategy<Value = KeptTurn> {
    (
        any::<bool>(),
        any::<u64>(),
        text(),
        text(),
        any::<u64>(),
        any::<bool>(),
    )
        .prop_map(|(caller, at_ms, heard, said, heard_ms, cut)| KeptTurn {
            who: if caller {
                Speaker::Caller
            } else {
                Speaker::Agent
            },
            at_ms,
            heard,
            said,
            heard_ms,
            cut,
        })
}

fn standing() -> impl Strategy<Value = Standing> {
    let reason = (0..EndReason::ALL.len()).prop_map(|index| EndReason::ALL[index]);
    (0..3, reason, prop::option::of("[a-z_]{1,20}")).prop_map(|(which, reason, to)| match which {
        0 => Standing::Live,
        1 => Standing::Leaving {
            reason,
            to: to.map(Destination::Target),
        },
        _ => Standing::Over {
            reason,
            to: Some(Destination::Number("+15550142".to_owned())),
        },
    })
}

/// A tool that said this, once, and an effect nobody knows the outcome of.
fn tool_memory(said: Option<String>) -> ToolMemory {
    let Some(said) = said else {
        return ToolMemory::default();
    };
    let record = |number: u32, output: Option<String>| {
        serde_json::json!({
            "number": number, "tool": "book_appointment", "arguments": "{}", "key": format!("k{number}"), "effects": true,
            "intent": number - 1, "at_ms": 5_000, "ms": output.as_ref().map(|_| 320), "result": output.as_ref().map(|_| "ok"),
            "output": output, "told": "model",
        })
    };
    let memory =
        serde_json::json!({ "records": [record(1, Some(said)), record(2, None)], "last": 2 });
    serde_json::from_value(memory).unwrap()
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    let numbers = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>());
    let turns = prop::collection::vec_deque(turn(), 0..300);
    (text(), text(), numbers, turns, standing(), text()).prop_map(
        |(agent, from, (epoch, resumes, elapsed_ms, cost_micro_usd), turns, standing, tools)| {
            Checkpoint {
                agent: agent.unwrap_or_default(),
                to: from.clone(),
                ticket: from.clone(),
                from,
                epoch,
                resumes,
                elapsed_ms,
                cost_micro_usd,
                forgotten: 5,
                turns,
                standing,
                tools: tool_memory(tools),
                ..Checkpoint::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_again_and_what_does_not_fit_are_the_oldest_turns(whole in checkpoint()) {
        let document = whole.clone().encode().unwrap();
        prop_assert!(document.len() <= MAX_BYTES);
        let mut read = Checkpoint::decode(&document).unwrap();
        let lost = whole.turns.len() - read.turns.len();
        prop_assert_eq!(read.forgotten, 5 + lost as u64);
        prop_assert!(read.turns.iter().eq(whole.turns.iter().skip(lost)));
        if lost > 0 {
            // No more was left out than had to be.
            let mut one_more = read.clone();
            one_more.turns.push_front(whole.turns[lost - 1].clone());
            prop_assert!(one_more.encode().unwrap().len() < document.len() + MAX_BYTES);
        }
        read.forgotten = whole.forgotten;
        read.turns.clone_from(&whole.turns);
        prop_assert_eq!(read, whole);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Checkpoint::decode(&bytes);
    }
}

#[test]
fn a_long_call_keeps_its_newest_turns_within_the_limit() {
    let mut rig = Rig::live(setup());
    for number in 0..350 {
        let words = format!("turn {number} \"{}\"", "wörd ".repeat(60));
        rig.event(caller_words(&format!("item_{number}"), &words));
    }
    let checkpoint = rig.call.checkpoint(rig.now);
    let document = checkpoint.encode().unwrap();
    let read = Checkpoint::decode(&document).unwrap();
    assert!(
        document.len() <= MAX_BYTES && document.len() > MAX_BYTES - 1_000,
        "{}",
        document.len()
    );
    assert_eq!(read.forgotten + read.turns.len() as u64, 350);
    let last = read.turns.back().unwrap();
    assert!(last.heard.as_deref().unwrap().starts_with("turn 349 "));
    println!(
        "350 turns of 360 bytes: {} bytes, the last {} turns",
        document.len(),
        read.turns.len()
    );
}

// ---- when it is due ----

#[test]
fn a_checkpoint_is_due_at_the_start_and_at_the_end_of_every_turn() {
    let mut rig = Rig::new(setup());
    rig.started();
    assert_eq!(rig.take_of(&["checkpoint"]), ["checkpoint"]);
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 1_000);
    assert!(
        rig.take_of(&["checkpoint"]).is_empty(),
        "the turn is not over yet"
    );
    rig.pass(2_000);
    assert_eq!(
        rig.take_of(&["turn", "checkpoint"]),
        ["turn agent item_1 heard=1000", "checkpoint"]
    );
    rig.event(caller_words("item_2", "Hello?"));
    assert_eq!(
        rig.take_of(&["turn", "checkpoint"]),
        ["turn caller item_2", "checkpoint"]
    );
}

#[test]
fn frames_of_the_caller_write_nothing_down() {
    let mut rig = Rig::live(setup());
    rig.pass(4_000);
    assert!(rig.take_of(&["checkpoint", "forget"]).is_empty());
}

#[test]
fn a_process_that_stood_still_asks_whether_the_call_is_still_its_own() {
    let mut rig = talking(setup());
    rig.take();
    rig.event(Event::Operator(OperatorEvent::WokeUp));
    assert_eq!(rig.take_of(&["checkpoint"]), ["checkpoint"]);
    rig.event(Event::Operator(OperatorEvent::Superseded));
    let last = rig.take_of(&[
        "checkpoint",
        "forget",
        "close_model",
        "close_phone",
        "stopped",
    ]);
    assert_eq!(
        last,
        ["close_model", "close_phone 1001", "stopped superseded"]
    );
    // Nothing more comes of it.
    rig.event(Event::Operator(OperatorEvent::WokeUp));
    assert!(rig.take_of(&["checkpoint"]).is_empty());
}

#[test]
fn the_last_checkpoint_comes_before_the_socket_closes() {
    let mut rig = talking(setup());
    rig.take();
    rig.event(Event::Operator(OperatorEvent::HandOver));
    let last = rig.take_of(&["checkpoint", "forget", "close_phone"]);
    assert_eq!(last, ["checkpoint", "close_phone 1001"]);
    let checkpoint = rig.call.checkpoint(rig.now);
    assert_eq!(checkpoint.aftermath(), (NextStep::Reconnect, None));
    assert_eq!(checkpoint.turns.len(), 2);
}

#[test]
fn a_caller_who_hung_up_is_forgotten() {
    let mut rig = talking(setup());
    rig.take();
    rig.event(stop());
    assert_eq!(rig.take_of(&["checkpoint", "forget"]), ["forget"]);
}

#[test]
fn a_call_that_is_over_for_good_leaves_its_end_and_no_words() {
    let mut rig = talking(setup());
    rig.event(Event::Operator(OperatorEvent::HangUp));
    assert_eq!(rig.take_of(&["forget"]), [""; 0]);
    let checkpoint = rig.call.checkpoint(rig.now);
    assert!(checkpoint.turns.is_empty());
    assert_eq!(checkpoint.aftermath(), (NextStep::HangUp, None));
    let document = String::from_utf8(checkpoint.encode().unwrap()).unwrap();
    assert!(!document.contains("massage"), "{document}");
}

// ---- going on ----

#[test]
fn a_call_that_goes_on_remembers_and_speaks_first() {
    let before = talking(setup_greeting("Greet the caller."));
    let mut rig = taken_over(&before, setup_greeting("Greet the caller."));
    rig.ready();
    rig.media();
    let told = told(&rig);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("The line was interrupted for a moment"),
        "{told:?}"
    );
    assert!(
        told[0].ends_with("You: Good morning.\nCaller: A massage, please.\n"),
        "{told:?}"
    );
    let wishes = asked(&rig);
    assert_eq!(wishes.len(), 1, "{wishes:?}");
    assert!(wishes[0].contains("you are there again") && !wishes[0].contains("Greet the caller."));
    // The caller hears it, and the log says so.
    rig.answers("resp_1", "item_1", 9, 1_000);
    rig.pass(2_000);
    assert_eq!(rig.phone.heard_ms(9, rig.now), 1_000);
    assert_eq!(
        rig.take_of(&["resumed"]),
        ["resumed audible=true turns=2 resumes=1"]
    );
    let detail = rig.call.detail(rig.now);
    assert_eq!((detail.resumes, detail.turns.len()), (1, 3));
    assert!(
        detail.turns[2].at_ms >= detail.turns[1].at_ms,
        "time goes on"
    );
}

#[test]
fn a_call_can_be_resumed_again_and_again() {
    let mut rig = talking(setup());
    let mut elapsed = rig.now.as_millis();
    for resumes in 1..=3 {
        rig = taken_over(&rig, setup());
        rig.ready();
        rig.media();
        rig.event(caller_words(&format!("item_{resumes}"), "Are you there?"));
        rig.pass(1_000);
        elapsed += rig.now.as_millis();
        let checkpoint = rig.call.checkpoint(rig.now);
        assert_eq!(
            (checkpoint.resumes, checkpoint.elapsed_ms),
            (resumes, elapsed)
        );
        assert_eq!(checkpoint.turns.len(), 2 + resumes as usize);
    }
}

#[test]
fn of_an_answer_that_was_being_heard_only_the_heard_part_is_told() {
    let mut before = talking(setup());
    let words = "We have two o'clock, three o'clock, four o'clock and five o'clock tomorrow.";
    before.answers("resp_2", "item_3", 8, 4_000);
    before.event(agent_words("item_3", words));
    before.pass(2_000);
    let mut rig = taken_over(&before, setup());
    rig.ready();
    let told = told(&rig);
    let line = told[0].lines().last().unwrap();
    assert!(line.starts_with("You: We have two o'clock,"), "{line}");
    assert!(
        line.ends_with("[the caller did not hear the rest]"),
        "{line}"
    );
    assert!(!line.contains("five"), "{line}");
}

#[test]
fn a_session_lost_before_the_first_word_is_asked_for_it_again() {
    let before = talking(setup());
    let mut rig = taken_over(&before, setup());
    rig.ready();
    rig.media();
    rig.event(crate::common::events::model_closed(None));
    rig.pass(1_000);
    rig.ready();
    let wishes = asked(&rig);
    assert_eq!(wishes.len(), 2, "{wishes:?}");
    assert!(
        wishes
            .iter()
            .all(|wish| wish.contains("you are there again"))
    );
}

#[test]
fn a_call_in_which_nobody_had_spoken_begins_with_the_greeting() {
    let mut before = Rig::new(setup_greeting("Greet the caller."));
    before.started();
    let mut rig = taken_over(&before, setup_greeting("Greet the caller."));
    rig.ready();
    let wishes = asked(&rig);
    assert!(told(&rig).is_empty());
    assert!(
        wishes.len() == 1 && wishes[0].ends_with("Greet the caller."),
        "{wishes:?}"
    );
}

#[test]
fn a_greeting_that_was_heard_is_not_played_again() {
    let clip = || {
        let greeting = Greeting::Clip {
            audio: Payload::from_audio(&[7; 1_600]),
            text: "Good morning.".to_owned(),
        };
        setup_with(greeting, true)
    };
    let mut before = Rig::live(clip());
    before.pass(2_000);
    assert_eq!(before.phone.heard_ms(7, before.now), 200);
    let mut rig = taken_over(&before, clip());
    rig.ready();
    rig.media();
    rig.pass(1_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 0);
    assert!(asked(&rig)[0].contains("you are there again"));
}

#[test]
fn a_goodbye_that_may_not_have_been_heard_is_said_again_and_ends_the_call() {
    let mut before = talking(setup());
    before.answers("resp_2", "item_3", 8, 3_000);
    before.event(tool_call("resp_2", END_CALL, true));
    before.pass(500);
    let mut rig = taken_over(&before, setup());
    rig.ready();
    rig.media();
    let wishes = asked(&rig);
    assert!(
        wishes.len() == 1 && wishes[0].contains("Say goodbye"),
        "{wishes:?}"
    );
    rig.answers("resp_1", "item_9", 9, 1_000);
    rig.pass_until_over(10_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped agent_hung_up"]);
    assert_eq!(rig.phone.heard_ms(9, rig.now), 1_000);
}

#[test]
fn what_the_call_has_lasted_counts_towards_the_longest_it_may() {
    let mut long = setup();
    long.max_length = Duration::from_secs(60);
    let mut before = Rig::live(long.clone());
    before.event(caller_words("item_1", "Hello?"));
    before.pass(40_000);
    before.event(phone_closed());
    let mut rig = taken_over(&before, long);
    rig.talks = Some(500);
    rig.ready();
    rig.media();
    rig.pass_until_over(30_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped too_long"]);
    let whole = before.now.as_millis() + rig.now.as_millis();
    assert!((44_000..=60_100).contains(&whole), "{whole} ms in all");
}

#[test]
fn the_cost_goes_on_counting() {
    let checkpoint = Checkpoint {
        cost_micro_usd: 42_100,
        ..Checkpoint::default()
    };
    let rig = Rig::of(Call::resume(setup(), &checkpoint));
    assert!((rig.call.snapshot(rig.now).cost_usd - 0.0421).abs() < 1e-9);
    assert_eq!(rig.call.checkpoint(rig.now).cost_micro_usd, 42_100);
}

#[test]
fn what_the_tools_keep_is_handed_on() {
    let checkpoint = Checkpoint::decode(VERSION_1.as_bytes()).unwrap();
    let rig = Rig::of(Call::resume(setup(), &checkpoint));
    assert_eq!(rig.call.checkpoint(rig.now).tools, checkpoint.tools);
}

#[test]
fn a_resumed_call_that_stays_silent_is_told_as_failed() {
    let before = talking(setup());
    let mut rig = taken_over(&before, setup());
    rig.started();
    rig.event(crate::common::events::refused(
        call_protocol::model::event::Refusal::Status(401),
    ));
    assert_eq!(
        rig.take_of(&["resumed"]),
        ["resumed audible=false turns=2 resumes=1"]
    );
}

#[test]
fn a_turn_without_words_is_no_reason_to_say_nothing() {
    let turns = VecDeque::from([KeptTurn {
        who: Speaker::Caller,
        at_ms: 0,
        heard: None,
        said: None,
        heard_ms: 0,
        cut: false,
    }]);
    let checkpoint = Checkpoint {
        turns,
        ..Checkpoint::default()
    };
    let mut silent = setup();
    Arc::make_mut(&mut silent.agent).name = "other".to_owned();
    let mut rig = Rig::of(Call::resume(silent, &checkpoint));
    rig.ready();
    assert_eq!(asked(&rig).len(), 1);
}

#[test]
fn a_call_that_has_only_just_begun_is_gone_on_with() {
    let mut rig = Rig::new(setup());
    rig.started();
    assert_eq!(
        rig.now,
        call_protocol::time::Time::ZERO,
        "in no time at all"
    );
    assert!(rig.call.checkpoint(rig.now).has_begun());
}
