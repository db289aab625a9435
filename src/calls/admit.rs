//! A call that rings: who answers it, whether there is room, and the ticket of its media socket.

use std::time::SystemTime;

use call_protocol::checkpoint::Checkpoint;
use call_protocol::phone::{CallSid, Direction};
use switchboard_actors::messages::{CallInfo, CallerNumber, Ownership};
use switchboard_actors::openai::{Dialler, ModelLine};
use switchboard_actors::registry::messages::{Announce, Arrived, AttachSession, Refused};

use super::limit::{self, TooMany};
use super::{Calls, ownership};
use crate::agents::routing::Answering;
use crate::settings::BookRules;
use switchboard_base::number::{callable, mask};

/// What the carrier says of a call.
pub(crate) struct Ringing {
    pub(crate) call: CallSid,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) direction: Direction,
    /// Whether the caller's own carrier vouches for the number in full.
    pub(crate) is_attested: bool,
    /// The agent that is asked for by name.
    pub(crate) agent: Option<String>,
}

impl Ringing {
    /// The number the call comes from, unless the settings want one that somebody vouches for: any other can be written
    /// by anybody.
    pub(super) fn believed(&self, rules: BookRules) -> Option<&str> {
        let is_believed =
            self.direction == Direction::Outbound || !rules.verified_only || self.is_attested;
        self.from.as_deref().filter(|_| is_believed)
    }

    /// The number that was dialled.
    pub(super) fn called(&self) -> &str {
        self.to.as_deref().unwrap_or_default()
    }
}

/// What becomes of a call that rings.
pub(crate) enum Answer {
    /// It is connected to a media socket, which this ticket opens.
    Connect { token: String },
    /// There is no room for it here; elsewhere there may be, if this process leaves.
    TurnedAway { leaves: bool },
    /// It is not worth an answer.
    Busy,
}

/// Lets a call in, or turns it away.
pub(crate) async fn answer(
    calls: &Calls,
    ringing: &Ringing,
    dialler: &Dialler,
) -> (Answering, Answer) {
    let info = info(calls, ringing).await;
    let agent = calls.answering(&info);
    if let Err(too_many) = limit::ring(calls, &info).await {
        return (agent, turned_away(calls, info.call, &too_many));
    }
    let arrived = match arrive(calls, info).await {
        Ok(arrived) => arrived,
        Err(reason) => {
            limit::unring(calls, ringing.call);
            calls.metrics.admission_rejected(reason);
            log::warn!(target: "switchboard::phone", call_sid = ringing.call.as_str(), reason; "call turned away");
            let leaves = reason == Refused::Draining.label();
            return (agent, Answer::TurnedAway { leaves });
        }
    };
    if arrived.first && calls.dials_early {
        dial_early(calls, dialler, ringing.call, &agent);
    }
    let token = arrived.token;
    (agent, Answer::Connect { token })
}

/// A call whose number calls too often.
fn turned_away(calls: &Calls, call: CallSid, too_many: &TooMany) -> Answer {
    let reason = Refused::NumberCalls.label();
    calls.metrics.admission_rejected(reason);
    log::debug!(target: "switchboard::phone", call_sid = call.as_str(), reason; "call turned away");
    if too_many.is_flood {
        Answer::Busy
    } else {
        Answer::TurnedAway { leaves: false }
    }
}

/// Opens the model session while the carrier still opens the media socket; it is closed if that does not come.
fn dial_early(calls: &Calls, dialler: &Dialler, call: CallSid, agent: &Answering) {
    let shared = calls.shared(Some(call), None);
    let early = ModelLine::early(&agent.model_url(), dialler, &shared);
    let attach = AttachSession { call, early };
    calls.table.registry.do_send(attach);
}

/// Who calls, and who answers: the agent that is asked for by name, or else the number's.
pub(super) async fn info(calls: &Calls, ringing: &Ringing) -> CallInfo {
    let believed = ringing.believed(calls.agents.book_rules());
    let (agent, config_snapshot) = calls
        .agents
        .who_answers(
            ringing.called(),
            ringing.agent.as_deref(),
            callable(believed),
        )
        .await;
    CallInfo {
        call: ringing.call,
        from: ringing.from.as_deref().map(mask),
        number: CallerNumber(clean(believed.unwrap_or_default())),
        to: ringing.to.as_deref().map(clean),
        direction: ringing.direction,
        agent,
        config_snapshot,
        ownership: Ownership::First,
    }
}

/// A number as it was written, without what cannot stand in one.
fn clean(number: &str) -> String {
    let printable = number.chars().filter(|c| !c.is_control());
    printable.take(64).collect()
}

/// Keeps a place for a new call; gives its media token, or the reason why there is none.
async fn arrive(calls: &Calls, info: CallInfo) -> Result<Arrived, &'static str> {
    let arrived = keep_place(calls, info.clone(), false, false).await?;
    if arrived.first {
        ownership::announce(calls, &info, &arrived.token, None).await;
    }
    Ok(arrived)
}

/// The same for a call that was here, or elsewhere, before; `left` is what its owner wrote down last.
pub(super) async fn come_again(
    calls: &Calls,
    info: CallInfo,
    left: Option<Checkpoint>,
) -> Result<Arrived, &'static str> {
    let renew = left
        .as_ref()
        .is_some_and(|checkpoint| checkpoint.ticket.is_none());
    let arrived = keep_place(calls, info.clone(), true, renew).await?;
    if arrived.first {
        ownership::announce(calls, &info, &arrived.token, left).await;
    }
    Ok(arrived)
}

async fn keep_place(
    calls: &Calls,
    info: CallInfo,
    again: bool,
    renew: bool,
) -> Result<Arrived, &'static str> {
    let mint = &calls.keyring.now().issuer;
    let token = mint.mint(info.call.as_str(), SystemTime::now());
    let token = token.map_err(|error| {
        log::error!(target: "switchboard::phone", error:% = error; "cannot mint a ticket");
        "no_ticket"
    })?;
    let number = callable(Some(&info.number.0));
    let question = Announce {
        exempt: calls.agents.callers().is_exempt(number),
        most_of_agent: calls.answering(&info).max_calls(),
        info,
        token,
        again,
        renew,
    };
    let answer = calls.table.ask(question).await.ok_or("registry_silent")?;
    answer.map_err(Refused::label)
}
