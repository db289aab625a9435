//! The appointment book: what the model is told, what the database refuses, what the desk does.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

mod answers;
mod calendars;
mod desk;
mod file;
mod interleavings;
mod once;
mod race;
mod readme;
mod strangers;
mod support;
mod two_statements;
mod versions;
