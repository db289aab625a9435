//! Calls that change their owner: announced by one process and met by another, or gone on with after a loss.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use call_protocol::checkpoint::Checkpoint;
use call_protocol::phone::CallSid;
use switchboard_actors::call::unix_now;
use switchboard_actors::messages::{CallInfo, CallerNumber, Ownership};
use switchboard_actors::registry::messages::{AdmitForeign, Claimed, Refused};
use switchboard_actors::store::{Answer, CallStore, Claim, StoreError};
use tokio::sync::watch;

use crate::phone::twilio::incoming_call;
use crate::phone::twilio::webhook::Webhook;
use crate::service::state::AppState;
use crate::trust::ticket;
use switchboard_base::number::callable;

/// Longest wait for the store before the caller is answered without it.
const STORE_ANSWERS: Duration = Duration::from_millis(250);

/// An announcement is not worth waiting for any longer: only another process would read it.
const ANNOUNCED: Duration = Duration::from_millis(200);

async fn within<T>(limit: Duration, answer: Answer<T>) -> Result<T, StoreError> {
    match actix::clock::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::Away),
    }
}

/// What the call's owner wrote down last; the call stays whose it is. `None` if nobody wrote anything, or not readably.
pub(crate) async fn look(app: &AppState, call: CallSid) -> Option<Checkpoint> {
    let found = within(STORE_ANSWERS, app.store.look(call, unix_now())).await;
    let read = found.map(|found| found.map(|document| Checkpoint::decode(&document)));
    match read {
        Ok(None) => None,
        Ok(Some(Ok(checkpoint))) => Some(checkpoint),
        Ok(Some(Err(error))) => {
            log::warn!(target: "switchboard::phone", call_sid = call.as_str(), error:% = error; "checkpoint not read");
            None
        }
        Err(error) => {
            log::warn!(target: "switchboard::phone", call_sid = call.as_str(), error:% = error; "store not read");
            None
        }
    }
}

/// The agent that had the call goes on with it, even if the number belongs to another agent by now.
pub(crate) async fn same_agent(
    app: &AppState,
    webhook: &Webhook,
    info: &mut CallInfo,
    agent: &str,
) {
    if info.agent.name == agent {
        return;
    }
    let from = callable(incoming_call::believed(app, webhook));
    let called = webhook.form.get("To").unwrap_or_default();
    (info.agent, info.config_snapshot) = app.who_answers(called, Some(agent), from).await;
}

/// Takes a call over from its owner: from here on nobody else may speak in it. A call that nobody wrote down, or
/// not readably, begins anew.
pub(crate) async fn take_over(app: &AppState, call: CallSid) -> Ownership {
    let mut claim = app.store.claim(call, unix_now());
    let Ok(claim) = actix::clock::timeout(STORE_ANSWERS, &mut claim).await else {
        log::warn!(target: "switchboard::phone", call_sid = call.as_str(); "call taken over before the store has answered");
        app.metrics.resumed("failed");
        return late(app.store.clone(), call, claim);
    };
    let (epoch, left) = match claim {
        Ok(claim) => (claim.epoch, claim.checkpoint),
        Err(error) => {
            log::warn!(target: "switchboard::phone", call_sid = call.as_str(), error:% = error; "call taken over without its checkpoint");
            app.metrics.resumed("failed");
            return late(app.store.clone(), call, app.store.claim(call, unix_now()));
        }
    };
    let checkpoint = match left.as_deref().map(Checkpoint::decode) {
        None => None,
        Some(Ok(checkpoint)) => Some(checkpoint),
        Some(Err(error)) => {
            log::warn!(target: "switchboard::phone", call_sid = call.as_str(), error:% = error; "checkpoint not read");
            app.metrics.resumed("failed");
            None
        }
    };
    Ownership::Taken {
        epoch,
        checkpoint: checkpoint.filter(Checkpoint::has_begun).map(Arc::new),
    }
}

/// The claim is made as soon as the store can: who writes under another number than it gives is taken for an earlier
/// owner. Tried until it is made, or nobody needs it any more.
fn late(store: Arc<dyn CallStore>, call: CallSid, mut claim: Answer<Claim>) -> Ownership {
    let (tell, told) = watch::channel(None);
    actix::spawn(async move {
        while !tell.is_closed() {
            if let Ok(claim) = claim.await {
                tell.send_replace(Some(claim.epoch));
                return;
            }
            actix::clock::sleep(STORE_ANSWERS).await;
            claim = store.claim(call, unix_now());
        }
    });
    Ownership::Late(told)
}

/// Writes down that a media socket is awaited, and with which ticket: it may be opened at another process. `left` is
/// what the owner before wrote.
pub(crate) async fn announce(
    app: &AppState,
    info: &CallInfo,
    token: &str,
    left: Option<Checkpoint>,
) {
    let mut checkpoint = left.unwrap_or_else(|| Checkpoint {
        epoch: 1,
        ..Checkpoint::default()
    });
    checkpoint.agent.clone_from(&info.agent.name);
    checkpoint.from.clone_from(&info.from);
    checkpoint.to.clone_from(&info.to);
    checkpoint.direction = info.direction;
    checkpoint.ticket = Some(ticket::fingerprint(token));
    let epoch = checkpoint.epoch;
    let Ok(document) = checkpoint.encode() else {
        // What was read has fitted; without its oldest turns it fits again.
        return;
    };
    let document = Bytes::from(document);
    let saved = app.store.save(info.call, epoch, document, unix_now());
    if let Err(error) = within(ANNOUNCED, saved).await {
        log::debug!(target: "switchboard::phone", call_sid = info.call.as_str(), error:% = error; "call not announced to other processes");
    }
}

/// Whether a ticket opens a socket of this process: once over all that share the store.
pub(crate) async fn redeem(app: &AppState, token: &str) -> Result<bool, StoreError> {
    let ticket = ticket::fingerprint(token);
    let redeemed = app.store.redeem(ticket, app.process, unix_now());
    within(STORE_ANSWERS, redeemed).await
}

/// A genuine ticket that this process did not give out: another may have, and its call is let in here, once.
pub(crate) async fn adopt(
    app: &AppState,
    call: CallSid,
    token: &str,
) -> Result<Claimed, &'static str> {
    let announced = look(app, call).await.ok_or("unknown_ticket")?;
    match &announced.ticket {
        Some(awaited) if *awaited == ticket::fingerprint(token) => {}
        Some(_) => return Err("unknown_ticket"),
        None => return Err("used_ticket"),
    }
    let called = announced.to.as_deref().unwrap_or_default();
    let (agent, config_snapshot) = app.who_answers(called, Some(&announced.agent), None).await;
    let info = CallInfo {
        call,
        from: announced.from,
        // Written down masked: a tool of this call has to do without it.
        number: CallerNumber::default(),
        to: announced.to,
        direction: announced.direction,
        agent,
        config_snapshot,
        ownership: Ownership::Due,
    };
    let token = token.to_owned();
    let answer = app.ask(AdmitForeign { info, token }).await;
    answer.ok_or("registry_silent")?.map_err(Refused::label)
}
