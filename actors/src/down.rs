//! Death notices: actix has no links or monitors, so an actor carries a guard that tells of its end when dropped.

use actix::{Addr, WeakRecipient};

use crate::admission::OnTheLine;
use crate::call::LastLines;
use crate::events::AudioFeed;
use crate::live_calls::LiveCalls;
use crate::messages::{CallKey, Order};
use crate::registry::Registry;
use crate::registry::messages::Down;

/// Tells the registry that a call's actor is gone, also while unwinding. Nothing in here may panic.
pub struct DownGuard {
    key: CallKey,
    registry: Addr<Registry>,
    live_calls: LiveCalls,
    /// Its time counts as long as it has the place.
    _line: OnTheLine,
}

impl DownGuard {
    /// Holds the place of a call until it is dropped.
    #[must_use]
    pub const fn new(
        key: CallKey,
        registry: Addr<Registry>,
        live_calls: LiveCalls,
        line: OnTheLine,
    ) -> Self {
        Self {
            key,
            registry,
            live_calls,
            _line: line,
        }
    }

    /// The call's number in this process.
    #[must_use]
    pub const fn key(&self) -> CallKey {
        self.key
    }

    /// Where the call's last line waits for the store.
    pub(crate) const fn last_lines(&self) -> &LastLines {
        self.live_calls.last_lines()
    }

    /// The call lives, takes orders there, and can be heard.
    pub(crate) fn enroll(&self, orders: WeakRecipient<Order>, audio: AudioFeed) {
        self.live_calls.enter(self.key, orders, audio);
    }
}

impl Drop for DownGuard {
    fn drop(&mut self) {
        self.live_calls.leave(self.key);
        self.registry.do_send(Down {
            key: self.key,
            panicked: std::thread::panicking(),
        });
    }
}
