//! How often a session is tried again, and how long is waited before.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// Failures allowed inside [`BUDGET_WINDOW`]: after that the caller is better served by a person.
const BUDGET: usize = 5;

/// Window of the failure budget, and the longest a caller waits for a session: servers that hang fail too slowly to
/// use the budget up.
const BUDGET_WINDOW: Duration = Duration::from_secs(15);

/// First wait before another dial; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Longest wait before another dial.
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// Counts failures and says how long to wait, or that enough is enough.
#[derive(Debug)]
pub struct Backoff {
    failures: VecDeque<Time>,
    down_since: Option<Time>,
    random: u64,
}

impl Backoff {
    /// `seed` spreads the waits of calls that lost the same server in the same moment.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            failures: VecDeque::new(),
            down_since: None,
            random: seed | 1,
        }
    }

    /// There is no session; says when the wait for one ends.
    pub fn down(&mut self, now: Time) -> Time {
        *self.down_since.get_or_insert(now) + BUDGET_WINDOW
    }

    /// There is a session.
    pub fn up(&mut self) {
        self.down_since = None;
    }

    /// A dial or a session failed: wait this long before the next, or give up.
    pub fn failed(&mut self, now: Time) -> Option<Duration> {
        let give_up = self.down(now);
        while self
            .failures
            .front()
            .is_some_and(|first| now.since(*first) > BUDGET_WINDOW)
        {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        let failures = self.failures.len();
        if failures >= BUDGET {
            return None;
        }
        let doubled = FIRST_WAIT * (1 << (failures - 1));
        let wait = self.jitter(doubled.min(LONGEST_WAIT));
        (now + wait < give_up).then_some(wait)
    }

    /// The same where the server named a time before which it wants to hear of nobody.
    pub fn failed_until(&mut self, named: Option<Duration>, now: Time) -> Option<Duration> {
        let wait = self.failed(now)?;
        let Some(named) = named else {
            return Some(wait);
        };
        let wait = wait.max(self.spread(named));
        // A caller does not hold the line for longer than this; then the fallback serves them better.
        (now + wait < self.down(now)).then_some(wait)
    }

    /// A wait that a server named, or up to a quarter more: calls that share a limit do not all return at its end.
    pub fn spread(&mut self, wait: Duration) -> Duration {
        wait + wait / 2_048 * self.share()
    }

    /// Between half and the whole of `wait`.
    fn jitter(&mut self, wait: Duration) -> Duration {
        wait / 2 + wait / 1_024 * self.share()
    }

    /// Below 512.
    fn share(&mut self) -> u32 {
        // xorshift: spreading retries needs no better.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u32::try_from(self.random % 512).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_jitter_and_end() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<_> = (0..6)
            .map(|n| backoff.failed(Time::from_millis(n * 100)))
            .collect();
        let bounds = [(125, 250), (250, 500), (500, 1_000), (1_000, 2_000)];
        for (wait, (low, high)) in waits.iter().zip(bounds) {
            let millis = wait.unwrap().as_millis();
            assert!((low..=high).contains(&millis), "{millis}");
        }
        assert_eq!(&waits[4..], [None, None]);
    }

    #[test]
    fn old_failures_are_forgotten() {
        let mut backoff = Backoff::new(7);
        for minute in 0..20 {
            assert!(backoff.failed(Time::from_millis(minute * 60_000)).is_some());
            backoff.up();
        }
    }

    #[test]
    fn a_named_wait_is_kept_and_spread_by_a_quarter_at_most() {
        let named = Duration::from_secs(2);
        let waits: std::collections::HashSet<_> = (1..50u64)
            .map(|seed| Backoff::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).spread(named))
            .collect();
        assert!(waits.len() > 20);
        let kept = |wait: &Duration| (named..=named * 5 / 4).contains(wait);
        assert!(waits.iter().all(kept), "{waits:?}");
        assert_eq!(Backoff::new(7).spread(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn calls_that_fail_together_do_not_return_together() {
        let waits: std::collections::HashSet<_> = (1..50u64)
            .map(|seed| Backoff::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).failed(Time::ZERO))
            .collect();
        assert!(waits.len() > 20);
    }
}
