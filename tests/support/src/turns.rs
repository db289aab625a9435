//! Turns: tests that load the machine wait for each other; those that only wait for a call run beside them.
//!
//! What a test counts of its process, such as memory or files, it counts in a process of its own
//! ([`crate::times::is_own_process`]).

use tokio::sync::{Semaphore, SemaphorePermit};

/// Calls that the machine carries at once beside their emulators.
const CARRIED: u32 = 200;

/// Served in the order of asking, so that nobody who wants all of it waits for ever.
static TURNS: Semaphore = Semaphore::const_new(CARRIED as usize);

/// A turn beside others, for a test with about so many calls at once.
pub async fn of(calls: u32) -> SemaphorePermit<'static> {
    let share = calls.clamp(1, CARRIED);
    TURNS.acquire_many(share).await.expect("nobody closes it")
}

/// The whole machine for one test.
pub async fn alone() -> SemaphorePermit<'static> {
    of(CARRIED).await
}
