//! What a phone line is tested with.
#![forbid(unsafe_code)]

pub mod chaos;
pub mod mcp;
pub mod probe;
pub mod realtime;
pub mod speech;
pub mod twilio;
