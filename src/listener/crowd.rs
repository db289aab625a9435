//! Limits the connections that have not sent a whole request yet, by address and in all. When there are too many, the one
//! that has waited longest is closed: an honest client has sent its request long before, so a flood only pushes itself out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use futures_util::task::AtomicWaker;

use super::address::is_public;

/// Connections without a whole request from one address of the public internet.
const FROM_ONE: usize = 50;

/// Is told why a connection was ended before it had asked anything.
pub(crate) type Ended = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Counts the connections of one listener, over all its threads.
#[derive(Clone)]
pub(crate) struct Crowd {
    most: usize,
    /// Counts what was ended before its time, by reason.
    ended: Ended,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// The one that has waited longest is the first.
    by_turn: BTreeMap<u64, Waiter>,
    by_address: HashMap<IpAddr, usize>,
}

struct Waiter {
    address: Option<IpAddr>,
    leave: Arc<Leave>,
}

/// Tells a connection, on whatever thread it lives, to make room.
#[derive(Default)]
pub(crate) struct Leave {
    told: AtomicBool,
    waker: AtomicWaker,
}

impl Leave {
    /// Whether it was told; if not, the task is woken when it is.
    pub(crate) fn is_told(&self, cx: &Context<'_>) -> bool {
        self.waker.register(cx.waker());
        self.told.load(Ordering::Acquire)
    }

    /// It has its request: what it was told before is void.
    fn forget(&self) {
        self.told.store(false, Ordering::Release);
    }

    fn tell(&self) -> Option<Waker> {
        self.told.store(true, Ordering::Release);
        self.waker.take()
    }
}

impl Waiting {
    fn take(&mut self, turn: u64) -> Option<Waiter> {
        let waiter = self.by_turn.remove(&turn)?;
        if let Some(address) = waiter.address
            && let Some(count) = self.by_address.get_mut(&address)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(waiter)
    }

    /// The one that has waited longest, of this address if one is given.
    fn oldest(&mut self, of: Option<IpAddr>) -> Option<Waiter> {
        let mut turns = self.by_turn.iter();
        let found = turns.find(|(_, waiter)| of.is_none() || waiter.address == of);
        let turn = found.map(|(turn, _)| *turn)?;
        self.take(turn)
    }
}

impl Crowd {
    /// So many may wait at once.
    pub(crate) fn new(most: usize, ended: Ended) -> Self {
        Self {
            most,
            ended,
            waiting: Arc::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is ended for this reason.
    pub(crate) fn ends(&self, reason: &'static str) {
        (self.ended)(reason);
    }

    /// A connection waits from now on; gives its turn, and whether another one had to leave for it.
    ///
    /// The peer's own address counts, and no header: anybody writes headers. Behind a proxy beside the service all callers
    /// have one address, so only the whole is limited for those.
    pub(crate) fn wait(&self, peer: Option<IpAddr>, leave: &Arc<Leave>) -> (u64, bool) {
        let address = peer
            .map(|address| address.to_canonical())
            .filter(|address| is_public(*address));
        leave.forget();
        let (turn, leaves) = {
            let mut waiting = self.waiting();
            let turn = waiting.next;
            waiting.next += 1;
            let of_address = address.map_or(0, |address| {
                let count = waiting.by_address.entry(address).or_default();
                *count += 1;
                *count
            });
            let leave = leave.clone();
            waiting.by_turn.insert(turn, Waiter { address, leave });
            let leaves = if of_address > FROM_ONE {
                waiting.oldest(address)
            } else if waiting.by_turn.len() > self.most {
                waiting.oldest(None)
            } else {
                None
            };
            (turn, leaves)
        };
        (turn, tell(leaves))
    }

    /// A connection has sent its request, or is closed.
    pub(crate) fn served(&self, turn: u64) {
        if let Some(waiter) = self.waiting().take(turn) {
            waiter.leave.forget();
        }
    }

    /// Has the one that has waited longest leave; false if none waits but the one of this turn.
    pub(crate) fn make_room(&self, but: u64) -> bool {
        let leaves = {
            let mut waiting = self.waiting();
            match waiting.by_turn.first_key_value() {
                Some((turn, _)) if *turn != but => waiting.oldest(None),
                _ => None,
            }
        };
        tell(leaves)
    }
}

/// Outside of the lock, because those who are woken ask for it.
fn tell(leaves: Option<Waiter>) -> bool {
    let Some(waiter) = leaves else { return false };
    if let Some(waker) = waiter.leave.tell() {
        waker.wake();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(most: usize) -> Crowd {
        Crowd::new(most, Arc::new(|_| {}))
    }

    fn told(leave: &Leave) -> bool {
        leave.is_told(&Context::from_waker(Waker::noop()))
    }

    fn wait(crowd: &Crowd, address: &str) -> (u64, bool, Arc<Leave>) {
        let leave = Arc::new(Leave::default());
        let (turn, another_left) = crowd.wait(address.parse().ok(), &leave);
        (turn, another_left, leave)
    }

    #[test]
    fn the_one_that_has_waited_longest_makes_room() {
        let crowd = crowd(3);
        let first: Vec<_> = (0..3).map(|_| wait(&crowd, "127.0.0.1")).collect();
        assert!(first.iter().all(|(_, another_left, _)| !another_left));
        crowd.served(first[0].0);
        let back = wait(&crowd, "127.0.0.1");
        assert!(!back.1, "there was room");
        let next = wait(&crowd, "127.0.0.1");
        assert!(next.1);
        assert!(!told(&first[0].2), "it has its request");
        assert!(told(&first[1].2), "the oldest leaves");
        assert!(!told(&first[2].2) && !told(&back.2) && !told(&next.2));
        assert_eq!(crowd.waiting().by_turn.len(), 3);
    }

    #[test]
    fn an_address_of_the_internet_pushes_out_itself_alone() {
        let crowd = crowd(1_000);
        let other = wait(&crowd, "198.51.100.1");
        let held: Vec<_> = (0..FROM_ONE).map(|_| wait(&crowd, "203.0.113.7")).collect();
        let next = wait(&crowd, "::ffff:203.0.113.7");
        assert!(next.1, "the same address");
        assert!(told(&held[0].2) && !told(&held[1].2) && !told(&other.2));
        for (turn, ..) in held.iter().chain([&other, &next]) {
            crowd.served(*turn);
        }
        assert!(crowd.waiting().by_address.is_empty());
        assert!(crowd.waiting().by_turn.is_empty());
    }

    #[test]
    fn behind_a_proxy_beside_the_service_only_the_whole_counts() {
        for proxy in ["127.0.0.1", "10.1.2.3", "fd00::7"] {
            let crowd = crowd(1_000);
            let left = (0..4 * FROM_ONE).filter(|_| wait(&crowd, proxy).1).count();
            assert_eq!(left, 0, "{proxy}");
        }
    }

    #[test]
    fn room_is_made_by_others_only() {
        let crowd = crowd(10);
        let own = wait(&crowd, "127.0.0.1");
        assert!(!crowd.make_room(own.0), "there is nobody else");
        let next = wait(&crowd, "127.0.0.1");
        assert!(crowd.make_room(next.0));
        assert!(told(&own.2) && !told(&next.2));
        // A request that comes at the last moment is served, and the connection lives on.
        let (again, _) = crowd.wait(None, &own.2);
        assert!(!told(&own.2));
        crowd.served(again);
    }
}
