//! Calls that change their owner: announced by one process and met by another, or gone on with after a loss.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use call_protocol::checkpoint::Checkpoint;
use call_protocol::ids::CallSid;
use switchboard_actors::call::unix_now;
use switchboard_actors::messages::{Adopt, Claimed, Tenure, Visit};
use switchboard_actors::store::{Answer, StoreError};

use super::ticket;
use crate::house::House;

/// Longest wait for the store before the caller is answered without it.
const STORE_ANSWERS: Duration = Duration::from_millis(500);

/// An announcement is not worth waiting for any longer: only another process would read it.
const ANNOUNCED: Duration = Duration::from_millis(200);

async fn within<T>(limit: Duration, answer: Answer<T>) -> Result<T, StoreError> {
    match actix::clock::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::Away),
    }
}

/// Takes a call over from whoever had it: from here on nobody else may speak in it. A call that nobody wrote down, or
/// not readably, begins anew.
pub(crate) async fn take_over(house: &House, call: CallSid) -> Tenure {
    let claim = match within(STORE_ANSWERS, house.store.claim(call, unix_now())).await {
        Ok(claim) => claim,
        Err(error) => {
            log::warn!(target: "switchboard::phone", call_sid = call.as_str(), error:% = error; "call taken over without its checkpoint");
            house.metrics.resumed("failed");
            return Tenure::FIRST;
        }
    };
    let checkpoint = match claim.checkpoint.as_deref().map(Checkpoint::decode) {
        None => None,
        Some(Ok(checkpoint)) => Some(Arc::new(checkpoint)),
        Some(Err(error)) => {
            log::warn!(target: "switchboard::phone", call_sid = call.as_str(), error:% = error; "checkpoint not read");
            house.metrics.resumed("failed");
            None
        }
    };
    Tenure {
        epoch: claim.epoch,
        checkpoint,
    }
}

/// Writes down that a media socket is awaited, and with which ticket: it may be opened at another process.
pub(crate) async fn announce(house: &House, visit: &Visit, token: &str) {
    let mut checkpoint = visit
        .tenure
        .checkpoint
        .as_deref()
        .cloned()
        .unwrap_or_default();
    checkpoint.agent.clone_from(&visit.agent.name);
    checkpoint.from.clone_from(&visit.from);
    checkpoint.to.clone_from(&visit.to);
    checkpoint.epoch = visit.tenure.epoch;
    checkpoint.ticket = Some(ticket::fingerprint(token));
    let Ok(document) = checkpoint.encode() else {
        // It was read from a document that fitted; without its oldest turns it fits again.
        return;
    };
    let saved = house.store.save(
        visit.call,
        visit.tenure.epoch,
        Bytes::from(document),
        unix_now(),
    );
    if let Err(error) = within(ANNOUNCED, saved).await {
        log::debug!(target: "switchboard::phone", call_sid = visit.call.as_str(), error:% = error; "call not announced to other processes");
    }
}

/// A genuine ticket that this process did not give out: another may have, and its call is let in here, once.
pub(crate) async fn adopt(
    house: &House,
    call: CallSid,
    token: &str,
) -> Result<Claimed, &'static str> {
    let unknown = "unknown_ticket";
    let found = within(STORE_ANSWERS, house.store.look(call, unix_now()))
        .await
        .map_err(|_| unknown)?;
    let announced = found.and_then(|document| Checkpoint::decode(&document).ok());
    let awaited = announced.and_then(|checkpoint| checkpoint.ticket);
    match awaited {
        Some(awaited) if awaited == ticket::fingerprint(token) => {}
        Some(_) => return Err(unknown),
        // Its media socket is here already, or there never was one to come.
        None => return Err("used_ticket"),
    }
    let tenure = take_over(house, call).await;
    let Some(checkpoint) = tenure.checkpoint.clone() else {
        return Err(unknown);
    };
    let visit = Visit {
        call,
        from: checkpoint.from.clone(),
        to: checkpoint.to.clone(),
        direction: "inbound",
        agent: house.profile(&checkpoint.agent),
        tenure: Tenure {
            checkpoint: Some(checkpoint).filter(|checkpoint| checkpoint.has_begun()),
            ..tenure
        },
    };
    let token = token.to_owned();
    let answer = house.ask(Adopt { visit, token }).await;
    answer
        .ok_or("registry_silent")?
        .map_err(switchboard_actors::messages::Refused::label)
}
