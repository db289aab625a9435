//! The phone leg: Twilio's media stream, and its REST API.

mod assembler;
#[cfg(feature = "echo")]
pub mod echo;
mod frames;
mod gate;
pub mod rest;
mod session;

pub(crate) use assembler::Assembler;
pub(crate) use session::TwilioSession;
pub use session::{Seat, accept, take_seat};
