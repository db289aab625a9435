//! See `bodies/call_events.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/call_events.rs"]
mod body;

fuzz_target!(|input: &[u8]| body::run(input));
