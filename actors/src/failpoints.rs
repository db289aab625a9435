//! Places in the code at which a live process can be made to fail, for drills and for tests. A build without the feature
//! `fault-hook`, as the image is, has none of them: each call in here is an empty one there.
//!
//! Production code names a point and whose it is. Whether anything happens there, and what, is a value that the operator
//! of a drill sets with `arm`. A **panic** is a mistake in the code that runs. A **stall** is code that takes long; what it
//! holds up depends on the kind of code:
//!
//! | point | key | reached | a stall holds up |
//! | --- | --- | --- | --- |
//! | `call.unguarded` | call | before a message of a call, where nothing catches a panic | the worker thread |
//! | `call.handle` | call | in a handler of the call's actor | that call |
//! | `call.step` | call | before a step of the machine | the worker thread, with all its calls and requests |
//! | `call.effect` | call | before an effect is carried out | the worker thread |
//! | `call.start` | call | before the machine is built anew | the worker thread |
//! | `call.outcome_kept` | call | a checkpoint with the outcome of an effect is kept | the worker thread |
//! | `phone.frame` | call | before a frame from Twilio | that socket, neither read nor written |
//! | `model.message` | call | before a message for the model | that socket, neither read nor written |
//! | `tool.begin` | call | the task of a tool has done nothing yet | that run |
//! | `tool.before_journal` | call | an effect is not in the journal | that run |
//! | `tool.after_journal` | call | it is in the journal, and nobody was asked | that run |
//! | `tool.before_outcome` | call | the tool has answered, and its outcome is not written | that run |
//! | `tool.after_outcome` | call | the outcome is written, and the call does not know it | that run |
//! | `registry.list` | – | the registry is asked for the live calls | new calls, the operator's pages |
//! | `store.write` | its file | in a transaction of the store | checkpoints and journal of all processes on the file |
//! | `metrics.render` | – | metrics are scraped | – |
//! | `phone.webhook` | – | a call is about to be answered | the worker thread |
//!
//! The key of a call is its SID. A point that stalls says so in the log: whoever kills the process there waits for that.

use std::thread;
use std::time::Duration;

use actix::{Actor, AsyncContext, WrapFuture as _};

#[cfg(feature = "fault-hook")]
pub use armed::{arm, arm_always};
pub use armed::{clear, is_armed};

/// Whether this build has fail points.
pub const COMPILED: bool = cfg!(feature = "fault-hook");

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Panic,
    /// Nothing, for so long.
    Stall(Duration),
}

/// A point of code that cannot wait: a stall holds its thread.
pub fn hit(point: &'static str, key: &str) {
    if let Some(time) = strike(point, key) {
        thread::sleep(time);
    }
}

/// A point of a future: a stall holds what awaits it.
pub async fn pass(point: &'static str, key: &str) {
    if let Some(time) = strike(point, key) {
        actix_rt::time::sleep(time).await;
    }
}

/// A point of an actor: a stall holds its mailbox, timers and streams, and not its thread.
pub fn in_actor<A>(point: &'static str, key: &str, actor: &A, ctx: &mut A::Context)
where
    A: Actor,
    A::Context: AsyncContext<A>,
{
    if let Some(time) = strike(point, key) {
        ctx.wait(actix_rt::time::sleep(time).into_actor(actor));
    }
}

/// Panics here, or says how long to stand still.
#[inline]
fn strike(point: &'static str, key: &str) -> Option<Duration> {
    match armed::take(point, key)? {
        Action::Panic => panic!("fault hook: {point}"),
        Action::Stall(time) => {
            log::warn!(target: "switchboard::failpoints", point; "stands still");
            Some(time)
        }
    }
}

/// Nothing is armed, and cannot be.
#[cfg(not(feature = "fault-hook"))]
mod armed {
    use super::Action;

    /// Whether something will happen at the point.
    #[must_use]
    #[inline]
    pub const fn is_armed(_: &'static str, _: &str) -> bool {
        false
    }

    /// Nothing happens at the point any more.
    #[inline]
    pub const fn clear(_: &'static str, _: &str) {}

    #[inline]
    pub(super) const fn take(_: &'static str, _: &str) -> Option<Action> {
        None
    }
}

/// What is armed in this process.
#[cfg(feature = "fault-hook")]
mod armed {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::Action;

    struct Armed {
        point: &'static str,
        key: String,
        action: Action,
        always: bool,
    }

    static POINTS: Mutex<Vec<Armed>> = Mutex::new(Vec::new());

    /// How many there are: a point where nothing is armed takes no lock.
    static COUNT: AtomicUsize = AtomicUsize::new(0);

    impl Armed {
        fn is_at(&self, point: &str, key: &str) -> bool {
            self.point == point && self.key == key
        }
    }

    fn points() -> MutexGuard<'static, Vec<Armed>> {
        POINTS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(change: impl FnOnce(&mut Vec<Armed>) -> T) -> T {
        let mut points = points();
        let changed = change(&mut points);
        COUNT.store(points.len(), Ordering::Relaxed);
        changed
    }

    fn add(point: &'static str, key: &str, action: Action, always: bool) {
        let key = key.to_owned();
        change(|points| {
            points.push(Armed {
                point,
                key,
                action,
                always,
            });
        });
    }

    /// The next time the point is reached with that key, this happens.
    pub fn arm(point: &'static str, key: &str, action: Action) {
        add(point, key, action, false);
    }

    /// Whenever the point is reached with that key, this happens, until it is cleared.
    pub fn arm_always(point: &'static str, key: &str, action: Action) {
        add(point, key, action, true);
    }

    /// Whether something will happen at the point.
    #[must_use]
    pub fn is_armed(point: &'static str, key: &str) -> bool {
        COUNT.load(Ordering::Relaxed) > 0 && points().iter().any(|armed| armed.is_at(point, key))
    }

    /// Nothing happens at the point any more.
    pub fn clear(point: &'static str, key: &str) {
        if COUNT.load(Ordering::Relaxed) > 0 {
            change(|points| points.retain(|armed| !armed.is_at(point, key)));
        }
    }

    /// What happens at the point now.
    pub(super) fn take(point: &'static str, key: &str) -> Option<Action> {
        if COUNT.load(Ordering::Relaxed) == 0 {
            return None;
        }
        change(|points| {
            let index = points.iter().position(|armed| armed.is_at(point, key))?;
            let action = points[index].action;
            if !points[index].always {
                points.remove(index);
            }
            Some(action)
        })
    }
}

#[cfg(all(test, feature = "fault-hook"))]
mod tests {
    use std::panic::catch_unwind;
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_armed_happens_once_at_its_point_with_its_key() {
        let panics = || catch_unwind(|| hit("test.once", "CA1")).is_err();
        assert!(!panics(), "nothing is armed");
        arm("test.once", "CA1", Action::Panic);
        hit("test.once", "CA2");
        hit("test.other", "CA1");
        assert!(is_armed("test.once", "CA1") && panics());
        assert!(!is_armed("test.once", "CA1") && !panics(), "it was once");
    }

    #[test]
    fn what_is_armed_for_good_happens_until_it_is_cleared() {
        let panics = || catch_unwind(|| hit("test.always", "")).is_err();
        arm_always("test.always", "", Action::Panic);
        assert!(panics() && panics());
        clear("test.always", "");
        assert!(!panics());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_lasts_as_long_as_was_said() {
        let time = Duration::from_millis(20);
        arm("test.stall", "", Action::Stall(time));
        let began = Instant::now();
        hit("test.stall", "");
        assert!(began.elapsed() >= time);
        arm("test.stall", "", Action::Stall(time));
        let began = tokio::time::Instant::now();
        pass("test.stall", "").await;
        assert_eq!(began.elapsed().as_millis(), 20);
    }
}
