//! The service in process, and what it is made of: met by emulated callers, models and strangers. Most of these tests wait
//! for calls and cost next to nothing meanwhile: in one program they wait together.
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod a_call;
mod bad_input;
#[cfg(feature = "fault-hook")]
mod fault_hook;
mod faults;
mod fuzz_corpus;
mod resume;
mod service;
mod settings;
mod signature;
