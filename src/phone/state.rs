//! What the requests of Twilio are answered with.

use std::sync::Arc;

use actix_web::http::StatusCode;
use switchboard_actors::metrics::Metrics;

use super::address::PublicAddress;
use super::pending_streams::PendingStreams;
use crate::agents::routing::ConfigHistory;
use crate::calls::Calls;
use crate::listener::refusals::Refusals;
use crate::settings::StreamSignature;
use crate::trust::Keyring;

/// Shared by all workers of the public listener.
pub(crate) struct PhoneState {
    pub(crate) calls: Arc<Calls>,
    pub(crate) agents: Arc<ConfigHistory>,
    /// Whom we believe.
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) address: PublicAddress,
    /// What is made of a media socket's signature.
    pub(crate) stream_signature: StreamSignature,
    /// Media sockets on which `start` has not come.
    pub(crate) pending_streams: PendingStreams,
    pub(crate) metrics: Arc<Metrics>,
    /// The log lines about what was refused.
    pub(crate) refusals: Arc<Refusals>,
}

impl PhoneState {
    /// Counts and logs a webhook that is refused.
    pub(crate) fn webhook_refused(&self, reason: &'static str, status: StatusCode, path: &str) {
        self.metrics.webhook_rejected(reason);
        self.refusals.webhook(reason, status, path);
    }

    /// Counts and logs a media socket that is refused.
    pub(crate) fn socket_refused(&self, reason: &'static str) {
        self.metrics.stream_rejected(reason);
        self.refusals.socket(reason);
    }
}
