//! A media socket: whose call it opens, and what that call is started with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use call_protocol::call::AgentProfile;
use call_protocol::call::choice::Choice;
use call_protocol::phone::{AccountSid, CallSid, Direction};
use switchboard_actors::call::{CallSeed, ConsultLegs, PendingStream, Tap};
use switchboard_actors::down::DownGuard;
use switchboard_actors::messages::{CallInfo, Ownership};
use switchboard_actors::openai::{Dialler, ModelLine};
use switchboard_actors::registry::messages::{
    AdmitUnticketed, Admitted, ClaimError, Claimed, RedeemTicket, Refused,
};
use switchboard_actors::twilio::MediaSlot;

use super::{Calls, ownership};
use crate::agents::routing::Answering;
use crate::settings::TransferMode;

/// The ticket has opened a socket before.
const USED: &str = "used_ticket";

/// What every call on an accepted socket is started with.
pub(crate) struct Sockets {
    /// The account whose streams are taken.
    pub(crate) account: Option<AccountSid>,
    pub(crate) tap: Option<Tap>,
    /// Whether what is said is logged.
    pub(crate) transcripts: bool,
}

/// What a socket opens.
pub(crate) enum Opened {
    /// The place of a lost socket in a call that lives.
    Slot(MediaSlot, PendingStream),
    /// A call begins, or goes on here.
    Call(Box<CallSeed>),
}

/// Whose call a ticket opens; nothing is used up by looking.
pub(crate) fn call_of(calls: &Calls, token: &str) -> Result<CallSid, &'static str> {
    let mint = &calls.keyring.now().issuer;
    let claim = mint.verify(token, SystemTime::now());
    let claim = claim.map_err(|error| error.reason())?;
    CallSid::parse(&claim.call_sid).ok_or("malformed_ticket")
}

/// Redeems a ticket of this call.
pub(crate) async fn open(
    calls: &Calls,
    call: CallSid,
    token: &str,
    dialler: &Dialler,
    pending_stream: PendingStream,
) -> Result<Opened, &'static str> {
    let mut claimed = match admit(calls, call, token).await? {
        Admitted::Seat(slot) => return Ok(Opened::Slot(slot, pending_stream)),
        Admitted::New(claimed) => *claimed,
    };
    let place = calls.table.place(claimed.key);
    if matches!(claimed.info.ownership, Ownership::Due) {
        claimed.info.ownership = ownership::take_over(calls, claimed.info.call).await;
    }
    let agent = (claimed.info.agent.clone(), claimed.info.config_snapshot);
    let call = (Some(claimed.info), claimed.early);
    let seed = seed(calls, place, call, agent, pending_stream, dialler);
    Ok(Opened::Call(Box::new(seed)))
}

async fn admit(calls: &Calls, call: CallSid, token: &str) -> Result<Admitted, &'static str> {
    let claim = RedeemTicket {
        call,
        token: token.to_owned(),
    };
    match calls.table.ask(claim).await.ok_or("registry_silent")? {
        Ok(admitted) => once(calls, token, admitted).await,
        Err(ClaimError::Unknown) => adopt(calls, call, token).await,
        Err(error) => Err(error.label()),
    }
}

/// Another process may have met the same ticket. A store that does not answer is no reason to lose the call: who meets it
/// there gets no answer either, and lets nobody in.
async fn once(calls: &Calls, token: &str, admitted: Admitted) -> Result<Admitted, &'static str> {
    if ownership::redeem(calls, token).await != Ok(false) {
        return Ok(admitted);
    }
    if let Admitted::New(claimed) = admitted {
        drop(calls.table.place(claimed.key));
    }
    Err(USED)
}

/// A ticket of another process.
async fn adopt(calls: &Calls, call: CallSid, token: &str) -> Result<Admitted, &'static str> {
    let adopted: Claimed = ownership::adopt(calls, call, token).await?;
    match ownership::redeem(calls, token).await {
        Ok(true) => Ok(Admitted::New(Box::new(adopted))),
        refused => {
            drop(calls.table.place(adopted.key));
            Err(refused.map_or("store_silent", |_| USED))
        }
    }
}

/// Opens a socket without a ticket, for TwiML of the operator's own, which says in it who answers.
pub(crate) async fn open_unticketed(
    calls: &Calls,
    dialler: &Dialler,
    pending_stream: PendingStream,
) -> Result<CallSeed, &'static str> {
    let admitted = calls.table.ask(AdmitUnticketed).await;
    let key = admitted.ok_or("registry_silent")?.map_err(Refused::label)?;
    let place = calls.table.place(key);
    let agent = calls.agents.who_answers("", None, None).await;
    let (choices, other_urls) = choices(calls, agent.1).await;
    let mut seed = seed(calls, place, (None, None), agent, pending_stream, dialler);
    seed.choices = Arc::new(choices);
    seed.other_urls = other_urls;
    Ok(seed)
}

/// Whom a stream without a ticket may choose, with the URLs of their models' sockets.
async fn choices(
    calls: &Calls,
    config_snapshot: u32,
) -> (BTreeMap<String, Choice>, BTreeMap<String, Arc<str>>) {
    let (mut choices, mut urls) = (BTreeMap::new(), BTreeMap::new());
    for name in calls.agents.names(config_snapshot) {
        let (agent, config_snapshot) = calls.agents.who_answers("", Some(&name), None).await;
        let answering = calls.agents.answering(config_snapshot, &name);
        let max_length = answering.max_call();
        urls.insert(name.clone(), answering.model_url());
        choices.insert(name, Choice { agent, max_length });
    }
    (choices, urls)
}

/// What a call on an accepted socket is started with.
fn seed(
    calls: &Calls,
    place: DownGuard,
    (info, early): (Option<CallInfo>, Option<ModelLine>),
    (agent, config_snapshot): (Arc<AgentProfile>, u32),
    pending_stream: PendingStream,
    dialler: &Dialler,
) -> CallSeed {
    let answering = calls.agents.answering(config_snapshot, &agent.name);
    let Sockets {
        account,
        tap,
        transcripts,
    } = &calls.sockets;
    let call = info.as_ref().map(|info| info.call);
    let shared = calls.shared(call, tap.clone());
    CallSeed {
        consult_legs: consult_legs(calls, &answering, info.as_ref()),
        choices: Arc::default(),
        other_urls: BTreeMap::new(),
        place,
        info,
        account: *account,
        max_length: answering.max_call(),
        model_url: answering.model_url(),
        agent,
        early,
        pending_stream: Some(pending_stream),
        dialler: dialler.clone(),
        tools: answering.tools(),
        registry: calls.table.registry.clone(),
        store: calls.store.clone(),
        shared: shared.logging_words(*transcripts),
    }
}

/// How people are called for a call's caller, in a warm transfer.
fn consult_legs(
    calls: &Calls,
    answering: &Answering,
    info: Option<&CallInfo>,
) -> Option<ConsultLegs> {
    let transfer = answering.transfer();
    if transfer.mode != TransferMode::Warm {
        return None;
    }
    // The one of the two numbers that is the account's.
    let info = info?;
    let from = match info.direction {
        Direction::Outbound => info.number.0.clone(),
        Direction::Inbound => info.to.clone()?,
    };
    let carrier = calls.carrier.as_ref()?;
    Some(ConsultLegs {
        rest: carrier.rest.clone(),
        base: carrier.base.clone(),
        numbers: Arc::new(answering.targets()),
        from,
        ring_seconds: transfer.ring_seconds,
        gone: carrier.gone.clone()?,
        journal: calls.store.clone(),
    })
}
