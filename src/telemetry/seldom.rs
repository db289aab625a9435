//! Lines that anybody can cause as often as they like: written seldom, with the number of those left out.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lets one line of each kind through in a stretch of time, and counts the others.
#[derive(Debug)]
pub(crate) struct Seldom {
    every: Duration,
    /// Kinds are words of the code, so there are few.
    kinds: Mutex<BTreeMap<&'static str, Told>>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    untold: u64,
}

impl Seldom {
    /// One line of each kind in this time.
    pub(crate) const fn new(every: Duration) -> Self {
        Self {
            every,
            kinds: Mutex::new(BTreeMap::new()),
        }
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<&'static str, Told>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of this kind has happened. Gives how many of it were left out since the last line, if a line about it
    /// is due; `None` if this one is left out, too.
    pub(crate) fn line(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds();
        let Some(told) = kinds.get_mut(kind) else {
            kinds.insert(kind, Told { at: now, untold: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(told.at) < self.every {
            told.untold += 1;
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.untold))
    }

    /// What was left out and is due now, with how many of each: without this the end of a flood would never be told.
    pub(crate) fn rest(&self, now: Instant) -> Vec<(&'static str, u64)> {
        let mut due = Vec::new();
        for (kind, told) in &mut *self.kinds() {
            if told.untold > 0 && now.saturating_duration_since(told.at) >= self.every {
                told.at = now;
                due.push((*kind, std::mem::take(&mut told.untold)));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_a_kind_in_its_time_and_the_others_are_counted() {
        let seldom = Seldom::new(Duration::from_secs(1));
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        assert_eq!(seldom.line("forged", at(0)), Some(0));
        for ms in 1..100 {
            assert_eq!(seldom.line("forged", at(ms)), None);
        }
        assert_eq!(seldom.line("expired", at(100)), Some(0), "another kind");
        assert_eq!(seldom.line("forged", at(999)), None);
        assert_eq!(seldom.line("forged", at(1_000)), Some(100));
        assert_eq!(seldom.line("forged", at(1_500)), None);
        assert_eq!(seldom.line("forged", at(2_000)), Some(1));
    }

    #[test]
    fn what_was_left_out_last_is_told_when_its_time_comes() {
        let seldom = Seldom::new(Duration::from_secs(1));
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        for ms in [0, 10, 20] {
            seldom.line("forged", at(ms));
        }
        assert_eq!(seldom.rest(at(900)), []);
        assert_eq!(seldom.rest(at(1_000)), [("forged", 2)]);
        assert_eq!(seldom.rest(at(9_000)), [], "told once");
        assert_eq!(seldom.line("forged", at(9_000)), Some(0));
    }
}
