//! Tools: over HTTP and in this process, in a call and by themselves, each effect once.
//!
//! Each test prints its figure last.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

mod at_once;
mod book;
mod box_of_one;
mod conversation;
mod exactly_once;
mod journal;
mod own;
mod reach;
mod replies;
mod served;
#[path = "../support/mod.rs"]
mod support;
