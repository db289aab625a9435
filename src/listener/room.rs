//! How many files this process may have open, and who may have them.
//!
//! A flood of connections must not take the last descriptor: without one neither listener accepts, no model is dialled,
//! and no log or book is opened. So the public listener stops short of the limit, first by itself and then by force.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};

/// What is left when the limit is not known; a usual one.
const USUAL_LIMIT: usize = 1_024;

/// Connections that wait for a request, at most, however many files there may be.
const MOST_WAITING: usize = 1_024;

/// Connections of the admin listener at most.
const MOST_OPERATORS: usize = 256;

/// The descriptors of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    limit: usize,
    /// Kept for the admin listener, for health checks, and for files.
    reserve: usize,
    /// Open before the first connection.
    open: usize,
}

impl Room {
    /// This process's.
    pub(crate) fn of_process(listener: &TcpListener) -> Self {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        // The lowest free number is given: what was opened last says how many there are.
        let open = usize::try_from(listener.as_raw_fd()).unwrap_or_default() + 1;
        Self::new(soft_limit(&limits).unwrap_or(USUAL_LIMIT), open)
    }

    fn new(limit: usize, open: usize) -> Self {
        Self {
            limit,
            reserve: (limit / 8).clamp(8, 256),
            open,
        }
    }

    /// Whether a connection with this descriptor leaves the reserve alone: the lowest free number is given, so all below
    /// are in use.
    pub(crate) fn has(&self, descriptor: RawFd) -> bool {
        usize::try_from(descriptor).is_ok_and(|number| number < self.limit - self.reserve)
    }

    /// Connections of the public listener; no more are accepted. It has some of the reserve, for whoever asks after the
    /// service's health.
    pub(crate) fn public(&self) -> usize {
        let taken = self.open + self.reserve / 2;
        self.limit.saturating_sub(taken).max(4)
    }

    /// Connections of the public listener that wait for a request.
    pub(crate) fn public_waiting(&self) -> usize {
        (self.public() / 2).clamp(2, MOST_WAITING)
    }

    /// Connections of the admin listener.
    pub(crate) fn admin(&self) -> usize {
        self.reserve.max(self.limit / 8).min(MOST_OPERATORS)
    }

    /// Connections of the admin listener that wait for a request.
    pub(crate) fn admin_waiting(&self) -> usize {
        (self.reserve / 2).max(2)
    }
}

/// The soft limit of open files, out of `/proc/self/limits`.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(1 << 20),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_processs_own() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             63432                63432                processes \n\
                      Max open files            256                  524288               files     \n";
        assert_eq!(soft_limit(limits), Some(256));
        assert_eq!(
            soft_limit("Max open files   unlimited  unlimited  files"),
            Some(1 << 20)
        );
        assert_eq!(soft_limit(""), None);
        let own = std::fs::read_to_string("/proc/self/limits").unwrap();
        assert!(soft_limit(&own).is_some(), "{own}");
    }

    #[test]
    fn a_flood_leaves_room_for_everybody_else() {
        for limit in [64, 128, 256, 1_024, 8_192, 1 << 20] {
            let room = Room::new(limit, 24);
            let listeners = room.open + room.public() + room.admin_waiting();
            assert!(listeners <= limit, "{limit}: {room:?}");
            assert!(room.public_waiting() < room.public(), "{limit}: {room:?}");
            assert!(room.has(24) && !room.has(i32::try_from(limit).unwrap() - 8));
        }
        // Calls at once, each with a webhook before and a socket after.
        assert_eq!(Room::new(8_192, 24).public_waiting(), 1_024);
        assert!(Room::new(256, 24).public_waiting() >= 100);
    }
}
