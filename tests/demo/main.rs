//! `switchboard demo` and `switchboard demo --faults`, as a user runs them.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

#[path = "../support/mod.rs"]
mod support;

mod booking;
#[cfg(feature = "fault-hook")]
mod with_the_hook;
#[cfg(not(feature = "fault-hook"))]
mod without_the_hook;
