//! switchboard.
#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
mod desk;
mod house;
pub mod phone;
pub mod profile;
pub mod service;
pub mod settings;
pub mod telemetry;

pub use service::Service;
