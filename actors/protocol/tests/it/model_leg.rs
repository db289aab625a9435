//! The link to the model: dialled, configured, lost, dialled again, given up.

use std::sync::Arc;
use std::time::Duration;

use crate::common::events::{
    agent_words, caller_words, complaint, configured, delta, error, failed, model, model_closed,
    opened, refused, response_started, session, session_created, setup, setup_greeting,
    speech_started, speech_stopped, tool_call, voice,
};
use crate::common::rig::Rig;
use call_protocol::audio::AudioFormat;
use call_protocol::call::CallSetup;
use call_protocol::call::effect::Effect;
use call_protocol::call::event::Event;
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::{ModelEvent, Refusal, SessionInfo};
use call_protocol::model::openai::errors::understood;
use call_protocol::time::Time;
use serde_json::json;

/// Milliseconds from a loss to the next dial.
fn wait_before_dial(rig: &mut Rig) -> u64 {
    rig.take();
    let since = rig.now;
    for _ in 0..10_000 {
        rig.pass(1);
        if rig.take().iter().any(|effect| effect == "dial") {
            return rig.now.millis_since(since);
        }
    }
    panic!("not dialled again")
}

#[test]
fn a_refused_configuration_is_followed_by_the_least_one_once() {
    let mut rig = Rig::new(setup());
    rig.event(opened());
    rig.event(session_created());
    rig.take();
    rig.event(error(complaint(
        "unknown_parameter",
        "No.",
        Some("configure-1"),
    )));
    assert_eq!(
        rig.take(),
        [
            "complaint unknown_parameter",
            "configure configure-1-least (least)"
        ]
    );
    rig.event(error(complaint(
        "unknown_parameter",
        "No.",
        Some("configure-1-least"),
    )));
    assert_eq!(rig.take_of(&["stopped"]), ["stopped model_refused"]);
}

#[test]
fn the_least_configuration_makes_a_session_too() {
    let mut rig = Rig::new(setup());
    rig.event(opened());
    rig.event(error(complaint(
        "invalid_value",
        "No.",
        Some("configure-1"),
    )));
    rig.event(configured());
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
}

#[test]
fn a_late_refusal_of_the_full_wish_does_not_refuse_the_least() {
    let mut rig = Rig::new(setup());
    rig.event(opened());
    rig.event(error(complaint(
        "invalid_value",
        "No.",
        Some("configure-1"),
    )));
    rig.event(error(complaint(
        "invalid_value",
        "No.",
        Some("configure-1"),
    )));
    assert!(!rig.call.is_over());
}

#[test]
fn a_session_that_hesitates_to_open_or_to_configure_is_given_up_after_five_seconds() {
    let mut rig = Rig::new(setup());
    rig.media();
    rig.pass(4_999);
    assert!(rig.take_of(&["lost"]).is_empty());
    rig.pass(1);
    assert_eq!(rig.take_of(&["lost"]), ["lost timeout redial=true"]);
    rig.pass(300);
    rig.event(opened());
    rig.pass(4_999);
    assert!(rig.take_of(&["lost"]).is_empty());
    rig.pass(1);
    assert_eq!(
        rig.take_of(&["lost"]),
        ["lost configure_timeout redial=true"]
    );
}

#[test]
fn each_loss_in_a_row_is_waited_out_longer() {
    let mut rig = Rig::new(setup());
    rig.media();
    let mut waits = Vec::new();
    for _ in 0..4 {
        rig.event(refused(Refusal::Network));
        waits.push(wait_before_dial(&mut rig));
    }
    for (wait, longest) in waits.iter().zip([250, 500, 1_000, 2_000]) {
        assert!(
            (longest / 2..=longest).contains(wait),
            "{wait} ms, at most {longest}"
        );
    }
}

#[test]
fn a_wait_the_server_names_with_its_refusal_is_kept() {
    let later = |seconds| {
        refused(Refusal::Later {
            status: 429,
            wait: Duration::from_secs(seconds),
        })
    };
    let mut rig = Rig::new(setup());
    rig.media();
    rig.event(later(4));
    let waited = wait_before_dial(&mut rig);
    assert!((4_000..=5_000).contains(&waited), "{waited} ms");
    // What is left of the caller's patience is shorter than that.
    rig.event(later(12));
    assert_eq!(rig.take_of(&["stopped"]), ["stopped model_lost"]);

    let mut rig = Rig::new(setup());
    rig.media();
    rig.event(refused(Refusal::Later {
        status: 403,
        wait: Duration::from_secs(1),
    }));
    assert_eq!(
        rig.take_of(&["stopped"]),
        ["stopped model_refused"],
        "final is final"
    );
}

#[test]
fn the_fifth_loss_in_fifteen_seconds_ends_the_call() {
    let mut rig = Rig::new(setup());
    rig.media();
    for _ in 0..4 {
        rig.event(refused(Refusal::Status(503)));
        wait_before_dial(&mut rig);
    }
    rig.event(refused(Refusal::Status(503)));
    assert_eq!(
        rig.take(),
        [
            "dialled server_error",
            "close_model",
            "lost server_error redial=false",
            "checkpoint",
            "close_model",
            "close_phone 1000",
            "state stop",
            "stopped model_lost"
        ]
    );
    assert!(rig.now < Time::from_millis(16_000), "the ladder's rung 4");
}

#[test]
fn losses_far_apart_never_end_a_call() {
    let mut rig = Rig::new(setup());
    rig.obliging = true;
    rig.media();
    rig.event(model_closed(None));
    for _ in 0..20 {
        rig.pass(16_000);
        assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
        rig.event(model_closed(Some(1_001)));
    }
    assert_eq!(rig.call.snapshot(rig.now).model.reconnects, 19);
}

#[test]
fn a_model_that_stays_away_is_given_up_inside_sixteen_seconds_however_it_stays_away() {
    for how in ["refuses", "hangs"] {
        let mut rig = Rig::new(setup());
        rig.media();
        rig.ready();
        rig.pass(1_000);
        let lost = rig.now;
        rig.event(model_closed(None));
        while !rig.call.is_over() {
            rig.pass(10);
            if how == "refuses" && rig.take().iter().any(|effect| effect == "dial") {
                rig.event(refused(Refusal::Network));
            }
            assert!(
                rig.now.millis_since(lost) <= 16_000,
                "{how}: the caller waits for ever"
            );
        }
    }
}

#[test]
fn fatal_refusals_end_the_call_at_once_and_for_good() {
    let fatal = [
        refused(Refusal::Status(401)),
        refused(Refusal::Status(403)),
        refused(Refusal::Status(404)),
    ];
    for event in fatal {
        let mut rig = Rig::new(setup());
        rig.event(event);
        assert_eq!(rig.take_of(&["stopped"]), ["stopped model_refused"]);
        rig.pass(60_000);
        assert!(rig.take().is_empty(), "no further dial");
    }
}

#[test]
fn fatal_errors_end_a_running_call_for_good() {
    let fatal = [
        error(complaint("invalid_api_key", "", None)),
        error(complaint("model_not_found", "", None)),
        failed("resp_1", complaint("insufficient_quota", "", None)),
        failed("resp_1", complaint("billing_hard_limit_reached", "", None)),
        model_closed(Some(3_000)),
        model_closed(Some(4_000)),
        model_closed(Some(1_008)),
    ];
    for event in fatal {
        let mut rig = Rig::live(setup());
        rig.event(response_started("resp_1"));
        rig.event(event.clone());
        assert_eq!(
            rig.take_of(&["stopped"]),
            ["stopped model_refused"],
            "{event:?}"
        );
        rig.pass(60_000);
        assert!(rig.take_of(&["dial"]).is_empty());
    }
}

#[test]
fn a_new_session_is_told_what_was_heard() {
    let mut rig = Rig::live(setup());
    rig.event(agent_words("item_1", "Good day, this is the spa."));
    rig.answers("resp_1", "item_1", 7, 400);
    rig.pass(1_000);
    rig.event(caller_words("item_2", "A massage on Friday."));
    rig.take();
    rig.event(model_closed(None));
    rig.obliging = true;
    rig.pass(1_000);
    let told = rig.take_of(&["configure", "tell", "respond"]);
    assert_eq!(
        told,
        [
            "configure configure-2",
            "tell system `Caller: A massage on Friday.`"
        ],
        "the whole wish again, then the briefing"
    );
}

#[test]
fn a_caller_whose_answer_was_lost_is_answered_by_the_next_session() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 400);
    rig.pass(1_000);
    rig.event(speech_stopped());
    rig.take();
    rig.event(model_closed(None));
    rig.obliging = true;
    rig.pass(1_000);
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
}

#[test]
fn a_session_that_was_stuck_is_followed_by_one_that_speaks_first() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 400);
    rig.pass(1_000);
    rig.event(caller_words("item_2", "A massage on Friday."));
    rig.take();
    // Whatever the caller said since its last sign of life, it said nothing of it.
    rig.event(model(ModelEvent::Unresponsive));
    rig.obliging = true;
    rig.pass(1_000);
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
    let told = rig.log.iter().any(|(_, effect)| {
        let shown = format!("{effect:?}");
        shown.contains("you could not hear the caller")
    });
    assert!(told, "and knows why");
}

#[test]
fn a_caller_whose_session_is_lost_while_he_speaks_is_answered_by_the_next_one() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 400);
    rig.pass(1_000);
    rig.event(speech_started());
    rig.take();
    rig.event(model_closed(None));
    rig.obliging = true;
    rig.pass(1_000);
    assert_eq!(rig.take_of(&["respond"]), ["respond respond-1"]);
}

#[test]
fn a_caller_who_owes_the_next_word_is_not_spoken_to_by_the_next_session() {
    let mut rig = Rig::live(setup());
    rig.event(speech_stopped());
    rig.answers("resp_1", "item_1", 7, 400);
    rig.pass(1_000);
    rig.take();
    rig.event(model_closed(None));
    rig.obliging = true;
    rig.pass(1_000);
    assert!(rig.take_of(&["respond"]).is_empty());
}

#[test]
fn audio_that_is_here_goes_on_playing_while_the_model_is_dialled_again() {
    let mut rig = Rig::live(setup());
    rig.answers("resp_1", "item_1", 7, 4_000);
    rig.pass(1_000);
    rig.event(model_closed(None));
    rig.pass(4_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 4_000);
    assert!(rig.phone.gaps.is_empty());
}

#[test]
fn what_the_caller_says_into_the_gap_is_delivered_to_the_next_session() {
    let mut rig = Rig::live(setup());
    rig.pass(1_000);
    rig.event(model_closed(None));
    let before = rig.appended().0.len();
    rig.caller_sends(Some(42));
    rig.obliging = true;
    rig.pass(1_000);
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
    let (delivered, _) = rig.appended();
    let of_gap = delivered[before..]
        .iter()
        .filter(|byte| **byte == 42)
        .count();
    assert!(of_gap >= 49 * 160, "a second of speech, whole");
    assert!(rig.take_of(&["caller_dropped"]).is_empty());
    assert_eq!(rig.call.snapshot(rig.now).model.reconnects, 1);
}

#[test]
fn nothing_late_from_a_session_given_up_is_heard_or_answered() {
    let mut rig = Rig::live(setup());
    let strange = Some(call_protocol::audio::AudioFormat::Other);
    rig.event(crate::common::events::response_started_as(
        "resp_1", strange,
    ));
    assert_eq!(rig.take_of(&["lost"]), ["lost wrong_format redial=true"]);
    rig.event(crate::common::events::delta(
        "resp_1",
        "item_1",
        crate::common::events::voice(7, 100),
    ));
    rig.event(tool_call("resp_1", "gossip", true));
    rig.event(failed("resp_1", complaint("server_error", "", None)));
    rig.event(error(complaint("session_expired", "", None)));
    let mut effects = rig.take();
    effects.retain(|effect| effect != "violation model:outside_session");
    assert!(effects.is_empty(), "{effects:?}");
}

#[test]
fn a_greeting_and_the_briefing_do_not_meet() {
    let mut rig = Rig::new(setup_greeting("Greet."));
    rig.ready();
    rig.media();
    rig.event(caller_words("item_1", "Hello?"));
    rig.take();
    rig.event(model_closed(None));
    rig.obliging = true;
    rig.pass(1_000);
    let asked = rig.take_of(&["tell", "respond"]);
    assert_eq!(
        asked,
        ["tell system `Caller: Hello?`", "respond respond-1 `Greet.`"]
    );
}

#[test]
fn an_answer_broken_off_with_its_session_is_heard_as_far_as_it_came() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    rig.event(agent_words("item_1", "We are open from nine"));
    // Not a whole number of frames, and not the end of the sentence.
    rig.event(delta("resp_1", "item_1", voice(7, 1_010)));
    rig.event(model_closed(Some(1_011)));
    rig.obliging = true;
    rig.pass(2_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 1_010);
    assert_eq!(rig.take_of(&["turn"]), ["turn agent item_1 heard=1010 cut"]);
}

// ---- a part of the configuration that is refused ----

/// A call with these tools, as its session is told of them.
fn setup_with_tools(names: &[&str]) -> CallSetup {
    let mut setup = setup();
    let tools = names
        .iter()
        .map(|name| json!({"type": "function", "name": name}));
    Arc::make_mut(&mut setup.agent).session.tools = tools.collect();
    setup
}

fn about(param: &str, request: &str) -> Event {
    let mut complaint = complaint("invalid_function_parameters", "No.", Some(request));
    complaint.param = Some(param.to_owned());
    let complaint = understood(complaint);
    error(complaint)
}

/// The tools and the request of the last configuration that was asked for, in use or next.
fn asked_for(rig: &Rig) -> (String, Vec<String>) {
    let asked = rig.log.iter().rev().find_map(|(_, effect)| match effect {
        Effect::ToModel(_, ModelCommand::Configure { request, setup }) => Some((request, setup)),
        _ => None,
    });
    let (request, setup) = asked.expect("configured");
    let names = setup
        .tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap_or("-").to_owned());
    (request.clone(), names.collect())
}

#[test]
fn a_tool_that_the_server_refuses_is_left_out_and_the_others_stay() {
    let mut rig = Rig::new(setup_with_tools(&["end_call", "lookup", "book"]));
    rig.event(opened());
    rig.take();
    rig.event(about("session.tools[1].parameters", "configure-1"));
    assert_eq!(
        rig.take(),
        [
            "complaint invalid_function_parameters",
            "violation model:refused_tool",
            "left_out tools.lookup",
            "configure configure-1-without-1",
        ]
    );
    assert_eq!(asked_for(&rig).1, ["end_call", "book"]);
    // The place counts in what was asked for now. An answer to the wish before says nothing of this one.
    rig.event(about("session.tools[0].parameters", "configure-1"));
    assert_eq!(asked_for(&rig).0, "configure-1-without-1");
    rig.event(about(
        "session.tools[1].parameters",
        "configure-1-without-1",
    ));
    assert_eq!(
        asked_for(&rig),
        (
            "configure-1-without-2".to_owned(),
            vec!["end_call".to_owned()]
        )
    );
    rig.event(configured());
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
    // The next session is not asked for them again.
    rig.obliging = true;
    rig.media();
    rig.event(model_closed(None));
    rig.pass(2_000);
    assert_eq!(
        asked_for(&rig),
        (
            "configure-2-without-2".to_owned(),
            vec!["end_call".to_owned()]
        )
    );
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
}

#[test]
fn an_option_that_the_server_refuses_costs_no_tool() {
    for (param, message) in [
        (Some("session.audio.output.voice"), "No such voice."),
        (None, "The 'voice' of this session is not known."),
    ] {
        let mut rig = Rig::new(setup_with_tools(&["lookup"]));
        rig.event(opened());
        let mut refusal = complaint("invalid_value", message, None);
        refusal.param = param.map(ToOwned::to_owned);
        let refusal = understood(refusal);
        rig.event(error(refusal));
        assert_eq!(
            rig.take_of(&["left_out", "violation"]),
            ["violation model:refused_option", "left_out voice"]
        );
        assert_eq!(asked_for(&rig).1, ["lookup"]);
    }
}

#[test]
fn a_refusal_that_names_nothing_costs_the_options_first_and_the_tools_last() {
    let mut rig = Rig::new(setup_with_tools(&["lookup"]));
    rig.event(opened());
    rig.take();
    for (request, next) in [
        ("configure-1", "configure configure-1-tools (with 1 tools)"),
        ("configure-1-tools", "configure configure-1-least (least)"),
    ] {
        rig.event(error(complaint("unknown_parameter", "No.", Some(request))));
        assert_eq!(rig.take_of(&["configure"]), [next]);
    }
    rig.event(error(complaint(
        "unknown_parameter",
        "No.",
        Some("configure-1-least"),
    )));
    assert_eq!(rig.take_of(&["stopped"]), ["stopped model_refused"]);
}

#[test]
fn a_server_that_refuses_one_part_after_the_other_is_asked_for_the_least_in_the_end() {
    let names: Vec<String> = (0..30).map(|number| format!("tool_{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut rig = Rig::new(setup_with_tools(&names));
    rig.event(opened());
    let mut rounds = 0;
    while !rig.call.is_over() {
        let request = asked_for(&rig).0;
        rig.event(about("session.tools[0].parameters", &request));
        rounds += 1;
        assert!(rounds < 20, "{request}");
    }
    assert_eq!(rig.take_of(&["stopped"]), ["stopped model_refused"]);
    println!("30 tools refused one by one: {rounds} configurations");
}

#[test]
fn a_server_that_speaks_pcm_whatever_it_is_asked_costs_no_tools() {
    let mut rig = Rig::new(setup_with_tools(&["lookup"]));
    rig.event(opened());
    let mut pcm = session(AudioFormat::Mulaw);
    pcm.output = Some(AudioFormat::Pcm24k);
    for _ in 0..2 {
        rig.event(model(ModelEvent::SessionConfigured(pcm.clone())));
    }
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
    assert_eq!(asked_for(&rig).1, ["lookup"]);
}

#[test]
fn a_server_that_does_not_say_its_formats_has_those_it_was_asked_for() {
    let mut rig = Rig::new(setup());
    rig.media();
    rig.event(opened());
    rig.event(model(ModelEvent::SessionConfigured(SessionInfo::default())));
    assert_eq!(rig.call.snapshot(rig.now).model.state, "ready");
    rig.answers("resp_1", "item_1", 7, 600);
    rig.pass(1_500);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 600);
    assert!(
        rig.take_of(&["violation", "lost", "transcoding"])
            .is_empty()
    );
}
