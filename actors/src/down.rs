//! Death notices: actix has no links or monitors, so an actor carries a guard that tells of its end when dropped.

use actix::Addr;

use crate::messages::{CallKey, Down};
use crate::registry::Registry;

/// Tells the registry that a call's actor is gone, also while unwinding. Nothing in here may panic.
pub struct DownGuard {
    key: CallKey,
    registry: Addr<Registry>,
}

impl DownGuard {
    /// Holds the place of a call until it is dropped.
    #[must_use]
    pub const fn new(key: CallKey, registry: Addr<Registry>) -> Self {
        Self { key, registry }
    }

    /// The call's number in this process.
    #[must_use]
    pub const fn key(&self) -> CallKey {
        self.key
    }
}

impl Drop for DownGuard {
    fn drop(&mut self) {
        self.registry.do_send(Down {
            key: self.key,
            panicked: std::thread::panicking(),
        });
    }
}
