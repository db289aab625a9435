//! The phone leg: Twilio's media stream, and its REST API.

#[cfg(feature = "echo")]
pub mod echo;
pub mod rest;
mod session;

pub(crate) use session::TwilioSession;
pub use session::{MediaSlot, accept, reattach};
