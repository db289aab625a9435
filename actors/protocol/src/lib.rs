//! A phone call as a value.
#![forbid(unsafe_code)]

pub mod audio;
pub mod call;
pub mod codec;
pub mod conversation;
pub mod cost;
pub mod ids;
mod json;
pub mod latency;
pub mod model;
pub mod openai;
pub mod payload;
pub mod playback;
pub mod preroll;
pub mod time;
pub mod twilio;
pub mod wav;
