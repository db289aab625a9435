//! The people of warm transfers: told apart, told what the caller's call knows of them, and let go.

use std::sync::Arc;
use std::time::Duration;

use call_protocol::call::event::OperatorEvent;
use call_protocol::call::operator::Objection;
use call_protocol::call::outcome::{ConsultEvent, Destination, NextStep, Person, Stage};
use call_protocol::phone::CallSid;
use switchboard_actors::messages::Order;
use switchboard_actors::registry::messages::Find;
use switchboard_actors::twilio::rest::{Change, Rest, RestError};

use super::Calls;

const TARGET: &str = "switchboard::person";

/// A conversation that has taken place is over by then, and its checkpoint gone.
const MEETING_IS_OVER: Duration = Duration::from_secs(3);

/// The carrier, which can be asked to call somebody and to change what becomes of a call.
pub(crate) struct Carrier {
    pub(crate) rest: Arc<Rest>,
    /// Our address as the carrier knows it, without a slash at the end.
    pub(crate) base: String,
    /// What somebody hears who has answered and whose caller does not come, as the carrier reads it.
    pub(crate) gone: Option<String>,
}

/// Which consultation of which call a request is about; the carrier signs it with the URL.
#[derive(Clone, Copy)]
pub(crate) struct ConsultId {
    pub(crate) call: CallSid,
    pub(crate) attempt: u32,
}

/// Whether a person is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The call knows it now, or is on its way to that person.
    Yes,
    /// The call is between two owners.
    Soon,
    /// Nobody waits for that person.
    No,
}

/// Tells the call what a person does.
pub(crate) async fn tell(calls: &Calls, id: ConsultId, event: ConsultEvent) -> Wanted {
    if let Some(found) = calls.table.ask(Find(id.call)).await.flatten() {
        let order = Order(OperatorEvent::Consult(event));
        match found.orders.send(order).await {
            Ok(Ok(())) => return Wanted::Yes,
            Ok(Err(Objection::NobodyCalled)) => return Wanted::No,
            // It has just ended: what it wrote down last tells how.
            Ok(Err(_)) | Err(_) => {}
        }
    }
    let Some(left) = calls.left(id.call).await else {
        return Wanted::No;
    };
    let is_meant = |person: &Person| person.attempt == id.attempt;
    if !left.person.as_ref().is_some_and(is_meant) {
        return Wanted::No;
    }
    match left.aftermath().0 {
        NextStep::Transfer => Wanted::Yes,
        NextStep::Reconnect => Wanted::Soon,
        NextStep::HangUp | NextStep::Fallback => Wanted::No,
    }
}

/// A caller who was on the way to that person would wait alone: they come back to the agent, at the address that `back`
/// gives for a target. A caller who has talked with the person is past that.
pub(crate) fn fetch_back(
    calls: &Arc<Calls>,
    id: ConsultId,
    back: impl FnOnce(Option<&Destination>) -> String + 'static,
) {
    let calls = calls.clone();
    actix::spawn(async move {
        let Some(carrier) = &calls.carrier else {
            return;
        };
        actix::clock::sleep(MEETING_IS_OVER).await;
        let Some(left) = calls.left(id.call).await else {
            return;
        };
        let is_waiting =
            |person: &Person| person.attempt == id.attempt && person.stage == Stage::Waiting;
        if left.aftermath().0 != NextStep::Transfer || !left.person.as_ref().is_some_and(is_waiting)
        {
            return;
        }
        let target = left.person.map(|person| person.to);
        let change = Change::Url(back(target.as_ref()));
        let result = carrier.rest.change(id.call, &change).await;
        report(id.call, "caller fetched back to the agent", result);
    });
}

/// Nobody comes to this person any more.
pub(super) fn let_go(calls: &Calls, call: CallSid, person: &Person) {
    let (Some(carrier), Some(leg)) = (&calls.carrier, person.leg) else {
        return;
    };
    let answered = person.stage != Stage::Ringing;
    let words = carrier.gone.clone().filter(|_| answered);
    let change = words.map_or(Change::Complete, Change::Twiml);
    let rest = carrier.rest.clone();
    actix::spawn(async move {
        let result = rest.change(leg, &change).await;
        report(call, "person let go", result);
    });
}

fn report(call: CallSid, what: &'static str, result: Result<(), RestError>) {
    match result {
        Ok(()) => log::info!(target: TARGET, call_sid = call.as_str(); "{what}"),
        Err(RestError::Over) => {
            log::debug!(target: TARGET, call_sid = call.as_str(); "{what}: over already");
        }
        Err(error) => {
            log::warn!(target: TARGET, call_sid = call.as_str(), reason = error.label(), error:% = error; "{what}: refused");
        }
    }
}
