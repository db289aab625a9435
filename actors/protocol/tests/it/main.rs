//! The call machine from outside: a simulated phone, a simulated model and virtual time, in one program.
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod answers;
mod budget;
mod checkpoint;
mod choice;
mod codec;
mod common;
mod endings;
mod fuzz_corpus;
mod gaps;
mod goodbye;
mod interruption;
mod keys;
mod model_leg;
mod opening;
mod operator;
mod pacing;
mod person;
mod properties;
mod rebuild;
mod replacement;
mod rollover;
mod server_tools;
mod silence_and_length;
mod tool_calls;
mod transcript;
mod transfer;
mod transitions;
mod waiting;
