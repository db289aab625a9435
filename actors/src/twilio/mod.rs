//! The phone leg: Twilio's media stream.

mod assembler;
mod gate;
mod session;

pub(crate) use assembler::Assembler;
pub(crate) use session::TwilioSession;
pub use session::{Seat, accept, take_seat};
