//! What is shipped around the binary, read as a machine reads it: image, compose file, proxy, health check, CI, guides.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

mod ci;
mod compose;
mod dockerfile;
mod guides;
mod image;
mod probe;
mod support;
