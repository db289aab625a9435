//! switchboard.
#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod phone;
pub mod settings;
pub mod telemetry;
