//! The real service on free ports, and the real binary, met by emulated callers, models and strangers. Most of these tests
//! wait for calls and cost next to nothing meanwhile: in one program they wait together.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod budget;
mod callers;
mod conversation;
mod demo;
mod endings;
mod methods;
mod model_faults;
mod order_and_identity;
mod reload;
mod rotation;
mod secrets;
mod slow_openers;
mod stopping;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod tickets_and_signatures;
mod tools;
#[allow(dead_code)] // a part of it
#[path = "../resume/town.rs"]
mod town;
mod transfer;

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    support::times::of_this_program().await;
}
