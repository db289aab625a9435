//! The fault rows of the promises, one test a row, each printing its figure: the model resets, hangs, refuses, falls
//! silent, expires; the phone leg stalls; more call than fit. The quick ones run with the other tests; the long ones
//! with `cargo test --test faults -- --ignored --nocapture`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod baseline;
mod expiry;
mod lost;
mod phone;
mod refused;
mod silent;
mod weather;
