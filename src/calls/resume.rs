//! A caller whose media socket is closed, or whom nobody took after a transfer: what comes next, by what this process
//! knows of the call, or else by what another one wrote down.

use call_protocol::call::outcome::{Destination, EndReason, NextStep, Stage, Unreached};
use call_protocol::checkpoint::{Checkpoint, Standing};
use call_protocol::phone::CallSid;
use switchboard_actors::messages::{CallInfo, Ownership};
use switchboard_actors::registry::messages::{LastOutcome, Refused};

use super::admit::{self, Ringing};
use super::{Calls, consult};
use crate::agents::routing::Answering;
use switchboard_base::number::callable;

/// What comes next for a caller.
pub(crate) enum Next {
    HangUp,
    /// Somebody else takes them, who may have been called before and wait for them.
    Transfer {
        to: Option<Destination>,
        awaited_by: Option<u32>,
    },
    /// The agent cannot go on.
    Fallback,
    /// The agent goes on, on a media socket that this ticket opens.
    Connect {
        token: String,
    },
    /// This process leaves: another one is to be asked.
    Elsewhere,
}

/// What is known of a call that may go on.
struct Known {
    info: CallInfo,
    step: NextStep,
    to: Option<Destination>,
    awaited_by: Option<u32>,
    left: Option<Checkpoint>,
}

/// The media socket is closed.
pub(crate) async fn after_stream(
    calls: &Calls,
    ringing: &Ringing,
    is_over: bool,
) -> (Answering, Next) {
    let mut known = known_here(calls, ringing).await;
    // A process that leaves takes nothing over: the next one would have to take it over again.
    if known.step == NextStep::Reconnect && calls.table.is_draining() {
        return (calls.answering(&known.info), leave_it(calls));
    }
    if known.step == NextStep::Reconnect {
        look_elsewhere(calls, ringing, &mut known, is_over).await;
    }
    let agent = calls.answering(&known.info);
    log::info!(target: "switchboard::phone", call_sid = ringing.call.as_str(), next:? = known.step; "after the stream");
    let next = match known.step {
        NextStep::HangUp => Next::HangUp,
        NextStep::Transfer => Next::Transfer {
            to: known.to,
            awaited_by: known.awaited_by,
        },
        NextStep::Fallback => Next::Fallback,
        NextStep::Reconnect => connect_again(calls, known.info, known.left).await,
    };
    (agent, next)
}

/// What this process knows of the call.
async fn known_here(calls: &Calls, ringing: &Ringing) -> Known {
    let ending = calls.table.ask(LastOutcome(ringing.call)).await.flatten();
    let Some(ending) = ending else {
        return Known {
            info: admit::info(calls, ringing).await,
            step: NextStep::Reconnect,
            to: None,
            awaited_by: None,
            left: None,
        };
    };
    let step = ending
        .reason
        .map_or(NextStep::Reconnect, EndReason::next_step);
    Known {
        info: ending.info,
        step,
        to: ending.transfer_to,
        awaited_by: ending.awaited_by,
        left: None,
    }
}

/// What the call's owner wrote down goes before what this process knows of a call that may go on.
async fn look_elsewhere(calls: &Calls, ringing: &Ringing, known: &mut Known, is_over: bool) {
    known.info.ownership = Ownership::Due;
    known.left = calls.left(ringing.call).await;
    let Some(left) = &known.left else {
        return;
    };
    let (step, to) = left.aftermath();
    known.step = step;
    known.to = to.cloned();
    let person = left.person.as_ref();
    known.awaited_by = person
        .filter(|person| person.stage == Stage::Waiting)
        .map(|person| person.attempt);
    if let Some(person) = person.filter(|_| is_over) {
        consult::let_go(calls, ringing.call, person);
    }
    same_agent(calls, ringing, &mut known.info, &left.agent).await;
}

/// Nobody took the caller: they go back to the agent, which is told why.
pub(crate) async fn after_dial(
    calls: &Calls,
    ringing: &Ringing,
    to: Option<Destination>,
    why: Unreached,
) -> (Answering, Next) {
    let mut info = known_here(calls, ringing).await.info;
    if calls.table.is_draining() {
        return (calls.answering(&info), leave_it(calls));
    }
    info.ownership = Ownership::Due;
    let left = calls.left(ringing.call).await;
    // Without a checkpoint the conversation is lost, but not what the caller has to be told.
    let mut left = left.unwrap_or_else(|| transferred(&info.agent.name, to));
    if let Some(person) = &left.person {
        consult::let_go(calls, ringing.call, person);
    }
    same_agent(calls, ringing, &mut info, &left.agent).await;
    let agent = calls.answering(&info);
    if !left.come_back(why) {
        log::warn!(target: "switchboard::phone", call_sid = ringing.call.as_str(), returns = left.returns; "no way back to the agent");
        return (agent, Next::Fallback);
    }
    (agent, connect_again(calls, info, Some(left)).await)
}

/// What a call left that was transferred, and of which nothing else is known.
fn transferred(agent: &str, to: Option<Destination>) -> Checkpoint {
    Checkpoint {
        epoch: 1,
        agent: agent.to_owned(),
        standing: Standing::Over {
            reason: EndReason::Transferred,
            to,
        },
        ..Checkpoint::default()
    }
}

/// Nobody comes back to this call: what was said in it need not be kept.
pub(crate) async fn nobody_comes_back(calls: &Calls, call: CallSid) {
    if let Some(left) = calls.left(call).await {
        // The work is lined up; its answer changes nothing.
        drop(calls.store.forget(call, left.epoch));
    }
}

fn leave_it(calls: &Calls) -> Next {
    let reason = Refused::Draining.label();
    calls.metrics.admission_rejected(reason);
    Next::Elsewhere
}

async fn connect_again(calls: &Calls, info: CallInfo, left: Option<Checkpoint>) -> Next {
    match admit::come_again(calls, info, left).await {
        Ok(arrived) => Next::Connect {
            token: arrived.token,
        },
        Err(reason) => {
            calls.metrics.admission_rejected(reason);
            Next::Fallback
        }
    }
}

/// The agent that had the call goes on with it, even if the number belongs to another agent by now.
async fn same_agent(calls: &Calls, ringing: &Ringing, info: &mut CallInfo, agent: &str) {
    if info.agent.name == agent {
        return;
    }
    let from = callable(ringing.believed(calls.agents.book_rules()));
    let who = calls
        .agents
        .who_answers(ringing.called(), Some(agent), from);
    (info.agent, info.config_snapshot) = who.await;
}
