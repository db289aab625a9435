//! How often a call may come back after its stream has ended.

use std::collections::VecDeque;
use std::time::Instant;

use crate::limits::{RETURN_WINDOW, RETURNS};

/// When a call came back, as far as it still counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Returns(VecDeque<Instant>);

impl Returns {
    /// The call comes back now; false if it did so too often.
    pub(super) fn again(&mut self, now: Instant) -> bool {
        let is_old = |at: &Instant| now.duration_since(*at) > RETURN_WINDOW;
        while self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
        if self.0.len() >= RETURNS {
            return false;
        }
        self.0.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_that_cannot_be_kept_is_let_go_at_its_sixth_return() {
        let began = Instant::now();
        let mut returns = Returns::default();
        for second in 0..5 {
            assert!(returns.again(began + Duration::from_secs(second)));
        }
        assert!(!returns.again(began + Duration::from_secs(200)));
        assert!(!returns.again(began + RETURN_WINDOW));
        // The first one counts no more.
        assert!(returns.again(began + RETURN_WINDOW + Duration::from_millis(1)));
    }

    #[test]
    fn a_long_call_may_come_back_as_often_as_its_line_breaks() {
        let began = Instant::now();
        let mut returns = Returns::default();
        for minute in 0..120 {
            let now = began + Duration::from_secs(61 * minute);
            assert!(returns.again(now), "after {minute} minutes");
        }
    }
}
