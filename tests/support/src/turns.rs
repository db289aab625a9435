//! Turns: tests that load the machine wait for each other; those that only wait for a call run beside them.
//!
//! What a test counts of its process, such as memory or files, it counts in a process of its own
//! ([`crate::times::is_own_process`]).

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::times;

/// Calls that the machine carries at once, with their emulators.
const CARRIED: u32 = 250;

/// Served in the order of asking, so that nobody who wants most of it waits for ever.
static TURNS: Semaphore = Semaphore::const_new(CARRIED as usize);

/// Waits until the machine carries so many calls more. Where bars are asserted there are half as many beside them.
pub async fn of(calls: u32) -> SemaphorePermit<'static> {
    let share = if times::asserted() { calls * 2 } else { calls };
    let turn = TURNS.acquire_many(share.clamp(1, CARRIED)).await;
    turn.expect("nobody closes it")
}

/// The whole machine for one test.
pub async fn alone() -> SemaphorePermit<'static> {
    of(CARRIED).await
}
