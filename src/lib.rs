//! switchboard.
#![forbid(unsafe_code)]

pub mod settings;
pub mod telemetry;
