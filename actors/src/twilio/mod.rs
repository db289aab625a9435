//! The phone leg: Twilio's media stream, and its REST API.

mod assembler;
mod gate;
pub mod rest;
mod session;

pub(crate) use assembler::Assembler;
pub(crate) use session::TwilioSession;
pub use session::accept;
