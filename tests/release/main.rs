//! The release gates: what loads the machine, is measured by its process, takes more than a minute, or comes in two sizes.
//! The small sizes are ordinary tests; the large ones run on demand: `cargo test --test release -- --ignored --nocapture`.
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod demo;
mod hostile_frames;
mod many_bookings;
#[cfg(feature = "fault-hook")]
mod many_calls;
mod nothing_left;
mod phone_faults;
mod proxies;
#[cfg(feature = "fault-hook")]
mod random_faults;
mod resume;
