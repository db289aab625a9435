//! `switchboard demo` and `switchboard demo --faults`, as a user runs them.

mod booking;
#[cfg(feature = "fault-hook")]
mod with_faults;
