//! People who are called for a caller: by Twilio's REST API, once for each wish, on this thread and off the call's path.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::WeakAddr;
use call_protocol::call::event::OperatorEvent;
use call_protocol::call::outcome::{ConsultCall, ConsultEnd, ConsultEvent, Destination, Unreached};
use call_protocol::phone::CallSid;

use super::{CallActor, unix_now};
use crate::messages::Order;
use crate::store::{Begun, CallStore, ToolEffect};
use crate::twilio::rest::{Change, NewCall, Rest, RestError};

const TARGET: &str = "switchboard::person";

/// A journal that does not answer by then is none.
const JOURNAL: Duration = Duration::from_secs(2);

/// How people are called for the callers of one call.
#[derive(Clone)]
pub struct ConsultLegs {
    /// The way to Twilio.
    pub rest: Arc<Rest>,
    /// Our address as Twilio knows it, without a slash at the end.
    pub base: String,
    /// Transfer targets: name to number.
    pub numbers: Arc<BTreeMap<String, String>>,
    /// The number they see: the one the caller has dialled.
    pub from: String,
    /// Seconds for which it rings.
    pub ring_seconds: u16,
    /// TwiML for somebody who has answered and whose caller does not come.
    pub gone: String,
    /// The journal, so that a person is called once, whichever process goes on with the call.
    pub journal: Arc<dyn CallStore>,
}

impl ConsultLegs {
    /// Calls a person; the call is told what comes of it.
    pub(super) fn call(self, call: CallSid, person: ConsultCall, owner: WeakAddr<CallActor>) {
        actix_rt::spawn(async move {
            let attempt = person.attempt;
            let event = match self.place(call, &person).await {
                Ok(Some(leg)) => ConsultEvent::Placed { attempt, leg },
                // Somebody has asked Twilio before: what comes of it is told by Twilio.
                Ok(None) => return,
                Err(error) => {
                    log::warn!(target: TARGET, call_sid = call.as_str(), to = person.to.label(), attempt, reason = error.label(), error:% = error; "person not called");
                    let why = Unreached::Failed;
                    ConsultEvent::Gone { attempt, why }
                }
            };
            let is_wanted = tell(&owner, event).await;
            if let ConsultEvent::Placed { leg, .. } = event {
                log::info!(target: TARGET, call_sid = call.as_str(), to = person.to.label(), attempt, leg = leg.as_str(), is_wanted; "person called");
                if !is_wanted {
                    // The caller has hung up meanwhile. A call that goes on elsewhere has no owner here, and keeps that person.
                    self.let_go_unless_kept(call, attempt, leg).await;
                }
            }
        });
    }

    /// Ends a person's call.
    pub(super) fn end(self, call: CallSid, person: ConsultEnd) {
        actix_rt::spawn(async move { self.let_go(call, person.leg, person.answered).await });
    }

    async fn place(
        &self,
        call: CallSid,
        person: &ConsultCall,
    ) -> Result<Option<CallSid>, RestError> {
        let number = match &person.to {
            Destination::Number(number) => Some(number),
            Destination::Target(name) => self.numbers.get(name),
        };
        let Some(number) = number else {
            return Err(RestError::NotSent);
        };
        let key = format!("{}/person/{}", call.as_str(), person.attempt);
        let effect = ToolEffect {
            key: key.clone(),
            call,
            tool: "transfer_call".to_owned(),
            arguments: person.to.label().to_owned(),
        };
        let begun = actix_rt::time::timeout(JOURNAL, self.journal.begin(effect, unix_now()));
        match begun.await {
            Ok(Ok(Begun::First)) => {}
            Ok(Ok(Begun::Done(leg))) => return Ok(CallSid::parse(&leg)),
            Ok(Ok(Begun::Unknown)) => return Ok(None),
            // A phone that rings twice is better than nobody for the caller.
            Ok(Err(_)) | Err(_) => {
                log::warn!(target: TARGET, call_sid = call.as_str(); "journal does not answer, person called all the same");
            }
        }
        let query = format!("call={}&attempt={}", call.as_str(), person.attempt);
        let new = NewCall {
            to: number.clone(),
            from: self.from.clone(),
            url: format!("{}/briefing?{query}", self.base),
            // By default a callback that fails is not sent again; the caller waits for this one.
            status_callback: format!("{}/person-status?{query}#rc=3&rp=ct,rt,5xx", self.base),
            ring_seconds: u64::from(self.ring_seconds),
        };
        let leg = self.rest.call(&new).await?;
        // What is not written down is asked back, not repeated.
        drop(
            self.journal
                .finish(key, leg.as_str().to_owned(), unix_now()),
        );
        Ok(Some(leg))
    }

    /// Ends the person's call unless the one it is for is only between two owners.
    async fn let_go_unless_kept(&self, call: CallSid, attempt: u32, leg: CallSid) {
        let look = actix_rt::time::timeout(JOURNAL, self.journal.look(call, unix_now()));
        let left = look.await.ok().and_then(Result::ok).flatten();
        let left = left.and_then(|left| call_protocol::checkpoint::Checkpoint::decode(&left).ok());
        let is_kept = left
            .and_then(|left| left.person)
            .is_some_and(|person| person.attempt == attempt);
        if !is_kept {
            self.let_go(call, leg, false).await;
        }
    }

    async fn let_go(&self, call: CallSid, leg: CallSid, answered: bool) {
        let mut result = Err(RestError::Over);
        if answered {
            result = self
                .rest
                .change(leg, &Change::Twiml(self.gone.clone()))
                .await;
        }
        // One who answers at this moment is told by the briefing that nobody is there.
        if !answered || matches!(result, Err(RestError::Refused { .. })) {
            result = self.rest.change(leg, &Change::Complete).await;
        }
        match result {
            Ok(()) | Err(RestError::Over) => {
                log::info!(target: TARGET, call_sid = call.as_str(), leg = leg.as_str(), answered; "person let go");
            }
            Err(error) => {
                log::warn!(target: TARGET, call_sid = call.as_str(), leg = leg.as_str(), reason = error.label(), error:% = error; "person's call not ended");
            }
        }
    }
}

/// Tells the call; whether it wants to know.
async fn tell(owner: &WeakAddr<CallActor>, event: ConsultEvent) -> bool {
    let Some(owner) = owner.upgrade() else {
        return false;
    };
    matches!(
        owner.send(Order(OperatorEvent::Consult(event))).await,
        Ok(Ok(()))
    )
}
