//! The appointment book: what the model is told, what the database refuses, what befalls its file.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

mod answers;
mod calendars;
mod file;
mod interleavings;
mod once;
mod race;
mod readme;
mod strangers;
mod support;
mod two_statements;
mod versions;
