//! The actors that carry a call.
#![forbid(unsafe_code)]
