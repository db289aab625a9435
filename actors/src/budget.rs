//! What the model may cost in a day. Calls tell what their answers cost; the sum is kept in the store, where other
//! processes add to it and the next one finds it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::admission::{Gate, Shut};
use crate::store::{CallStore, DAY, UnixSeconds};

/// A dollar in the units of the store.
const MICRO: f64 = 1e6;

/// Between two looks at the sum, to which other processes add.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Between two tries to write to a store that fails.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What is left of a day's money, as far as this process knows.
#[derive(Debug)]
pub struct Purse {
    most: u64,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Spent and not in the store yet.
    unbooked: u64,
    /// The day's sum, as the store said, and when that day ends.
    booked: Option<(u64, Instant)>,
    told: bool,
}

impl State {
    fn sum(&self, now: Instant) -> u64 {
        let booked = self.booked.filter(|(_, day_ends)| now < *day_ends);
        let booked = booked.map_or(0, |(sum, _)| sum);
        booked.saturating_add(self.unbooked)
    }
}

impl Purse {
    pub(crate) fn new(most_usd: f64) -> Self {
        Self {
            most: micro(most_usd),
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

    /// Whether the day has cost as much as it may.
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
            log::error!(target: "switchboard::admission", reason = Shut::Budget.label(); "the day has cost as much as it may, new calls are turned away until midnight (UTC)");
        }
        if !is_empty && state.told {
            log::info!(target: "switchboard::admission", reason = Shut::Budget.label(); "a new day, calls are taken again");
        }
        state.told = is_empty;
    }
}

/// Dollars are never negative, and far fewer than there is room for.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn micro(dollars: f64) -> u64 {
    (dollars * MICRO).round() as u64
}

/// Brings what is spent to the store, and the day's sum back, as long as the process lives. A store that fails is tried
/// again: what is not in it counts as well. Without a budget there is nothing to do.
pub async fn keep_books(
    gate: Arc<Gate>,
    store: Arc<dyn CallStore>,
    clock: impl Fn() -> UnixSeconds,
) {
    let Some(purse) = gate.purse() else {
        return;
    };
    loop {
        let unbooked = purse.state().unbooked;
        let wall = clock();
        // What fails, the store complains of itself.
        match store.spend(wall.div_euclid(DAY), unbooked).await {
            Ok(sum) => {
                let now = Instant::now();
                let left = u64::try_from(DAY - wall.rem_euclid(DAY)).unwrap_or_default();
                purse.booked(unbooked, sum, now + Duration::from_secs(left), now);
                // Whoever spends tells so; whoever spends elsewhere is found out by looking.
                let _ = actix::clock::timeout(LOOK_EVERY, purse.news.notified()).await;
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
        let (gate, now) = (Gate::with_day_budget(0.05), Instant::now());
        let purse = gate.purse().unwrap();
        assert_eq!(gate.admit(now), Ok(()));
        // What other processes spent, or this one before it was started again.
        purse.booked(0, 30_000, now + 100 * SECOND, now);
        assert_eq!(gate.admit(now), Ok(()));
        purse.spend(0.0199);
        assert_eq!(gate.admit(now), Ok(()), "a hundredth of a cent is left");
        purse.spend(0.0002);
        assert_eq!(
            gate.admit(now),
            Err(Shut::Budget),
            "also while nothing is written"
        );
        assert_eq!(gate.shut(now), Some(Shut::Budget));
        purse.booked(20_100, 50_100, now + 100 * SECOND, now);
        assert_eq!(gate.admit(now + 99 * SECOND), Err(Shut::Budget));
        assert_eq!(gate.admit(now + 100 * SECOND), Ok(()), "a new day");
        assert_eq!(gate.shut(now + 100 * SECOND), None);
    }

    #[test]
    fn what_is_spent_while_the_store_is_written_is_not_lost() {
        let (purse, now) = (Purse::new(1.0), Instant::now());
        purse.spend(0.25);
        let written = purse.state().unbooked;
        purse.spend(0.5);
        purse.booked(written, 250_000, now + SECOND, now);
        assert_eq!(purse.state().sum(now), 750_000);
    }
}
