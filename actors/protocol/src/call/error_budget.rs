//! Messages that could not be used: each is counted and passed over, many in a row are too many.

use std::collections::VecDeque;
use std::time::Duration;

use super::Call;
use super::effect::Peer;
use super::outcome::EndReason;
use crate::time::Time;
use crate::wire::ReadError;

/// Unusable messages inside [`WINDOW`] that a socket is given up for.
const TOO_MANY: usize = 10;

/// Window in which unusable messages are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// The unusable messages of one socket.
#[derive(Debug, Default)]
pub(super) struct ErrorBudget(VecDeque<Time>);

impl ErrorBudget {
    /// One more; whether that is one too many.
    pub(super) fn record(&mut self, now: Time) -> bool {
        let old = |first: &Time| now.since(*first) > WINDOW;
        while self.0.front().is_some_and(old) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.0.len() >= TOO_MANY
    }
}

impl Call {
    /// A message of Twilio's that could not be used; too many of them end the call.
    pub(super) fn bad_from_phone(&mut self, error: ReadError, now: Time) {
        self.violation(Peer::Phone, error.label());
        if self.phone_errors.record(now) {
            self.end(EndReason::TooManyBadMessages, now);
        }
    }

    /// A message of the model's that could not be used; a session with too many of them is left for another. The caller
    /// has done nothing wrong, and is still there.
    pub(super) fn bad_from_model(&mut self, error: ReadError, now: Time) {
        self.violation(Peer::Model, error.label());
        if self.model_errors.record(now) {
            self.violation(Peer::Model, "too_many_bad_messages");
            self.model_errors = ErrorBudget::default();
            self.lose_model("bad_messages", false, now);
        }
    }
}
