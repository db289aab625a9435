//! Tools: run once for each wish, beside the conversation, answered once; a caller who wants the same twice gets it.

use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    caller_turn, complaint, delta, done_as, done_with_server_calls, done_with_tools, hang_up, id,
    model, model_closed, response_started, setup, setup_greeting, speech_started, speech_stopped,
    tool_call_as, tool_finished, voice,
};
use crate::common::rig::Rig;
use call_protocol::call::CallSetup;
use call_protocol::call::effect::{Effect, Peer};
use call_protocol::call::event::Event;
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::{ItemDone, ItemKind, ModelEvent, ResponseDone, ResponseStatus};
use call_protocol::tool::memory::ToolMemory;
use call_protocol::tool::{Filler, FillerWords, ToolResult, ToolRun};

const WORDS: &[&str] = &["run", "tool_output", "respond", "tell", "violation"];

/// A response that calls these tools and nothing else.
fn calls(rig: &mut Rig, response: &str, tools: &[(&str, &str, &str)]) {
    rig.event(response_started(response));
    for (call, name, arguments) in tools {
        rig.event(tool_call_as(response, call, name, arguments));
    }
    rig.event(done_with_tools(response, tools.len() as u32));
}

fn ok(rig: &mut Rig, number: u32, output: &str) {
    rig.event(tool_finished(number, ToolResult::Ok, output));
}

/// The caller says something that takes half a second.
fn caller_says(rig: &mut Rig, item: &str) {
    rig.event(speech_started());
    rig.pass(500);
    rig.event(speech_stopped());
    rig.event(caller_turn(item));
}

/// Every run asked for so far.
fn runs(rig: &Rig) -> Vec<ToolRun> {
    let mut runs = Vec::new();
    for (_, effect) in &rig.log {
        if let Effect::RunTool(run) = effect {
            runs.push((**run).clone());
        }
    }
    runs
}

fn briefing(rig: &Rig) -> String {
    let mut told = rig.log.iter().rev().filter_map(|(_, effect)| match effect {
        Effect::ToModel(_, ModelCommand::Tell { text, .. }) => Some(text.clone()),
        _ => None,
    });
    told.next().unwrap_or_default()
}

fn with_filler(words: FillerWords) -> CallSetup {
    let mut setup = setup();
    let after = Duration::from_millis(1_500);
    Arc::make_mut(&mut setup.agent).tools.filler = Some(Filler { after, words });
    setup
}

#[test]
fn all_outputs_of_a_response_are_handed_in_when_it_is_done_and_then_one_answer_is_asked_for() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(tool_call_as(
        "resp_1",
        "call_a",
        "lookup",
        r#"{"who":"Ann"}"#,
    ));
    rig.event(tool_call_as(
        "resp_1",
        "call_b",
        "lookup",
        r#"{"who":"Bob"}"#,
    ));
    rig.event(tool_call_as("resp_1", "call_c", "nothing", "{}"));
    ok(&mut rig, 2, r#"{"b":1}"#);
    assert_eq!(
        rig.take_of(WORDS),
        [
            r#"run lookup {"who":"Ann"}"#,
            r#"run lookup {"who":"Bob"}"#,
            "violation model:unknown_tool"
        ],
        "no output before the response is done"
    );
    rig.event(done_with_tools("resp_1", 3));
    assert_eq!(
        rig.take_of(WORDS),
        [
            r#"tool_output call_c {"error":"there is no tool named nothing"}"#,
            r#"tool_output call_b {"b":1}"#,
        ]
    );
    rig.pass(700);
    ok(&mut rig, 1, r#"{"a":1}"#);
    assert_eq!(
        rig.take_of(WORDS),
        [r#"tool_output call_a {"a":1}"#, "respond respond-1"]
    );
    let tools = rig.call.detail(rig.now).tools;
    let rows: Vec<_> = tools.iter().map(|row| (row.state, row.ms)).collect();
    assert_eq!(rows, [("ok", 700), ("ok", 0)]);
}

#[test]
fn a_call_in_an_answer_that_fails_or_is_cut_is_answered_once_after_its_output() {
    let endings = [
        ResponseStatus::Failed(complaint("server_error", "", None)),
        ResponseStatus::OutOfTokens,
        ResponseStatus::Filtered,
    ];
    for status in endings {
        for words in ["none", "before", "after"] {
            // The tool is done before the answer ends, in the wait for the next, or long after.
            for takes in [None, Some(100), Some(2_000)] {
                let mut rig = Rig::live(setup());
                caller_says(&mut rig, "item_c1");
                rig.event(response_started("resp_1"));
                if words == "before" {
                    rig.event(delta("resp_1", "item_1", voice(7, 200)));
                }
                rig.event(tool_call_as("resp_1", "call_1", "book", "{}"));
                if words == "after" {
                    rig.event(delta("resp_1", "item_1", voice(7, 200)));
                }
                rig.take();
                if takes.is_none() {
                    ok(&mut rig, 1, "{}");
                }
                let spoken = u32::from(words != "none");
                rig.event(done_as("resp_1", status.clone(), spoken));
                if let Some(ms) = takes {
                    rig.pass(ms);
                    ok(&mut rig, 1, "{}");
                }
                rig.pass(3_000);
                assert_eq!(
                    rig.take_of(&["tool_output", "respond"]),
                    ["tool_output call_1 {}", "respond respond-1"],
                    "{status:?}, words {words}, tool after {takes:?}"
                );
                assert_eq!(runs(&rig).len(), 1);
                // Nothing is left to be asked for behind that one.
                rig.answers("resp_2", "item_2", 8, 200);
                rig.pass(3_000);
                assert!(rig.take_of(&["respond"]).is_empty(), "{status:?} {words}");
            }
        }
    }
}

#[test]
fn an_answer_that_failed_keeps_its_words_and_its_wait_when_it_called_a_tool() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    rig.media();
    rig.event(response_started("resp_1"));
    rig.event(tool_call_as("resp_1", "call_1", "lookup", "{}"));
    let limit = complaint("rate_limit_exceeded", "Please try again in 1.5s.", None);
    rig.event(done_as("resp_1", ResponseStatus::Failed(limit), 0));
    rig.take();
    ok(&mut rig, 1, "{}");
    rig.pass(1_499);
    assert_eq!(
        rig.take_of(&["tool_output", "respond"]),
        ["tool_output call_1 {}"]
    );
    rig.pass(376);
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-2 `Greet.`"]);
}

#[test]
fn a_call_told_twice_or_without_good_arguments_runs_nothing() {
    let mut rig = Rig::live(setup());
    calls(
        &mut rig,
        "resp_1",
        &[("call_1", "book", "{}"), ("call_1", "book", "{}")],
    );
    let ran = runs(&rig).len();
    assert_eq!(ran, 1);
    ok(&mut rig, 1, "{}");
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(16 * 1024));
    for (number, arguments) in ["[1]", "nonsense", "7", r#"{"cut":"#, &long]
        .iter()
        .enumerate()
    {
        let response = format!("resp_bad_{number}");
        rig.event(caller_turn(&format!("item_{number}")));
        rig.take();
        calls(
            &mut rig,
            &response,
            &[(&format!("call_bad_{number}"), "book", arguments)],
        );
        let done = rig.take_of(WORDS);
        assert_eq!(done[0], "violation model:bad_tool_arguments");
        assert!(done[1].contains("\"error\""), "{done:?}");
        assert!(done[2].starts_with("respond "), "{done:?}");
        rig.event(response_started(&format!("resp_after_{number}")));
        rig.event(done_as(
            &format!("resp_after_{number}"),
            ResponseStatus::Completed,
            1,
        ));
    }
    assert_eq!(runs(&rig).len(), 1, "no bad call ran");
}

#[test]
fn an_interruption_neither_stops_a_tool_nor_runs_it_again() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.says("resp_1", "item_1", 7, 2_000, 0);
    rig.pass(400);
    rig.event(tool_call_as("resp_1", "call_1", "book", r#"{"at":9}"#));
    rig.pass(100);
    rig.event(speech_started());
    rig.event(done_as("resp_1", ResponseStatus::Interrupted, 1));
    rig.take();
    ok(&mut rig, 1, r#"{"code":"A7"}"#);
    assert_eq!(
        rig.take_of(WORDS),
        [r#"tool_output call_1 {"code":"A7"}"#],
        "the caller speaks: they are answered when they are done"
    );
    rig.event(speech_stopped());
    rig.event(caller_turn("item_c1"));
    // The model repeats its wish, in other clothes.
    calls(
        &mut rig,
        "resp_2",
        &[("call_2", "book", r#"{"at":9.0,"note":null}"#)],
    );
    assert_eq!(
        rig.take_of(WORDS),
        [
            "violation model:tool_wish_again",
            r#"tool_output call_2 {"code":"A7"}"#,
            "respond respond-1"
        ]
    );
    assert_eq!(runs(&rig).len(), 1);
}

#[test]
fn a_tool_called_in_an_answer_the_caller_has_spoken_over_is_not_run() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.says("resp_1", "item_1", 7, 2_000, 0);
    rig.pass(400);
    rig.event(speech_started());
    rig.take();
    rig.event(tool_call_as("resp_1", "call_1", "book", "{}"));
    rig.event(done_as("resp_1", ResponseStatus::Interrupted, 1));
    let done = rig.take_of(WORDS);
    assert_eq!(done.len(), 1, "{done:?}");
    assert!(done[0].starts_with("tool_output call_1") && done[0].contains("not done"));
}

/// Books, hears the outcome for so long, speaks, and has the model book the same again: how often it was run.
fn booked_twice(heard_ms: u64, speaks: bool) -> Vec<ToolRun> {
    let mut rig = Rig::live(setup());
    calls(&mut rig, "resp_1", &[("call_1", "book", r#"{"at":9}"#)]);
    ok(&mut rig, 1, r#"{"code":"A7"}"#);
    rig.answers("resp_2", "item_2", 7, 4_000);
    rig.pass(heard_ms);
    if speaks {
        caller_says(&mut rig, "item_c2");
    }
    calls(&mut rig, "resp_3", &[("call_2", "book", r#"{"at":9}"#)]);
    runs(&rig)
}

#[test]
fn a_caller_who_heard_the_outcome_and_asks_again_gets_a_second_effect() {
    let twice = booked_twice(6_000, true);
    assert_eq!(twice.len(), 2, "they heard it all and asked again");
    assert_ne!(twice[0].key, twice[1].key);
    assert_eq!(
        booked_twice(2_000, true).len(),
        2,
        "they interrupted after two seconds of it"
    );
    assert_eq!(booked_twice(1_000, true).len(), 1, "they cannot know yet");
    assert_eq!(booked_twice(6_000, false).len(), 1, "nobody asked again");
}

#[test]
fn what_certainly_changed_nothing_may_be_tried_again_and_what_is_unknown_may_not() {
    for (result, runs_then) in [
        (ToolResult::Failed, 2),
        (ToolResult::Refused, 2),
        (ToolResult::Unknown, 1),
        (ToolResult::Panicked, 1),
        (ToolResult::Repeated, 1),
    ] {
        let mut rig = Rig::live(setup());
        calls(&mut rig, "resp_1", &[("call_1", "book", "{}")]);
        rig.event(tool_finished(1, result, r#"{"error":"x"}"#));
        calls(&mut rig, "resp_2", &[("call_2", "book", "{}")]);
        assert_eq!(runs(&rig).len(), runs_then, "{}", result.label());
    }
}

#[test]
fn a_deadline_is_told_and_a_late_outcome_too() {
    let mut rig = Rig::live(setup());
    calls(
        &mut rig,
        "resp_1",
        &[("call_1", "lookup", "{}"), ("call_2", "book", "{}")],
    );
    rig.take();
    rig.pass(5_000);
    assert!(rig.take_of(WORDS).is_empty());
    rig.pass(300);
    let told = rig.take_of(WORDS);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].contains("lookup did not answer in time"),
        "{told:?}"
    );
    assert!(
        told[1].contains("It is not known whether this was done"),
        "{told:?}"
    );
    assert!(told[2].starts_with("respond"), "{told:?}");
    rig.answers("resp_2", "item_2", 7, 500);
    rig.pass(2_000);
    rig.take();
    ok(&mut rig, 2, r#"{"code":"A7"}"#);
    rig.event(tool_finished(1, ToolResult::TimedOut, "{}"));
    let told = rig.take_of(WORDS);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains(r#"has answered: {"code":"A7"}"#),
        "{told:?}"
    );
    assert_eq!(told[1], "respond respond-2");
}

#[test]
fn an_outcome_that_stays_unknown_may_be_wished_again_by_the_caller_and_not_by_the_model() {
    for late in [false, true] {
        let mut rig = Rig::live(setup());
        calls(&mut rig, "resp_1", &[("call_1", "book", "{}")]);
        if late {
            // The tool hangs beyond its deadline, and then nobody knows either.
            rig.pass(5_300);
        }
        rig.event(tool_finished(1, ToolResult::Unknown, "{}"));
        calls(&mut rig, "resp_2", &[("call_2", "book", "{}")]);
        assert_eq!(runs(&rig).len(), 1, "the model by itself");
        rig.answers("resp_3", "item_3", 7, 2_000);
        rig.pass(4_000);
        caller_says(&mut rig, "item_c1");
        calls(&mut rig, "resp_4", &[("call_3", "book", "{}")]);
        assert_eq!(
            runs(&rig).len(),
            2,
            "the caller, who knows that nobody knows"
        );
    }
}

#[test]
fn a_deadline_that_passes_without_a_session_is_told_to_the_next() {
    let mut rig = Rig::live(setup());
    calls(&mut rig, "resp_1", &[("call_1", "lookup", "{}")]);
    rig.event(model_closed(None));
    rig.pass(6_000);
    rig.take();
    rig.ready();
    rig.pass(1_500);
    let told = rig.take_of(&["tell"]);
    assert_eq!(told.len(), 2, "the briefing, and what came after: {told:?}");
    assert!(told[1].contains("did not answer in time"), "{told:?}");
}

#[test]
fn silence_with_a_tool_running_is_filled_and_its_end_is_not() {
    let clip = FillerWords::Clip {
        audio: voice(9, 600),
        text: "One moment.".to_owned(),
    };
    let mut rig = Rig::live(with_filler(clip));
    calls(&mut rig, "resp_1", &[("call_1", "lookup", "{}")]);
    rig.pass(1_400);
    assert_eq!(rig.phone.heard_ms(9, rig.now), 0);
    rig.pass(800);
    assert_eq!(rig.phone.heard_ms(9, rig.now), 600);
    ok(&mut rig, 1, "{}");
    rig.answers("resp_2", "item_2", 7, 500);
    rig.pass(20_000);
    assert_eq!(
        rig.phone.heard_ms(9, rig.now),
        600,
        "no filler without a tool"
    );

    let model = FillerWords::Model {
        instructions: "Say that it takes a moment.".to_owned(),
    };
    let mut rig = Rig::live(with_filler(model));
    rig.talks = Some(700);
    calls(&mut rig, "resp_1", &[("call_1", "lookup", "{}")]);
    rig.pass(1_600);
    assert_eq!(
        rig.take_of(&["respond"]),
        ["respond respond-1 `Say that it takes a moment.`"]
    );
    rig.pass(400);
    ok(&mut rig, 1, "{}");
    rig.pass(3_000);
    assert_eq!(
        rig.take_of(&["tool_output", "respond"]),
        ["tool_output call_1 {}", "respond respond-2"],
        "the answer waits for the filler to be said"
    );
}

#[test]
fn a_model_that_calls_tools_for_ever_is_told_to_answer_and_then_left_alone() {
    let mut rig = Rig::live(setup());
    rig.event(caller_turn("item_c1"));
    let mut asked = 0;
    for number in 1..=20 {
        let call = format!("call_{number}");
        let arguments = format!(r#"{{"page":{number}}}"#);
        rig.take();
        calls(
            &mut rig,
            &format!("resp_{number}"),
            &[(&call, "lookup", &arguments)],
        );
        ok(&mut rig, number, "{}");
        let told = rig.take_of(&["respond"]);
        if number == 9 {
            assert!(told[0].contains("Do not call any more tools"), "{told:?}");
        }
        asked += told.len();
    }
    assert_eq!(runs(&rig).len(), 8);
    assert_eq!(asked, 9);
    rig.event(caller_turn("item_c2"));
    calls(&mut rig, "resp_30", &[("call_30", "lookup", "{}")]);
    assert_eq!(runs(&rig).len(), 9, "a new turn, a new count");
}

#[test]
fn tools_the_server_runs_are_followed_by_an_answer_and_count_as_well() {
    let mut rig = Rig::live(setup());
    rig.event(caller_turn("item_c1"));
    let mut asked = 0;
    for number in 1..=20 {
        let response = format!("resp_{number}");
        rig.event(response_started(&response));
        rig.event(done_with_server_calls(&response, 1));
        asked += rig.take_of(&["respond"]).len();
    }
    assert_eq!(asked, 9);
    assert_eq!(rig.call.violations(Peer::Model, "empty_response"), 0);
    assert_eq!(rig.call.violations(Peer::Model, "tool_loop"), 11);
}

#[test]
fn an_outcome_that_comes_after_the_session_was_lost_is_told_to_the_next() {
    // Before the new session is there, and after.
    for late in [false, true] {
        let mut rig = Rig::live(setup());
        rig.obliging = true;
        caller_says(&mut rig, "item_c1");
        calls(&mut rig, "resp_1", &[("call_1", "book", r#"{"at":9}"#)]);
        rig.take();
        rig.event(model_closed(None));
        if late {
            rig.pass(1_000);
            assert!(
                briefing(&rig).contains("still running"),
                "{}",
                briefing(&rig)
            );
            rig.event(response_started("resp_2"));
            rig.event(delta("resp_2", "item_2", voice(7, 20)));
            rig.event(done_as("resp_2", ResponseStatus::Completed, 1));
            rig.take();
            ok(&mut rig, 1, r#"{"code":"A7"}"#);
            let told = rig.take_of(WORDS);
            assert!(
                told[0].contains(r#"has answered: {"code":"A7"}"#),
                "{told:?}"
            );
            assert_eq!(told[1..], ["respond respond-2"]);
        } else {
            ok(&mut rig, 1, r#"{"code":"A7"}"#);
            rig.pass(1_000);
            let told = briefing(&rig);
            assert!(
                told.contains(r#"You called the tool book with {"at":9}: {"code":"A7"}"#),
                "{told}"
            );
            assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
        }
        // And a model that books it again all the same gets what it had.
        calls(&mut rig, "resp_3", &[("call_1b", "book", r#"{"at":9}"#)]);
        assert_eq!(runs(&rig).len(), 1);
        assert!(
            rig.take()
                .contains(&r#"tool_output call_1b {"code":"A7"}"#.to_owned())
        );
    }
}

#[test]
fn a_fault_in_a_step_runs_no_effect_under_another_key() {
    for keep_playback in [true, false] {
        let mut rig = Rig::live(setup());
        calls(
            &mut rig,
            "resp_1",
            &[("call_1", "book", "{}"), ("call_2", "lookup", "{}")],
        );
        rig.rebuild(keep_playback);
        let ran = runs(&rig);
        let names: Vec<&str> = ran.iter().map(|run| run.tool.as_str()).collect();
        assert_eq!(names, ["book", "lookup", "book"]);
        assert_eq!(
            ran[0].key, ran[2].key,
            "the journal knows that it is the same"
        );
        rig.take();
        ok(&mut rig, 1, r#"{"code":"A7"}"#);
        ok(&mut rig, 1, r#"{"code":"A7"}"#);
        ok(&mut rig, 2, "{}");
        assert_eq!(
            rig.take_of(WORDS),
            [
                r#"tool_output call_1 {"code":"A7"}"#,
                "tool_output call_2 {}",
                "respond respond-1"
            ]
        );
    }
}

#[test]
fn a_checkpoint_carries_the_tools_into_another_process() {
    let mut rig = Rig::live(setup());
    calls(&mut rig, "resp_1", &[("call_1", "book", r#"{"at":9}"#)]);
    ok(&mut rig, 1, r#"{"code":"A7"}"#);
    calls(
        &mut rig,
        "resp_2",
        &[
            ("call_2", "book", r#"{"at":10}"#),
            ("call_3", "lookup", "{}"),
        ],
    );
    let text = serde_json::to_string(rig.call.tool_memory()).unwrap();
    let before = runs(&rig);

    let memory: ToolMemory = serde_json::from_str(&text).unwrap();
    let mut next = Rig::new(setup());
    next.call.restore_tools(memory, next.now);
    next.media();
    next.ready();
    let again = runs(&next);
    assert_eq!(again.len(), 1, "only the effect that was under way");
    assert_eq!(again[0].key, before[1].key);
    assert_eq!(again[0].arguments, before[1].arguments);
    assert_eq!(again[0].call, before[1].call, "the same in every letter");
    calls(&mut next, "resp_9", &[("call_9", "book", r#"{"at":9}"#)]);
    assert!(
        next.take()
            .contains(&r#"tool_output call_9 {"code":"A7"}"#.to_owned())
    );
    let states = next
        .call
        .detail(next.now)
        .tools
        .into_iter()
        .map(|row| row.state);
    assert_eq!(states.collect::<Vec<_>>(), ["ok", "running", "failed"]);
}

#[test]
fn a_call_that_is_over_does_not_answer_its_tools() {
    let mut rig = Rig::live(setup());
    calls(&mut rig, "resp_1", &[("call_1", "book", "{}")]);
    rig.event(hang_up());
    rig.take();
    ok(&mut rig, 1, "{}");
    assert!(rig.take().is_empty());
    assert_eq!(rig.call.poll_timeout(), None);
}

/// An outcome longer than a checkpoint keeps, and shorter than the call does.
fn long_outcome() -> String {
    format!(r#"{{"notes":"{}"}}"#, "x".repeat(5_000))
}

#[test]
fn a_long_outcome_that_is_wished_again_comes_whole_in_the_next_process_too() {
    let long = long_outcome();
    let mut rig = Rig::live(setup());
    calls(&mut rig, "resp_1", &[("call_1", "book", r#"{"at":9}"#)]);
    ok(&mut rig, 1, &long);
    rig.take();
    calls(&mut rig, "resp_2", &[("call_2", "book", r#"{"at":9}"#)]);
    let whole = |call: &str| format!("tool_output {call} {long}");
    assert!(rig.take().contains(&whole("call_2")));
    let before = runs(&rig);
    assert_eq!(before.len(), 1, "what is kept whole is not run again");

    let memory = rig.call.checkpoint(rig.now).tools;
    let mut next = Rig::new(setup());
    next.call.restore_tools(memory, next.now);
    next.media();
    next.ready();
    assert!(runs(&next).is_empty(), "its outcome is known");
    next.take();
    calls(&mut next, "resp_8", &[("call_8", "book", r#"{"at":9}"#)]);
    let asks = runs(&next);
    assert_eq!(asks.len(), 1, "the journal has it whole");
    assert_eq!(asks[0].key, before[0].key);
    assert!(asks[0].again);
    next.event(tool_finished(1, ToolResult::Repeated, &long));
    assert!(next.take().contains(&whole("call_8")));
    calls(&mut next, "resp_9", &[("call_9", "book", r#"{"at":9}"#)]);
    assert!(next.take().contains(&whole("call_9")));
    assert_eq!(
        runs(&next).len(),
        1,
        "from now on it is kept whole here, too"
    );
}

#[test]
fn a_clipped_outcome_stays_known_while_the_journal_does_not_answer() {
    let mut rig = Rig::live(setup());
    calls(&mut rig, "resp_1", &[("call_1", "book", r#"{"at":9}"#)]);
    ok(&mut rig, 1, &long_outcome());
    let memory = rig.call.checkpoint(rig.now).tools;
    let mut next = Rig::new(setup());
    next.call.restore_tools(memory, next.now);
    next.media();
    next.ready();
    for (result, call) in [
        (ToolResult::Unknown, "call_8"),
        (ToolResult::Failed, "call_9"),
    ] {
        next.take();
        let response = format!("resp_{call}");
        calls(&mut next, &response, &[(call, "book", r#"{"at":9}"#)]);
        next.event(tool_finished(
            1,
            result,
            r#"{"error":"the journal is away"}"#,
        ));
        let told = next.take();
        let told = told
            .iter()
            .find_map(|line| line.strip_prefix(&format!("tool_output {call} ")));
        let told: serde_json::Value = serde_json::from_str(told.unwrap()).unwrap();
        assert!(
            told["status"].as_str().unwrap().contains("done before"),
            "{told}"
        );
        assert!(
            told["beginning"]
                .as_str()
                .unwrap()
                .starts_with(r#"{"notes":"xx"#)
        );
    }
    let keys: Vec<String> = runs(&next).into_iter().map(|run| run.key).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1], "never under another key");
}

// ---- servers that tell of a call in one event alone ----

fn arguments_done(response: &str, call: &str, name: Option<&str>) -> Event {
    model(ModelEvent::ToolArguments {
        response: id(response),
        item: id("item_of_call"),
        call: id(call),
        name: name.map(ToOwned::to_owned),
        arguments: r#"{"phone":"+15550142"}"#.to_owned(),
        complete: true,
    })
}

fn done_with(response: &str, status: ResponseStatus, calls: &[(&str, bool)]) -> Event {
    let calls = calls.iter().map(|(call, complete)| ItemDone {
        id: id("item_of_call"),
        kind: ItemKind::ToolCall {
            call: id(call),
            name: "lookup".to_owned(),
            arguments: r#"{"phone":"+15550142"}"#.to_owned(),
            complete: *complete,
        },
    });
    let calls: Vec<ItemDone> = calls.collect();
    let count = u32::try_from(calls.len()).expect("a few");
    model(ModelEvent::ResponseDone(Box::new(ResponseDone {
        id: id(response),
        status,
        items: count,
        spoken_items: 0,
        tool_calls: count,
        calls,
        last_message: None,
        server_calls: 0,
        usage: None,
        dollars: 0.0,
    })))
}

const RUN: &str = r#"run lookup {"phone":"+15550142"}"#;

#[test]
fn a_call_is_run_once_in_whichever_events_it_is_told() {
    let item = || tool_call_as("resp_1", "call_1", "lookup", r#"{"phone":"+15550142"}"#);
    let arguments = || arguments_done("resp_1", "call_1", Some("lookup"));
    let nothing = || done_with("resp_1", ResponseStatus::Completed, &[]);
    let whole = || done_with("resp_1", ResponseStatus::Completed, &[("call_1", true)]);
    for (name, events) in [
        ("all three", vec![arguments(), item(), whole()]),
        ("item alone", vec![item(), nothing()]),
        ("arguments alone", vec![arguments(), nothing()]),
        ("end alone", vec![whole()]),
        ("arguments and end", vec![arguments(), whole()]),
        ("item and end", vec![item(), whole()]),
        ("the end twice", vec![whole(), whole()]),
    ] {
        let mut rig = Rig::live(setup());
        rig.event(response_started("resp_1"));
        for event in events {
            rig.event(event);
        }
        let effects = rig.take_of(&["run", "violation", "respond"]);
        assert_eq!(effects, [RUN], "{name}");
        rig.event(tool_finished(1, ToolResult::Ok, "{}"));
        let effects = rig.take_of(&["tool_output", "respond"]);
        assert_eq!(
            effects,
            ["tool_output call_1 {}", "respond respond-1"],
            "{name}"
        );
    }
}

#[test]
fn the_name_of_a_call_may_stand_where_its_item_began() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(model(ModelEvent::ItemStarted {
        response: id("resp_1"),
        item: id("item_of_call"),
        tool: Some("lookup".to_owned()),
    }));
    rig.event(arguments_done("resp_1", "call_1", None));
    rig.event(done_with("resp_1", ResponseStatus::Completed, &[]));
    assert_eq!(rig.take_of(&["run", "violation"]), [RUN]);
    // Nobody said what it is a call of: it is answered, not run.
    rig.event(response_started("resp_2"));
    rig.event(model(ModelEvent::ToolArguments {
        response: id("resp_2"),
        item: id("item_elsewhere"),
        call: id("call_2"),
        name: None,
        arguments: "{}".to_owned(),
        complete: true,
    }));
    rig.event(done_with("resp_2", ResponseStatus::Completed, &[]));
    assert!(rig.take_of(&["run"]).is_empty());
}

#[test]
fn a_call_of_an_answer_that_did_not_come_to_its_end_is_not_run() {
    for status in [
        ResponseStatus::Interrupted,
        ResponseStatus::Cancelled,
        ResponseStatus::OutOfTokens,
        ResponseStatus::Other,
    ] {
        let mut rig = Rig::live(setup());
        rig.event(response_started("resp_1"));
        rig.event(arguments_done("resp_1", "call_1", Some("lookup")));
        rig.event(done_with("resp_1", status.clone(), &[("call_1", false)]));
        // Nor later, in another's name.
        rig.event(response_started("resp_2"));
        rig.event(done_with("resp_2", ResponseStatus::Completed, &[]));
        assert!(rig.take_of(&["run"]).is_empty(), "{status:?}");
    }
}
