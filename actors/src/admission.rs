//! Whether the model's account can take another call. Every call tells what its server said about keys and limits;
//! new calls are turned away while a caller would only meet silence, and let in again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::budget::DailyBudget;

/// While the key is refused one call in so many seconds is let in, to see whether it still is.
const PROBE_EVERY: Duration = Duration::from_secs(15);

/// First time the door is shut after a rate limit that names no time; doubles up to [`LONGEST_BACK_OFF`].
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);

/// Longest time the door is shut after such a rate limit.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// Longest time the door is shut for whatever a server names: what is true in an hour nobody knows.
const LONGEST_SHUT: Duration = Duration::from_secs(5 * 60);

/// With less than this share of a limit left, live calls need it: no new ones.
const SCARCE: f64 = 0.02;

/// With less than this share left new calls are let in one by one.
const THIN: f64 = 0.10;

/// Between two calls that are let in one by one.
const ONE_BY_ONE: Duration = Duration::from_secs(1);

/// Why no call is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionBlock {
    /// The key, the account or its billing was refused.
    Refused,
    /// The account's rate limit is used up.
    RateLimited,
    /// The day has cost as much as it may.
    Budget,
    /// The day has had as many minutes as it may.
    Minutes,
}

impl AdmissionBlock {
    /// The reason's name in metrics, logs and `/readyz`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Refused => "model_refused",
            Self::RateLimited => "model_rate_limited",
            Self::Budget => "budget",
            Self::Minutes => "minutes",
        }
    }
}

/// The door of one process; asked once a call, told a few times a call.
#[derive(Debug, Default)]
pub struct AdmissionControl {
    state: Mutex<State>,
    /// What the day may cost, if that is limited.
    budget: Option<DailyBudget>,
    /// How long the day's calls may be, if that is limited.
    minutes: Option<DailyBudget>,
}

/// A call that is there: it takes of the day's minutes until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct OnTheLine(Arc<AdmissionControl>);

impl Drop for OnTheLine {
    fn drop(&mut self) {
        if let Some(minutes) = &self.0.minutes {
            minutes.call_ended(Instant::now());
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// The key is refused; the next call that tries it may come then.
    probe_at: Option<Instant>,
    shut_until: Option<Instant>,
    scarce_until: Option<Instant>,
    thin_until: Option<Instant>,
    let_in_at: Option<Instant>,
    /// Rate limits in a row that named no time.
    refusals: u32,
}

impl State {
    fn shut(&self, now: Instant) -> Option<AdmissionBlock> {
        if self.probe_at.is_some() {
            return Some(AdmissionBlock::Refused);
        }
        let lasts = |until: Option<Instant>| until.is_some_and(|until| now < until);
        let is_shut = lasts(self.shut_until) || lasts(self.scarce_until);
        is_shut.then_some(AdmissionBlock::RateLimited)
    }
}

impl AdmissionControl {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A door that is shut for the rest of a day that has cost so many US dollars, or had so many minutes.
    #[must_use]
    pub fn with_limits_of_the_day(most_usd: Option<f64>, most_minutes: Option<u32>) -> Self {
        Self {
            state: Mutex::default(),
            budget: most_usd.map(DailyBudget::of_money),
            minutes: most_minutes.map(DailyBudget::of_time),
        }
    }

    fn spent(&self, now: Instant, exempt: bool) -> Option<AdmissionBlock> {
        let is_empty =
            |budget: &Option<DailyBudget>| budget.as_ref().is_some_and(|it| it.is_empty(now));
        if is_empty(&self.budget) {
            return Some(AdmissionBlock::Budget);
        }
        (!exempt && is_empty(&self.minutes)).then_some(AdmissionBlock::Minutes)
    }

    /// All that the day has a limit of.
    pub(crate) fn purses(&self) -> impl Iterator<Item = &DailyBudget> {
        self.budget.iter().chain(&self.minutes)
    }

    /// A call begins to take of the day's minutes.
    pub fn call_began(self: &Arc<Self>, now: Instant) -> OnTheLine {
        if let Some(minutes) = &self.minutes {
            minutes.call_began(now);
        }
        OnTheLine(self.clone())
    }

    /// What the day may cost, if that is limited.
    #[must_use]
    pub const fn budget(&self) -> Option<&DailyBudget> {
        self.budget.as_ref()
    }

    /// Lets a new call in, or says why not. The day's minutes do not bind a number that is `exempt`.
    ///
    /// # Errors
    /// [`AdmissionBlock`], while a caller would only meet silence.
    pub fn admit(&self, now: Instant, exempt: bool) -> Result<(), AdmissionBlock> {
        if let Some(shut) = self.spent(now, exempt) {
            return Err(shut);
        }
        let mut state = self.state();
        if let Some(probe_at) = state.probe_at
            && now >= probe_at
        {
            state.probe_at = Some(now + PROBE_EVERY);
            return Ok(());
        }
        if let Some(shut) = state.shut(now) {
            return Err(shut);
        }
        let is_thin = state.thin_until.is_some_and(|until| now < until);
        let is_next = state.let_in_at.is_none_or(|last| now >= last + ONE_BY_ONE);
        if is_thin && !is_next {
            return Err(AdmissionBlock::RateLimited);
        }
        state.let_in_at = Some(now);
        Ok(())
    }

    /// Why new calls are turned away, if they are.
    #[must_use]
    pub fn shut(&self, now: Instant) -> Option<AdmissionBlock> {
        self.spent(now, false).or_else(|| self.state().shut(now))
    }

    /// The key, the account or its billing was refused.
    pub fn refused(&self, now: Instant) {
        let mut state = self.state();
        if state.probe_at.is_none() {
            log::error!(target: "switchboard::admission", reason = AdmissionBlock::Refused.label(); "the model refuses the key or the account, new calls are turned away");
        }
        state.probe_at = Some(now + PROBE_EVERY);
    }

    /// A session was refused because of a rate limit; `named` is how long the server wants to be left alone.
    pub fn rate_limited(&self, named: Option<Duration>, now: Instant) {
        let mut state = self.state();
        let wait = match named {
            Some(wait) => wait.min(LONGEST_SHUT),
            None => {
                let doubled = FIRST_BACK_OFF * (1 << state.refusals.min(5));
                state.refusals = state.refusals.saturating_add(1);
                doubled.min(LONGEST_BACK_OFF)
            }
        };
        state.shut_until = state.shut_until.max(Some(now + wait));
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        log::warn!(target: "switchboard::admission", reason = AdmissionBlock::RateLimited.label(), wait_ms; "new calls are turned away");
    }

    /// What a server says is left of the scarcest limit, 0 to 1, and when it is full again.
    pub fn limits(&self, left: f64, full_in: Duration, now: Instant) {
        let mut state = self.state();
        let until = now + full_in.min(LONGEST_SHUT);
        // The newest word counts: calls that ended give back what was kept for them.
        state.scarce_until = (left < SCARCE).then_some(until);
        state.thin_until = (left < THIN).then_some(until);
    }

    /// A session was opened: key and account are good.
    pub fn opened(&self) {
        let mut state = self.state();
        if state.probe_at.take().is_some() {
            log::info!(target: "switchboard::admission", reason = AdmissionBlock::Refused.label(); "the model takes calls again");
        }
        state.refusals = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_refused_key_shuts_the_door_but_for_a_call_that_tries_it_until_one_is_taken() {
        let (admission, now) = (AdmissionControl::default(), Instant::now());
        assert_eq!(admission.admit(now, false), Ok(()));
        admission.refused(now);
        assert_eq!(
            admission.admit(now + SECOND, false),
            Err(AdmissionBlock::Refused)
        );
        assert_eq!(
            admission.shut(now + 60 * SECOND),
            Some(AdmissionBlock::Refused)
        );
        assert_eq!(
            admission.admit(now + PROBE_EVERY, false),
            Ok(()),
            "one tries it"
        );
        assert_eq!(
            admission.admit(now + PROBE_EVERY + SECOND, false),
            Err(AdmissionBlock::Refused)
        );
        admission.opened();
        assert_eq!(admission.shut(now + PROBE_EVERY + SECOND), None);
        assert_eq!(admission.admit(now + PROBE_EVERY + SECOND, false), Ok(()));
    }

    #[test]
    fn a_rate_limit_shuts_the_door_for_as_long_as_it_says() {
        let (admission, now) = (AdmissionControl::default(), Instant::now());
        admission.rate_limited(Some(7 * SECOND), now);
        admission.rate_limited(Some(SECOND), now);
        admission.opened();
        assert_eq!(
            admission.admit(now + 6 * SECOND, false),
            Err(AdmissionBlock::RateLimited),
            "the longest counts"
        );
        assert_eq!(admission.admit(now + 7 * SECOND, false), Ok(()));
        admission.rate_limited(Some(3_600 * SECOND), now);
        assert_eq!(
            admission.admit(now + LONGEST_SHUT, false),
            Ok(()),
            "nobody knows what is in an hour"
        );
    }

    #[test]
    fn rate_limits_that_name_no_time_shut_it_for_longer_and_longer() {
        let (admission, mut now) = (AdmissionControl::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            admission.rate_limited(None, now);
            assert_eq!(
                admission.admit(now + (seconds - 1) * SECOND, false),
                Err(AdmissionBlock::RateLimited)
            );
            now += seconds * SECOND;
            assert_eq!(admission.admit(now, false), Ok(()));
        }
        admission.opened();
        admission.rate_limited(None, now);
        assert_eq!(admission.admit(now + SECOND, false), Ok(()), "begins anew");
    }

    #[test]
    fn a_limit_that_runs_out_lets_calls_in_one_by_one_then_none_then_all() {
        let (admission, now) = (AdmissionControl::default(), Instant::now());
        admission.limits(0.05, 20 * SECOND, now);
        let let_in = (0..100u32)
            .filter(|n| admission.admit(now + *n * SECOND / 10, false).is_ok())
            .count();
        assert_eq!(let_in, 10, "one a second for ten seconds");
        let now = now + 10 * SECOND;
        admission.limits(0.01, 5 * SECOND, now);
        assert_eq!(
            admission.admit(now + 4 * SECOND, false),
            Err(AdmissionBlock::RateLimited)
        );
        assert_eq!(
            admission.shut(now + 4 * SECOND),
            Some(AdmissionBlock::RateLimited)
        );
        assert!(
            admission.admit(now + 5 * SECOND, false).is_ok(),
            "full again by itself"
        );
        admission.limits(0.01, 5 * SECOND, now);
        admission.limits(0.8, SECOND, now);
        let let_in = (0..100)
            .filter(|_| admission.admit(now, false).is_ok())
            .count();
        assert_eq!(let_in, 100);
    }
}
