//! What the requests of the operator are answered with.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use switchboard_actors::metrics::Metrics;

use super::attempts::Attempts;
use crate::calls::Calls;
use crate::listener::origin::Names;
use crate::listener::refusals::Refusals;
use crate::trust::Keyring;

/// Shared by all requests of the admin listener.
pub(crate) struct AdminState {
    pub(crate) calls: Arc<Calls>,
    /// Whom we believe.
    pub(crate) keyring: Arc<Keyring>,
    /// Under which names the operator reaches us.
    pub(crate) names: Names<'static>,
    /// Name of this process among others.
    pub(crate) node: String,
    /// Wrong tokens.
    pub(crate) attempts: Attempts,
    pub(crate) metrics: Arc<Metrics>,
    /// The log lines about what was refused.
    pub(crate) refusals: Arc<Refusals>,
}

impl AdminState {
    /// Counts and logs a request that is refused.
    pub(super) fn refused(&self, reason: &'static str, from: Option<IpAddr>) {
        self.metrics.admin_refused(reason);
        self.refusals.admin(reason, from);
    }

    /// The answer to a wrong token waits.
    pub(super) async fn slow_down(&self, from: Option<IpAddr>) {
        let wait = self.attempts.wrong(from, Instant::now());
        let place = self.attempts.wait();
        if !wait.is_zero() && place.is_some() {
            actix::clock::sleep(wait).await;
        }
    }
}

/// The host's name, or the process's number where it has none.
pub(crate) fn node_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => std::process::id().to_string(),
        name => name.to_owned(),
    }
}
