//! Messages that could not be used: each is counted and passed over, many in a row are too many.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// Unusable messages inside [`WINDOW`] that a socket is given up for.
const TOO_MANY: usize = 10;

/// Window in which unusable messages are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// The unusable messages of one socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErrorBudget(VecDeque<Time>);

impl ErrorBudget {
    /// One more; whether that is one too many.
    pub(crate) fn record(&mut self, now: Time) -> bool {
        let old = |first: &Time| now.since(*first) > WINDOW;
        while self.0.front().is_some_and(old) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.0.len() >= TOO_MANY
    }
}
