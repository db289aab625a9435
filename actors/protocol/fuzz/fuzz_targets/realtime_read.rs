//! See `bodies/realtime_read.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/realtime_read.rs"]
mod body;

fuzz_target!(|input: &[u8]| body::run(input));
