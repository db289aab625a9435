//! Bad input over real sockets, from both sides: a defined answer each, counted, no panic, and nobody else notices.
//!
//! Each test prints its figures: `cargo test --test bad_input -- --nocapture`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod audio;
mod flood;
mod memory;
mod openers;
mod parameters;
#[path = "../support/mod.rs"]
mod support;
mod torture;
#[allow(dead_code)] // a part of it
#[path = "../faults/weather.rs"]
mod weather;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    support::times::of_this_program().await;
}
