//! What an operator asks of live calls.

use std::time::Duration;

use call_protocol::call::event::OperatorEvent;
use call_protocol::call::operator::Objection;
use call_protocol::phone::CallSid;
use serde::Serialize;
use switchboard_actors::messages::{Inspect, Order};
use switchboard_actors::registry::messages::{Find, Found, List};

use super::Calls;

/// Longest wait for a call's own answer; its thread may be busy.
const CALL_ANSWERS: Duration = Duration::from_secs(1);

/// A call that lives here.
pub(crate) struct LiveCall(Found);

/// Why a call is not found.
pub(crate) enum NotFound {
    /// There is none.
    Unknown,
    /// The registry does not answer.
    Silent,
}

/// Why a call does not do as it was told.
pub(crate) enum Disobeyed {
    Objects(Objection),
    Silent,
}

/// All live calls; `None` if the registry does not answer.
pub(crate) async fn list(calls: &Calls) -> Option<impl Serialize> {
    calls.table.ask(List).await
}

/// The live call with this SID.
pub(crate) async fn find(calls: &Calls, call: &str) -> Result<LiveCall, NotFound> {
    let call = CallSid::parse(call).ok_or(NotFound::Unknown)?;
    let found = calls.table.ask(Find(call)).await;
    let found = found.ok_or(NotFound::Silent)?;
    found.map(LiveCall).ok_or(NotFound::Unknown)
}

impl LiveCall {
    /// What is told of it every second.
    pub(crate) const fn row(&self) -> &impl Serialize {
        &self.0.row
    }

    /// What it tells when it is asked; `None` if it does not answer.
    pub(crate) async fn inspect(&self) -> Option<impl Serialize> {
        let answer = actix::clock::timeout(CALL_ANSWERS, self.0.call.send(Inspect)).await;
        answer.ok()?.ok()?.ok()
    }

    /// Orders something of it.
    pub(crate) async fn order(&self, event: OperatorEvent) -> Result<(), Disobeyed> {
        let answer = self.0.orders.send(Order(event));
        match actix::clock::timeout(CALL_ANSWERS, answer).await {
            Ok(Ok(answer)) => answer.map_err(Disobeyed::Objects),
            Ok(Err(_)) | Err(_) => Err(Disobeyed::Silent),
        }
    }
}
