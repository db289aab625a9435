//! The appointment book as people at the desk meet it; what it is by itself is tested in its own package.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

mod desk;
mod files;
mod settings;
mod support;
