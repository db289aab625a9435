//! What a day may have: money for the model, and time of calls. Calls tell what their answers cost and how long they
//! are there; the sums are kept in the store, where other processes add to them and the next one finds them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::admission::{AdmissionBlock, AdmissionControl};
use crate::store::{CallStore, DAY, Spent, UnixSeconds};

/// A dollar in the units of the store.
const MICRO: f64 = 1e6;

/// A minute in the units of the store.
const MINUTE_MS: u64 = 60_000;

/// Between two looks at the sum, to which other processes add.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Between two tries to write to a store that fails.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What is left of a day's money or time, as far as this process knows.
#[derive(Debug)]
pub struct DailyBudget {
    what: Spent,
    most: u64,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Spent and not in the store yet.
    unbooked: u64,
    /// Calls that are there, and since when their time is not in `unbooked`; none in a purse of money.
    calls: u32,
    since: Option<Instant>,
    /// The day's sum, as the store said, and when that day ends.
    booked: Option<(u64, Instant)>,
    told: bool,
}

impl State {
    fn sum(&self, now: Instant) -> u64 {
        let booked = self.booked.filter(|(_, day_ends)| now < *day_ends);
        let booked = booked.map_or(0, |(sum, _)| sum);
        booked
            .saturating_add(self.unbooked)
            .saturating_add(self.running(now))
    }

    /// Milliseconds that the calls took since they were last counted.
    fn running(&self, now: Instant) -> u64 {
        let Some(since) = self.since else { return 0 };
        let each = now.saturating_duration_since(since).as_millis();
        let all = each.saturating_mul(u128::from(self.calls));
        u64::try_from(all).unwrap_or(u64::MAX)
    }

    fn settle(&mut self, now: Instant) {
        self.unbooked = self.unbooked.saturating_add(self.running(now));
        self.since = (self.calls > 0).then_some(now);
    }
}

impl DailyBudget {
    /// A purse with so many US dollars a day.
    pub(crate) fn of_money(most_usd: f64) -> Self {
        Self::new(Spent::MicroUsd, micro(most_usd))
    }

    /// A purse with so many minutes a day.
    pub(crate) fn of_time(most_minutes: u32) -> Self {
        Self::new(Spent::CallMs, u64::from(most_minutes) * MINUTE_MS)
    }

    fn new(what: Spent, most: u64) -> Self {
        Self {
            what,
            most,
            state: Mutex::default(),
            news: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer has cost so many US dollars.
    pub fn spend(&self, dollars: f64) {
        let mut state = self.state();
        state.unbooked = state.unbooked.saturating_add(micro(dollars));
        self.news.notify_one();
    }

    /// A call begins, and takes time until [`call_ended`](Self::call_ended).
    pub(crate) fn call_began(&self, now: Instant) {
        let mut state = self.state();
        state.settle(now);
        state.calls += 1;
        state.since = Some(now);
    }

    /// One of the calls is over.
    pub(crate) fn call_ended(&self, now: Instant) {
        let mut state = self.state();
        state.settle(now);
        state.calls = state.calls.saturating_sub(1);
        state.since = (state.calls > 0).then_some(now);
        self.news.notify_one();
    }

    /// What is not in the store yet.
    fn unbooked(&self, now: Instant) -> u64 {
        let mut state = self.state();
        state.settle(now);
        state.unbooked
    }

    const fn reason(&self) -> &'static str {
        match self.what {
            Spent::MicroUsd => AdmissionBlock::Budget.label(),
            Spent::CallMs => AdmissionBlock::Minutes.label(),
        }
    }

    /// Whether the day has had as much as it may.
    #[must_use]
    pub fn is_empty(&self, now: Instant) -> bool {
        self.state().sum(now) >= self.most
    }

    /// So much of what was spent is in the store now, where the day's sum is this.
    fn booked(&self, written: u64, sum: u64, day_ends: Instant, now: Instant) {
        let mut state = self.state();
        state.unbooked = state.unbooked.saturating_sub(written);
        state.booked = Some((sum, day_ends));
        let is_empty = state.sum(now) >= self.most;
        if is_empty && !state.told {
            let reason = self.reason();
            match self.what {
                Spent::MicroUsd => {
                    log::error!(target: "switchboard::admission", reason; "the day has cost as much as it may, new calls are turned away until midnight (UTC)");
                }
                Spent::CallMs => {
                    log::error!(target: "switchboard::admission", reason; "the day has had as many minutes as it may, new calls are turned away until midnight (UTC)");
                }
            }
        }
        if !is_empty && state.told {
            log::info!(target: "switchboard::admission", reason = self.reason(); "a new day, calls are taken again");
        }
        state.told = is_empty;
    }
}

/// Dollars are never negative, and far fewer than there is room for.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn micro(dollars: f64) -> u64 {
    (dollars * MICRO).round() as u64
}

/// Brings what is spent to the store, and the day's sums back, as long as the process lives. A store that fails is tried
/// again: what is not in it counts as well. Without a limit of the day there is nothing to do.
pub async fn sync_budget(
    admission: Arc<AdmissionControl>,
    store: Arc<dyn CallStore>,
    clock: impl Fn() -> UnixSeconds,
) {
    let books = admission
        .purses()
        .map(|budget| keep_book(budget, &store, &clock));
    futures_util::future::join_all(books).await;
}

async fn keep_book(
    budget: &DailyBudget,
    store: &Arc<dyn CallStore>,
    clock: &impl Fn() -> UnixSeconds,
) {
    loop {
        let unbooked = budget.unbooked(Instant::now());
        let wall = clock();
        // What fails, the store complains of itself.
        match store
            .spend(budget.what, wall.div_euclid(DAY), unbooked)
            .await
        {
            Ok(sum) => {
                let now = Instant::now();
                let left = u64::try_from(DAY - wall.rem_euclid(DAY)).unwrap_or_default();
                budget.booked(unbooked, sum, now + Duration::from_secs(left), now);
                // Calls of this process tell what they spend; other processes' spending is found by looking.
                let _ = actix::clock::timeout(LOOK_EVERY, budget.news.notified()).await;
            }
            Err(_) => actix::clock::sleep(RETRY_EVERY).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_day_that_has_cost_enough_shuts_the_door_until_the_next_one_begins() {
        let (admission, now) = (
            AdmissionControl::with_limits_of_the_day(Some(0.05), None),
            Instant::now(),
        );
        let budget = admission.budget().unwrap();
        assert_eq!(admission.admit(now, false), Ok(()));
        // What other processes spent, or this one before it was started again.
        budget.booked(0, 30_000, now + 100 * SECOND, now);
        assert_eq!(admission.admit(now, false), Ok(()));
        budget.spend(0.0199);
        assert_eq!(
            admission.admit(now, false),
            Ok(()),
            "a hundredth of a cent is left"
        );
        budget.spend(0.0002);
        assert_eq!(
            admission.admit(now, false),
            Err(AdmissionBlock::Budget),
            "also while nothing is written"
        );
        assert_eq!(admission.shut(now), Some(AdmissionBlock::Budget));
        budget.booked(20_100, 50_100, now + 100 * SECOND, now);
        assert_eq!(
            admission.admit(now + 99 * SECOND, false),
            Err(AdmissionBlock::Budget)
        );
        assert_eq!(
            admission.admit(now + 100 * SECOND, false),
            Ok(()),
            "a new day"
        );
        assert_eq!(admission.shut(now + 100 * SECOND), None);
    }

    #[test]
    fn what_is_spent_while_the_store_is_written_is_not_lost() {
        let (budget, now) = (DailyBudget::of_money(1.0), Instant::now());
        budget.spend(0.25);
        let written = budget.unbooked(now);
        budget.spend(0.5);
        budget.booked(written, 250_000, now + SECOND, now);
        assert_eq!(budget.state().sum(now), 750_000);
    }

    #[test]
    fn calls_take_time_while_they_are_there_and_an_exempt_number_is_let_in_all_the_same() {
        let (admission, now) = (
            AdmissionControl::with_limits_of_the_day(None, Some(2)),
            Instant::now(),
        );
        let admission = Arc::new(admission);
        assert!(admission.budget().is_none(), "money is another matter");
        let first = admission.call_began(now);
        let second = admission.call_began(now + 30 * SECOND);
        assert_eq!(admission.admit(now + 74 * SECOND, false), Ok(()));
        // 75 seconds of the one and 45 of the other, and neither is over.
        let full = now + 75 * SECOND;
        assert_eq!(admission.admit(full, false), Err(AdmissionBlock::Minutes));
        assert_eq!(admission.admit(full, true), Ok(()));
        assert_eq!(admission.shut(full), Some(AdmissionBlock::Minutes));
        let budget = admission.purses().next().unwrap();
        assert_eq!(budget.unbooked(full), 120_000);
        // What was written counts once; a new day begins with what its own minutes bring.
        budget.booked(120_000, 120_000, full + SECOND, full);
        assert_eq!(admission.shut(full), Some(AdmissionBlock::Minutes));
        assert_eq!(admission.shut(full + SECOND), None, "a new day");
        drop((first, second));
        assert_eq!(budget.state().calls, 0);
        let rest = budget.unbooked(full + SECOND);
        assert_eq!(
            budget.unbooked(full + 100 * SECOND),
            rest,
            "nobody is there"
        );
    }
}
