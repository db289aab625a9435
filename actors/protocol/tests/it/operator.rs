//! What an operator has a live call do: say, know, transfer; and when it is refused.

use std::sync::Arc;

use crate::common::events::{
    caller_turn, caller_words, delta, done_with_tools, model_closed, opened, response_done,
    response_started, setup, speech_started, speech_stopped, tool_call_as, voice,
};
use crate::common::rig::Rig;
use call_protocol::call::effect::Effect;
use call_protocol::call::event::{BadWords, Event, MAX_WORDS, OperatorEvent, OperatorText};
use call_protocol::call::operator::Objection;
use call_protocol::call::outcome::Destination;
use call_protocol::call::{CallSetup, TRANSFER_CALL};
use call_protocol::model::command::{ModelCommand, Role};

fn words(text: &str) -> OperatorText {
    OperatorText::parse(text).unwrap()
}

fn say(text: &str) -> Event {
    Event::Operator(OperatorEvent::Say(words(text)))
}

fn instruct(text: &str) -> Event {
    Event::Operator(OperatorEvent::Instruct(words(text)))
}

fn number() -> Destination {
    Destination::Number("+15550177".to_owned())
}

fn transfer(to: Destination) -> Event {
    Event::Operator(OperatorEvent::Transfer(to))
}

fn with_targets() -> CallSetup {
    let mut setup = setup();
    let agent = Arc::make_mut(&mut setup.agent);
    agent.transfer_targets = vec!["front_desk".to_owned()];
    setup
}

/// The notes told to sessions so far, each time they were.
fn told(rig: &Rig) -> Vec<String> {
    let of_system = |(_, effect): &(_, Effect)| match effect {
        Effect::ToModel(
            _,
            ModelCommand::Tell {
                role: Role::System,
                text,
            },
        ) => Some(text.clone()),
        _ => None,
    };
    rig.log.iter().filter_map(of_system).collect()
}

#[test]
fn words_have_something_in_them_and_an_end() {
    assert_eq!(words("  We close at six.\n").as_str(), "We close at six.");
    for empty in ["", "  ", "\n\t"] {
        assert_eq!(OperatorText::parse(empty), Err(BadWords::Empty));
    }
    assert!(OperatorText::parse(&"ä".repeat(MAX_WORDS)).is_ok());
    assert_eq!(
        OperatorText::parse(&"ä".repeat(MAX_WORDS + 1)),
        Err(BadWords::TooLong)
    );
}

#[test]
fn what_is_to_be_said_is_asked_for_word_for_word() {
    let mut rig = Rig::live(setup());
    rig.event(say("We close at six."));
    assert_eq!(
        rig.take_of(&["respond"]),
        ["respond respond-1 `We close at six.`"]
    );
    rig.answers("resp_1", "item_1", 7, 1_000);
    rig.pass(3_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 1_000);
    assert!(rig.take_of(&["respond"]).is_empty(), "said once");
}

#[test]
fn texts_are_said_in_their_order_each_when_the_model_is_free() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    for text in ["One.", "Two.", "Three."] {
        rig.event(say(text));
    }
    assert!(rig.take_of(&["respond"]).is_empty(), "an answer runs");
    let mut asked = Vec::new();
    for response in ["resp_1", "resp_2", "resp_3", "resp_4"] {
        rig.event(response_started(response));
        rig.event(delta(response, response, voice(7, 100)));
        rig.event(response_done(response));
        asked.extend(rig.take_of(&["respond"]));
    }
    let last = |asked: &String| asked.rsplit_once('`').unwrap().0.to_owned();
    let asked: Vec<_> = asked.iter().map(last).collect();
    assert_eq!(
        asked,
        [
            "respond respond-1 `One.",
            "respond respond-2 `Two.",
            "respond respond-3 `Three."
        ]
    );
}

#[test]
fn a_caller_who_speaks_before_the_model_has_begun_hears_the_text_afterwards() {
    let mut rig = Rig::live(setup());
    rig.event(say("We close at six."));
    rig.take();
    rig.event(speech_started());
    rig.event(response_started("resp_1"));
    rig.event(response_done("resp_1"));
    rig.event(speech_stopped());
    rig.event(caller_turn("item_caller"));
    assert!(
        rig.take_of(&["respond"]).is_empty(),
        "the caller is answered first"
    );
    rig.answers("resp_2", "item_2", 7, 500);
    rig.pass(1_000);
    assert_eq!(
        rig.take_of(&["respond"]),
        ["respond respond-2 `We close at six.`"]
    );
}

#[test]
fn a_caller_who_speaks_into_the_text_does_not_hear_it_again() {
    let mut rig = Rig::live(setup());
    rig.event(say("We close at six."));
    rig.event(response_started("resp_1"));
    rig.event(delta("resp_1", "item_1", voice(7, 2_000)));
    rig.pass(500);
    rig.event(speech_started());
    rig.event(response_done("resp_1"));
    rig.event(speech_stopped());
    rig.take();
    rig.answers("resp_2", "item_2", 8, 500);
    rig.pass(5_000);
    assert!(rig.take_of(&["respond"]).is_empty());
}

#[test]
fn a_text_that_was_lost_with_its_session_is_said_in_the_next() {
    let mut rig = Rig::live(setup());
    rig.event(say("We close at six."));
    rig.take();
    rig.obliging = true;
    rig.event(model_closed(None));
    rig.talks = Some(500);
    rig.pass(10_000);
    let asked = rig.take_of(&["respond"]);
    let of_text = asked
        .iter()
        .filter(|asked| asked.contains("We close at six."));
    assert_eq!(of_text.count(), 1, "{asked:?}");
}

#[test]
fn an_instruction_is_told_without_asking_for_an_answer() {
    let mut rig = Rig::live(setup());
    rig.event(instruct("The sauna is closed today."));
    assert_eq!(
        rig.take_of(&["tell", "respond", "checkpoint"]),
        ["tell system `The sauna is closed today.`", "checkpoint"]
    );
}

#[test]
fn an_instruction_outlives_the_session_it_was_told_to() {
    let mut rig = Rig::live(setup());
    rig.event(caller_words("item_1", "Hello."));
    rig.event(instruct("The sauna is closed today."));
    let checkpoint = rig.call.checkpoint(rig.now);
    assert_eq!(checkpoint.notes, ["The sauna is closed today."]);
    rig.obliging = true;
    rig.event(model_closed(None));
    rig.pass(3_000);
    let of_sauna = told(&rig)
        .into_iter()
        .filter(|text| text.contains("sauna"))
        .count();
    assert_eq!(of_sauna, 2, "once to each session");
}

#[test]
fn the_next_session_of_a_long_call_knows_the_instructions() {
    let mut rig = Rig::new(setup());
    rig.obliging = true;
    rig.lifetime = Some(120);
    rig.event(opened());
    rig.media();
    rig.pass(100);
    rig.event(instruct("The sauna is closed today."));
    rig.take();
    rig.pass(70_000);
    let rolled = rig.take_of(&["rolled_over", "tell"]);
    assert_eq!(
        rolled,
        ["rolled_over ok", "tell system `The sauna is closed today.`"]
    );
}

#[test]
fn an_operator_sends_the_caller_to_any_number_when_he_has_heard_so() {
    let mut rig = Rig::live(with_targets());
    rig.talks = Some(900);
    rig.event(transfer(number()));
    let asked = rig.take_of(&["respond"]);
    assert!(
        asked[0].contains("you are connecting them now"),
        "{asked:?}"
    );
    rig.pass_until_over(20_000);
    let snapshot = rig.call.snapshot(rig.now);
    assert_eq!(snapshot.ended.unwrap().label(), "transferred");
    assert_eq!(snapshot.transfer_to, Some(number()));
    assert_eq!(rig.phone.heard_ms(201, rig.now), 900);
}

#[test]
fn where_an_operator_sends_the_caller_is_not_the_models_to_change() {
    let mut rig = Rig::live(with_targets());
    rig.event(transfer(number()));
    rig.event(response_started("resp_1"));
    let arguments = r#"{"target":"front_desk"}"#;
    rig.event(tool_call_as("resp_1", "call_1", TRANSFER_CALL, arguments));
    rig.event(done_with_tools("resp_1", 1));
    rig.pass_until_over(60_000);
    assert_eq!(rig.call.snapshot(rig.now).transfer_to, Some(number()));
}

#[test]
fn a_transfer_needs_no_model_and_everything_else_does() {
    let mut rig = Rig::live(with_targets());
    rig.event(model_closed(None));
    let objection = |rig: &Rig, event: &Event| match event {
        Event::Operator(wish) => rig.call.objection(wish),
        _ => panic!("no wish"),
    };
    let away = Some(Objection::ModelAway);
    assert_eq!(objection(&rig, &say("Hello.")), away);
    assert_eq!(objection(&rig, &instruct("Be brief.")), away);
    let desk = Destination::Target("front_desk".to_owned());
    assert_eq!(objection(&rig, &transfer(desk.clone())), None);
    rig.event(transfer(desk.clone()));
    rig.pass(100);
    assert_eq!(rig.call.snapshot(rig.now).transfer_to, Some(desk));
}

#[test]
fn wishes_are_refused_where_they_make_no_sense_and_then_do_nothing() {
    let moon = Destination::Target("the moon".to_owned());
    let wishes = || [say("Hello."), instruct("Be brief."), transfer(number())];
    let refused = |rig: &mut Rig, event: Event, why: Objection| {
        rig.take();
        let Event::Operator(wish) = &event else {
            panic!("no wish");
        };
        assert_eq!(rig.call.objection(wish), Some(why), "{wish:?}");
        rig.event(event);
        assert!(rig.take().is_empty());
    };
    let mut rig = Rig::new(with_targets());
    rig.ready();
    rig.started();
    for wish in wishes() {
        refused(&mut rig, wish, Objection::NotInMedia);
    }
    let mut rig = Rig::live(with_targets());
    refused(&mut rig, transfer(moon), Objection::NobodyByThatName);
    rig.event(response_started("resp_1"));
    for _ in 0..8 {
        rig.event(say("Hello."));
    }
    refused(&mut rig, say("Hello."), Objection::TooMuchToSay);
    rig.event(transfer(number()));
    for wish in wishes() {
        refused(&mut rig, wish, Objection::Leaving);
    }
    rig.event(Event::Operator(OperatorEvent::HangUp));
    for wish in wishes() {
        refused(&mut rig, wish, Objection::Over);
    }
}
