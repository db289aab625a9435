//! The phone leg: Twilio's media stream, and its REST API.

mod assembler;
#[cfg(feature = "echo")]
pub mod echo;
mod frame_limit;
mod frames;
pub mod rest;
mod session;

pub(crate) use assembler::Assembler;
pub(crate) use session::TwilioSession;
pub use session::{MediaSlot, accept, reattach};
