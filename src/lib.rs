//! switchboard.
#![forbid(unsafe_code)]

pub mod phone;
pub mod settings;
pub mod telemetry;
