//! What happens to a call between its webhooks and its sockets: let in, gone on with, ended. Values in, values out: no
//! HTTP, no TwiML. The only ones here to ask the registry and the store.

pub(crate) mod admit;
pub(crate) mod conclude;
pub(crate) mod consult;
pub(crate) mod drain;
mod limit;
pub(crate) mod media_slot;
pub(crate) mod orders;
mod ownership;
pub(crate) mod readiness;
pub(crate) mod resume;
mod table;

use std::sync::Arc;
use std::time::Duration;

use call_protocol::checkpoint::Checkpoint;
use call_protocol::phone::CallSid;
use switchboard_actors::call::{Shared, Tap};
use switchboard_actors::messages::CallInfo;
use switchboard_actors::metrics::Metrics;
use switchboard_actors::store::CallStore;

use crate::agents::routing::{Answering, ConfigHistory};
use crate::trust::Keyring;
use consult::Carrier;
use media_slot::Sockets;

pub(crate) use table::CallTable;

/// What the use cases work with.
pub(crate) struct Calls {
    /// The calls of this process.
    pub(crate) table: CallTable,
    /// What outlives the process, and other processes share.
    pub(crate) store: Arc<dyn CallStore>,
    /// A number no other process has, be it one of the same name.
    pub(crate) process: i64,
    /// Who answers.
    pub(crate) agents: Arc<ConfigHistory>,
    /// Makes the tickets of media sockets.
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) metrics: Arc<Metrics>,
    /// Who can be asked to call somebody, if there are credentials.
    pub(crate) carrier: Option<Carrier>,
    /// What every call on an accepted socket is started with.
    pub(crate) sockets: Sockets,
    /// The model is dialled when a call rings, not when its socket opens.
    pub(crate) dials_early: bool,
    /// How long live calls may go on when the process leaves.
    pub(crate) drain_within: Duration,
}

impl Calls {
    /// Who answers a call that is known.
    pub(crate) fn answering(&self, info: &CallInfo) -> Answering {
        let name = &info.agent.name;
        self.agents.answering(info.config_snapshot, name)
    }

    /// What the actors of a call share.
    fn shared(&self, call: Option<CallSid>, tap: Option<Tap>) -> Shared {
        let CallTable {
            admission, events, ..
        } = &self.table;
        Shared::new(self.metrics.clone(), admission.clone(), events.clone(), tap).of_call(call)
    }

    /// What the call's owner wrote down last. `None` if nobody wrote anything, or not readably.
    pub(crate) async fn left(&self, call: CallSid) -> Option<Checkpoint> {
        ownership::look(self, call).await
    }
}
