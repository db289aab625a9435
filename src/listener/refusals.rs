//! The log lines about what was refused: a flood of them must not push everything else out of the log.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;

use crate::telemetry::Seldom;

/// Between two lines about webhooks, or sockets, refused for the same reason.
const STRANGERS: Duration = Duration::from_secs(1);

/// The same about requests to the admin listener.
const OPERATORS: Duration = Duration::from_secs(60);

/// Writes one line of each reason in its time, with the number of those left out before it (`more`). The counters count
/// every one.
pub(crate) struct Refusals {
    webhooks: Seldom,
    sockets: Seldom,
    unsigned: Seldom,
    admin: Seldom,
    connections: Seldom,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            webhooks: Seldom::new(STRANGERS),
            sockets: Seldom::new(STRANGERS),
            unsigned: Seldom::new(STRANGERS),
            admin: Seldom::new(OPERATORS),
            connections: Seldom::new(OPERATORS),
        }
    }
}

impl Refusals {
    /// A webhook was refused.
    pub(crate) fn webhook(&self, reason: &'static str, status: StatusCode, path: &str) {
        if let Some(more) = self.webhooks.line(reason, Instant::now()) {
            log::warn!(target: "switchboard::phone", reason, status = status.as_u16(), path, more; "webhook rejected");
        }
    }

    /// A media socket was refused.
    pub(crate) fn socket(&self, reason: &'static str) {
        if let Some(more) = self.sockets.line(reason, Instant::now()) {
            log::warn!(target: "switchboard::phone", reason, more; "media socket refused");
        }
    }

    /// A media socket's signature was not looked at any further, because the settings only want it logged.
    pub(crate) fn unsigned(&self, reason: &'static str) {
        if let Some(more) = self.unsigned.line(reason, Instant::now()) {
            log::warn!(target: "switchboard::phone", reason, more; "media socket without a valid signature, its ticket decides");
        }
    }

    /// A request to the admin listener was refused.
    pub(crate) fn admin(&self, reason: &'static str, from: Option<IpAddr>) {
        if let Some(more) = self.admin.line(reason, Instant::now()) {
            let from = from.map(|from| from.to_string());
            log::warn!(target: "switchboard::desk", reason, from = from.as_deref().unwrap_or("-"), more; "admin request refused");
        }
    }

    /// A connection of a listener was ended before it had asked anything.
    pub(crate) fn connection(&self, listener: &'static str, reason: &'static str) {
        if let Some(more) = self.connections.line(reason, Instant::now()) {
            log::warn!(target: "switchboard", listener, reason, more; "connection ended");
        }
    }

    /// Tells what was left out and is due: to be called every second.
    pub(crate) fn rest(&self, now: Instant) {
        for (reason, more) in self.webhooks.rest(now) {
            log::warn!(target: "switchboard::phone", reason, more; "webhooks rejected");
        }
        for (reason, more) in self.sockets.rest(now) {
            log::warn!(target: "switchboard::phone", reason, more; "media sockets refused");
        }
        for (reason, more) in self.unsigned.rest(now) {
            log::warn!(target: "switchboard::phone", reason, more; "media sockets without a valid signature");
        }
        for (reason, more) in self.connections.rest(now) {
            log::warn!(target: "switchboard", reason, more; "connections ended");
        }
        for (reason, more) in self.admin.rest(now) {
            log::warn!(target: "switchboard::desk", reason, more; "admin requests refused");
        }
    }
}
