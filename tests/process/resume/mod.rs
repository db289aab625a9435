//! Calls that outlive their process: killed, stopped, replaced, drained; and a store that fails.
//!
//! The full counts run behind the release gate: `cargo test --test resume -- --ignored --nocapture`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod booked;
mod called;
mod door;
mod gone;
mod here;
mod killed;
mod late;
mod leaving;
mod rolling;
#[cfg(feature = "fault-hook")]
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod tickets;
mod town;
mod transferred;
mod trouble;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    support::times::of_this_program().await;
}
