//! Keys the caller presses: told as one text, once, or bound to somebody.

use std::sync::Arc;

use crate::common::events::{
    configured, hang_up, key, model_closed, opened, response_done, response_started, setup,
    speech_started, tool_call,
};
use crate::common::rig::Rig;
use call_protocol::call::effect::{Effect, Report};
use call_protocol::call::outcome::Destination;
use call_protocol::call::{CallSetup, END_CALL};
use call_protocol::conversation::Turn;

fn with_desk() -> CallSetup {
    let mut setup = setup();
    let agent = Arc::make_mut(&mut setup.agent);
    agent.keys.insert('0', "front_desk".to_owned());
    setup
}

fn told(rig: &mut Rig) -> Vec<String> {
    rig.take_of(&["tell"])
        .iter()
        .map(|text| {
            let keys =
                text.strip_prefix("tell user `[The caller pressed these keys on the phone: ");
            let keys = keys.and_then(|text| text.strip_suffix("]`"));
            keys.unwrap_or_else(|| panic!("{text}")).to_owned()
        })
        .collect()
}

fn turns(rig: &Rig) -> Vec<Turn> {
    rig.log
        .iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Report(Report::Turn(turn)) => Some(turn.as_ref().clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn keys_within_a_window_become_one_text() {
    let mut rig = Rig::live(setup());
    for digit in ['1', '2', '7'] {
        rig.event(key(digit));
        rig.pass(1_400);
    }
    assert!(told(&mut rig).is_empty());
    rig.pass(200);
    assert_eq!(told(&mut rig), ["127"]);
    rig.pass(60_000);
    assert!(told(&mut rig).is_empty(), "told once");
}

#[test]
fn the_hash_key_ends_a_number_at_once() {
    let mut rig = Rig::live(setup());
    for digit in ['1', '2', '#'] {
        rig.event(key(digit));
        rig.pass(100);
    }
    assert_eq!(told(&mut rig), ["12#"]);
    let asked = rig.time_of("respond").unwrap().as_millis();
    assert_eq!(asked, 200, "and is answered");
}

#[test]
fn keys_apart_are_told_apart() {
    let mut rig = Rig::live(setup());
    for digit in ['1', '*', 'A'] {
        rig.event(key(digit));
        rig.pass(1_600);
    }
    assert_eq!(told(&mut rig), ["1", "*", "A"]);
}

#[test]
fn a_keyboard_that_does_not_stop_fills_no_memory() {
    let mut rig = Rig::live(setup());
    for _ in 0..10_000 {
        rig.event(key('5'));
    }
    rig.pass(1_500);
    assert_eq!(told(&mut rig), ["5".repeat(64)]);
}

#[test]
fn keys_pressed_while_the_model_is_away_are_told_once_it_is_back() {
    let mut rig = Rig::live(setup());
    rig.event(model_closed(None));
    rig.event(key('4'));
    rig.event(key('2'));
    rig.pass(5_000);
    assert!(rig.take_of(&["tell"]).is_empty());
    rig.event(opened());
    rig.event(configured());
    rig.pass(0);
    assert_eq!(told(&mut rig), ["42"]);
    rig.pass(5_000);
    assert!(told(&mut rig).is_empty());
}

#[test]
fn keys_pressed_before_the_model_is_there_are_not_lost() {
    let mut rig = Rig::new(setup());
    rig.media();
    rig.event(key('7'));
    rig.pass(1_000);
    rig.ready();
    rig.pass(2_000);
    assert_eq!(told(&mut rig), ["7"]);
}

#[test]
fn keys_stand_in_the_record_as_pressed_unless_the_agent_masks_them() {
    for (masked, shown) in [(false, "[keys 4711#]"), (true, "[keys •••••]")] {
        let mut setup = setup();
        Arc::make_mut(&mut setup.agent).mask_digits = masked;
        let mut rig = Rig::live(setup);
        for digit in "4711#".chars() {
            rig.event(key(digit));
        }
        rig.pass(0);
        assert_eq!(told(&mut rig), ["4711#"], "the model needs them");
        let turns = turns(&rig);
        assert_eq!(turns.len(), 1);
        assert_eq!(turns[0].said.as_deref(), Some(shown));
        assert_eq!(turns[0].heard.as_deref(), Some(shown));
        let page = format!("{:?}", rig.call.detail(rig.now).turns);
        assert_eq!(page.contains("4711"), !masked);
    }
}

#[test]
fn masked_keys_are_not_told_to_a_later_session_either() {
    let mut setup = setup();
    Arc::make_mut(&mut setup.agent).mask_digits = true;
    let mut rig = Rig::live(setup);
    for digit in "4711#".chars() {
        rig.event(key(digit));
    }
    rig.pass(0);
    rig.take();
    rig.event(model_closed(None));
    rig.obliging = true;
    rig.pass(2_000);
    let briefing = rig.take_of(&["tell"]);
    assert!(briefing[0].contains("[keys •••••]"), "{briefing:?}");
}

#[test]
fn a_bound_key_sends_the_caller_on_when_he_has_heard_that_it_does() {
    let mut rig = Rig::live(with_desk());
    rig.talks = Some(1_200);
    rig.event(key('0'));
    let asked = rig.take_of(&["respond", "tell"]);
    assert!(
        asked.len() == 1 && asked[0].contains("connecting them now"),
        "{asked:?}"
    );
    rig.pass_until_over(20_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped transferred"]);
    assert_eq!(rig.phone.heard_ms(201, rig.now), 1_200);
    let snapshot = rig.call.snapshot(rig.now);
    let front_desk = Destination::Target("front_desk".to_owned());
    assert_eq!(snapshot.transfer_to, Some(front_desk));
}

#[test]
fn a_bound_key_cuts_what_the_agent_says() {
    let mut rig = Rig::live(with_desk());
    rig.talks = Some(1_200);
    rig.event(response_started("resp_1"));
    rig.says("resp_1", "item_1", 7, 20_000, 0);
    rig.pass(1_000);
    rig.take();
    rig.event(key('0'));
    let acts = rig.take_of(&["cancel", "clear", "truncate", "respond"]);
    assert_eq!(acts, ["cancel resp_1", "clear", "truncate item_1/0 1000"]);
    rig.event(response_done("resp_1"));
    rig.pass_until_over(20_000);
    assert_eq!(rig.phone.heard_ms(7, rig.now), 1_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped transferred"]);
    assert!(rig.now.as_millis() < 4_000);
}

#[test]
fn a_cough_does_not_undo_a_bound_key() {
    let mut rig = Rig::live(with_desk());
    rig.talks = Some(1_200);
    rig.event(key('0'));
    rig.pass(500);
    rig.event(speech_started());
    rig.pass_until_over(20_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped transferred"]);
}

#[test]
fn a_bound_key_inside_a_number_is_a_digit() {
    let mut rig = Rig::live(with_desk());
    for digit in "10#".chars() {
        rig.event(key(digit));
    }
    rig.pass(0);
    assert_eq!(told(&mut rig), ["10#"]);
    rig.pass(20_000);
    assert!(!rig.call.is_over());
}

#[test]
fn a_bound_key_works_while_the_model_is_away() {
    let mut rig = Rig::live(with_desk());
    rig.answers("resp_1", "item_1", 7, 5_000);
    rig.pass(1_000);
    rig.event(model_closed(None));
    rig.take();
    rig.event(key('0'));
    assert_eq!(
        rig.take_of(&["clear", "truncate", "delete", "cancel", "stopped"]),
        ["clear", "stopped transferred"],
        "there is no session to tell"
    );
}

#[test]
fn a_bound_key_turns_a_goodbye_into_a_transfer() {
    let mut rig = Rig::live(with_desk());
    rig.talks = Some(800);
    rig.event(response_started("resp_1"));
    let took = rig.says("resp_1", "item_1", 7, 3_000, 0);
    rig.later(took, tool_call("resp_1", END_CALL, true));
    rig.later(took, response_done("resp_1"));
    rig.pass(1_000);
    rig.event(key('0'));
    rig.pass_until_over(20_000);
    assert_eq!(rig.take_of(&["stopped"]), ["stopped transferred"]);
}

#[test]
fn a_key_pressed_into_the_goodbye_keeps_the_call() {
    let mut rig = Rig::live(setup());
    rig.event(response_started("resp_1"));
    let took = rig.says("resp_1", "item_1", 7, 3_000, 0);
    rig.later(took, tool_call("resp_1", END_CALL, true));
    rig.later(took, response_done("resp_1"));
    rig.pass(1_000);
    rig.event(key('1'));
    rig.pass(30_000);
    assert!(!rig.call.is_over());
    assert_eq!(told(&mut rig), ["1"]);
    rig.event(hang_up());
}
