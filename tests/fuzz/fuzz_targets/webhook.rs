//! See `bodies/webhook.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/webhook.rs"]
mod body;

fuzz_target!(|input: &[u8]| body::run(input));
