//! Media sockets on which `start` has not come yet: few at any moment, unless somebody means harm.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::listener::address::is_public;

/// Sockets without a `start` at once: Twilio sends it within a tenth of a second, and five seconds are allowed.
const ALL: usize = 500;

/// The same from one address of the public internet.
const FROM_ONE: usize = 50;

/// Counts the sockets of this process on which `start` has not come.
#[derive(Clone, Default)]
pub(crate) struct PendingStreams(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A socket that is counted until this is dropped.
pub(crate) struct PendingStream {
    pending_streams: PendingStreams,
    address: Option<IpAddr>,
}

impl PendingStreams {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more socket from this peer; `None` if there are too many.
    ///
    /// The peer's own address counts, and no header: anybody writes headers. A proxy beside the service has a private
    /// or loopback address, and behind it all callers share one; so only the whole is limited for those.
    pub(crate) fn open(&self, peer: Option<IpAddr>) -> Option<PendingStream> {
        let address = peer
            .map(|address| address.to_canonical())
            .filter(|address| is_public(*address));
        let mut counts = self.counts();
        if counts.all >= ALL {
            return None;
        }
        if let Some(address) = address {
            let from_it = counts.by_address.entry(address).or_default();
            if *from_it >= FROM_ONE {
                return None;
            }
            *from_it += 1;
        }
        counts.all += 1;
        Some(PendingStream {
            pending_streams: self.clone(),
            address,
        })
    }
}

impl Drop for PendingStream {
    fn drop(&mut self) {
        let mut counts = self.pending_streams.counts();
        counts.all = counts.all.saturating_sub(1);
        let Some(address) = self.address else { return };
        if let Some(from_it) = counts.by_address.get_mut(&address) {
            *from_it = from_it.saturating_sub(1);
            if *from_it == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn fifty_from_one_address_and_five_hundred_in_all() {
        let pending_streams = PendingStreams::default();
        let mut open = Vec::new();
        for _ in 0..FROM_ONE {
            open.extend(pending_streams.open(address("203.0.113.7")));
        }
        assert_eq!(open.len(), FROM_ONE);
        assert!(pending_streams.open(address("203.0.113.7")).is_none());
        assert!(
            pending_streams
                .open(address("::ffff:203.0.113.7"))
                .is_none(),
            "the same one"
        );
        let mut others = 0;
        for host in 0..250u8 {
            for _ in 0..2 {
                let pending_stream = pending_streams.open(address(&format!("198.51.100.{host}")));
                others += usize::from(pending_stream.is_some());
                open.extend(pending_stream);
            }
        }
        assert_eq!(others, ALL - FROM_ONE);
        open.pop();
        assert!(
            pending_streams.open(address("192.0.2.1")).is_some(),
            "a place is free again"
        );
        open.clear();
        assert!(pending_streams.counts().by_address.is_empty());
        assert_eq!(pending_streams.counts().all, 0);
    }

    #[test]
    fn all_callers_behind_a_proxy_beside_the_service_share_its_address() {
        for proxy in [
            "127.0.0.1",
            "10.1.2.3",
            "172.18.0.2",
            "192.168.1.9",
            "100.64.3.3",
            "::1",
            "fd00::7",
        ] {
            let pending_streams = PendingStreams::default();
            let open: Vec<_> = (0..600)
                .filter_map(|_| pending_streams.open(address(proxy)))
                .collect();
            assert_eq!(open.len(), ALL, "{proxy}");
        }
    }
}
