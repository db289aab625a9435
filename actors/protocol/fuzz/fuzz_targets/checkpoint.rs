//! See `bodies/checkpoint.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/checkpoint.rs"]
mod body;

fuzz_target!(|input: &[u8]| body::run(input));
