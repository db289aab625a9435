//! The fault hook, and what each of its faults costs: the caller it strikes, and everybody else.
//!
//! Each test prints its figures: `cargo test --test fault_hook -- --nocapture`.
#![forbid(unsafe_code)]
#![cfg(feature = "fault-hook")]
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod ends;
mod panics;
mod stalls;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code)] // a part of it
#[path = "../resume/town.rs"]
mod town;
mod victim;
#[allow(dead_code)] // a part of it
#[path = "../faults/weather.rs"]
mod weather;
mod wishes;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    support::times::of_this_program().await;
}
