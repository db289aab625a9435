//! The real binary as a process of its own, and what is shipped around it.
//!
//! The image's build has no fault hook. What is different about it is all that a test run without the hook has to show.
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

#[cfg(feature = "fault-hook")]
mod bad_input;
#[cfg(feature = "fault-hook")]
mod booking;
#[cfg(feature = "fault-hook")]
mod fault_hook;
#[cfg(feature = "fault-hook")]
mod packaging;
#[cfg(feature = "fault-hook")]
mod resume;
#[cfg(feature = "fault-hook")]
mod service;
#[cfg(feature = "fault-hook")]
mod surroundings;
#[cfg(feature = "fault-hook")]
mod telemetry;
#[cfg(not(feature = "fault-hook"))]
mod without_the_hook;
