//! What a call may cost: one that has cost that much is heard out and goes to the fallback.

use std::sync::Arc;

use crate::common::events::{
    done_with_tools, model, phone_closed, response_done, response_started, setup, speech_started,
    tool_call_as, tool_finished,
};
use crate::common::rig::Rig;
use call_protocol::call::event::Event;
use call_protocol::call::outcome::{EndReason, NextStep};
use call_protocol::call::{Call, CallSetup, END_CALL, TRANSFER_CALL};
use call_protocol::checkpoint::Standing;
use call_protocol::model::event::{ModelEvent, Usage};
use call_protocol::model::openai::prices::price;
use call_protocol::tool::ToolResult;

/// Audio tokens that cost a cent at the dearest model's price of 64 dollars a million.
const CENT: u64 = 157;

/// A call that may cost two cents.
fn two_cents() -> CallSetup {
    let mut setup = setup();
    Arc::make_mut(&mut setup.agent).max_cost_usd = Some(0.02);
    setup
}

/// The same event with what the response cost.
fn costing(event: Event, tokens: u64) -> Event {
    let Event::Model {
        event: ModelEvent::ResponseDone(mut done),
        ..
    } = event
    else {
        panic!("{event:?} costs nothing");
    };
    done.usage = Some(Usage {
        audio_out: tokens,
        ..Usage::default()
    });
    price(&mut done, "gpt-realtime-2.1");
    model(ModelEvent::ResponseDone(done))
}

/// An answer of so many milliseconds that costs so many tokens.
fn answers(rig: &mut Rig, response: &str, tag: u8, ms: u64, tokens: u64) {
    rig.event(response_started(response));
    let took = rig.says(response, &format!("item_{response}"), tag, ms, 0);
    rig.later(took, costing(response_done(response), tokens));
}

fn ended(rig: &Rig) -> Option<EndReason> {
    rig.call.snapshot(rig.now).ended
}

#[test]
fn the_answer_that_reaches_the_budget_is_heard_to_its_end_and_then_the_call_ends() {
    let mut rig = Rig::live(two_cents());
    answers(&mut rig, "resp_1", 7, 2_000, CENT);
    rig.pass(10_000);
    assert_eq!(ended(&rig), None, "one cent is not two");
    let begun = rig.now.as_millis();
    answers(&mut rig, "resp_2", 8, 4_000, 2 * CENT);
    rig.pass_until_over(30_000);
    assert_eq!(ended(&rig), Some(EndReason::BudgetReached));
    assert_eq!(rig.phone.heard_ms(8, rig.now), 4_000, "every word");
    let late = rig.now.as_millis() - begun - 4_000;
    assert!(late <= 200, "{late} ms after the last word");
    assert!(
        rig.take_of(&["respond"]).is_empty(),
        "the model is asked for nothing more"
    );
}

#[test]
fn a_call_without_a_budget_may_cost_what_it_likes() {
    let mut rig = Rig::live(setup());
    answers(&mut rig, "resp_1", 7, 1_000, 100_000 * CENT);
    rig.pass(10_000);
    assert_eq!(ended(&rig), None);
}

#[test]
fn a_long_answer_is_waited_for_no_longer_than_half_a_minute() {
    let mut rig = Rig::live(two_cents());
    answers(&mut rig, "resp_1", 7, 60_000, 3 * CENT);
    rig.pass_until_over(90_000);
    assert_eq!(ended(&rig), Some(EndReason::BudgetReached));
    let heard = rig.phone.heard_ms(7, rig.now);
    // From the end of the response, which the model made five times faster than it is heard.
    assert!((40_000..=43_000).contains(&heard), "{heard} ms");
}

#[test]
fn a_caller_who_speaks_into_it_keeps_nothing_but_a_few_seconds() {
    let mut rig = Rig::live(two_cents());
    answers(&mut rig, "resp_1", 7, 4_000, 3 * CENT);
    rig.pass(1_500);
    rig.event(speech_started());
    let begun = rig.now.as_millis();
    rig.pass_until_over(60_000);
    assert_eq!(ended(&rig), Some(EndReason::BudgetReached));
    let waited = rig.now.as_millis() - begun;
    assert!(waited <= 10_000, "{waited} ms");
}

#[test]
fn a_tool_that_runs_is_waited_for_and_its_outcome_said() {
    let mut rig = Rig::live(two_cents());
    rig.event(response_started("resp_1"));
    rig.event(tool_call_as("resp_1", "call_1", "book", "{}"));
    rig.event(costing(done_with_tools("resp_1", 1), 3 * CENT));
    assert_eq!(ended(&rig), None, "the appointment is being made");
    rig.pass(1_000);
    rig.event(tool_finished(1, ToolResult::Ok, "{\"booked\":true}"));
    answers(&mut rig, "resp_2", 8, 2_000, CENT);
    rig.pass_until_over(30_000);
    assert_eq!(ended(&rig), Some(EndReason::BudgetReached));
    assert_eq!(
        rig.phone.heard_ms(8, rig.now),
        2_000,
        "the caller knows of it"
    );
}

#[test]
fn a_call_that_is_about_to_end_ends_for_its_own_reason() {
    for (tool, reason) in [
        (END_CALL, EndReason::AgentHungUp),
        (TRANSFER_CALL, EndReason::Transferred),
    ] {
        let mut setup = two_cents();
        Arc::make_mut(&mut setup.agent).transfer_targets = vec!["front_desk".to_owned()];
        let mut rig = Rig::live(setup);
        rig.event(response_started("resp_1"));
        let took = rig.says("resp_1", "item_1", 7, 1_000, 0);
        let arguments = "{\"target\":\"front_desk\"}";
        rig.later(took, tool_call_as("resp_1", "call_1", tool, arguments));
        rig.later(took, costing(response_done("resp_1"), 3 * CENT));
        rig.pass_until_over(30_000);
        assert_eq!(ended(&rig), Some(reason));
    }
}

#[test]
fn whoever_goes_on_with_such_a_call_leads_the_caller_to_the_fallback() {
    let mut rig = Rig::live(two_cents());
    answers(&mut rig, "resp_1", 7, 4_000, 3 * CENT);
    rig.pass(1_500);
    rig.event(phone_closed());
    rig.pass_until_over(5_000);
    let checkpoint = rig.call.checkpoint(rig.now);
    let reason = EndReason::BudgetReached;
    assert!(
        matches!(checkpoint.standing, Standing::Leaving { reason: why, .. } if why == reason),
        "{:?}",
        checkpoint.standing
    );
    assert_eq!(checkpoint.aftermath(), (NextStep::Fallback, None));
}

#[test]
fn what_was_spent_before_counts() {
    let mut rig = Rig::live(two_cents());
    answers(&mut rig, "resp_1", 7, 500, CENT);
    rig.pass(2_000);
    rig.event(phone_closed());
    rig.pass_until_over(5_000);
    let checkpoint = rig.call.checkpoint(rig.now);
    let mut rig = Rig::of(Call::resume(two_cents(), &checkpoint));
    rig.ready();
    rig.media();
    answers(&mut rig, "resp_2", 8, 500, 2 * CENT);
    rig.pass_until_over(30_000);
    assert_eq!(ended(&rig), Some(EndReason::BudgetReached));
}
