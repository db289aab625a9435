//! The actors that carry a call.
#![forbid(unsafe_code)]

pub mod metrics;
