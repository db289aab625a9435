//! Callers who are sent to a person, and back when nobody takes them; and what an operator has a live call do.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod desk;
mod door;
mod rest;
mod sent;
#[path = "../support/mod.rs"]
mod support;
mod switching;
mod warm;
