//! A phone call as a value.
#![forbid(unsafe_code)]

pub mod audio;
pub mod call;
pub mod ids;
mod json;
pub mod model;
pub mod openai;
pub mod payload;
pub mod playback;
pub mod time;
pub mod twilio;
