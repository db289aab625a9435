//! The actors that carry a phone call.
#![forbid(unsafe_code)]

pub mod call;
mod down;
pub mod limits;
pub mod messages;
pub mod metrics;
pub mod openai;
pub mod registry;
pub mod twilio;
