//! Tokens that somebody tried and that were wrong: counted by address, and answered later and later.
//!
//! The right token never waits: an operator may share an address with an attacker. The length of the tokens is what defends
//! them; the waits slow guessing down further, and the counts leave a trace.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Mistakes an operator may make before waiting.
const FREE: u32 = 5;

/// What the first one after these waits; each further one twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);

const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// After so long without an attempt an address begins anew.
const FORGIVEN: Duration = Duration::from_secs(15 * 60);

/// Addresses that are remembered; then the one that was quiet for longest is forgotten.
const ADDRESSES: usize = 1_024;

/// Answers that wait at once. More are given at once: those who wait hold a socket each.
const WAITING: usize = 64;

/// Wrong tokens by address.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    by_address: Mutex<HashMap<Option<IpAddr>, Tried>>,
    waiting: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Tried {
    wrong: u32,
    last: Instant,
}

/// An answer that waits; dropped when it is given, or nobody waits for it any more.
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Attempts {
    fn tried(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, Tried>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A wrong token came from this address; gives how long its answer is to wait.
    pub(crate) fn wrong(&self, from: Option<IpAddr>, now: Instant) -> Duration {
        let mut tried = self.tried();
        let from = from.map(network);
        if !tried.contains_key(&from) && tried.len() >= ADDRESSES {
            forget_quietest(&mut tried);
        }
        let first = Tried {
            wrong: 0,
            last: now,
        };
        let of_address = tried.entry(from).or_insert(first);
        if now.saturating_duration_since(of_address.last) >= FORGIVEN {
            of_address.wrong = 0;
        }
        of_address.wrong = of_address.wrong.saturating_add(1);
        of_address.last = now;
        of_address.wait()
    }

    /// A place among the answers that wait, if there is one.
    pub(crate) fn wait(&self) -> Option<Waiting<'_>> {
        // A place too many is given back by its drop.
        let place = Waiting(&self.waiting);
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        (before < WAITING).then_some(place)
    }
}

impl Tried {
    /// How long the answer to the last one waits.
    fn wait(self) -> Duration {
        match self.wrong.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(more) => FIRST_WAIT
                .saturating_mul(1 << more.min(16))
                .min(LONGEST_WAIT),
        }
    }
}

fn forget_quietest(tried: &mut HashMap<Option<IpAddr>, Tried>) {
    let quietest = tried.iter().min_by_key(|(_, tried)| tried.last);
    if let Some(quietest) = quietest.map(|(from, _)| *from) {
        tried.remove(&quietest);
    }
}

/// The owner of one IPv6 address has the 64 bits behind it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let first = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(first).into()
        }
        IpAddr::V4(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn wrong_tokens_of_one_address_are_answered_later_and_later() {
        let attempts = Attempts::default();
        let now = Instant::now();
        let waits: Vec<u128> = (0..14)
            .map(|_| attempts.wrong(address("203.0.113.7"), now).as_millis())
            .collect();
        assert_eq!(
            waits,
            [
                0, 0, 0, 0, 0, 50, 100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000
            ]
        );
        assert_eq!(attempts.wrong(address("203.0.113.8"), now), Duration::ZERO);
        assert_eq!(
            attempts.wrong(address("::ffff:203.0.113.7"), now),
            LONGEST_WAIT,
            "the same one"
        );
        let later = now + FORGIVEN;
        let first = attempts.wrong(address("203.0.113.7"), later);
        assert_eq!(first, Duration::ZERO, "forgiven");
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for host in 1..=FREE {
            attempts.wrong(address(&format!("2001:db8:1:2::{host}")), now);
        }
        assert_eq!(
            attempts.wrong(address("2001:db8:1:2:3::9"), now),
            FIRST_WAIT
        );
        assert_eq!(
            attempts.wrong(address("2001:db8:1:3::9"), now),
            Duration::ZERO
        );
    }

    #[test]
    fn so_many_addresses_are_remembered_and_so_many_answers_wait() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for host in 0..2 * ADDRESSES as u32 {
            let from = IpAddr::from(std::net::Ipv4Addr::from(0xcb00_0000 + host));
            attempts.wrong(Some(from), now + Duration::from_millis(host.into()));
        }
        assert_eq!(attempts.tried().len(), ADDRESSES);
        let waiting: Vec<_> = (0..2 * WAITING).filter_map(|_| attempts.wait()).collect();
        assert_eq!(waiting.len(), WAITING);
        drop(waiting);
        assert_eq!(attempts.waiting.load(Ordering::Relaxed), 0);
    }
}
