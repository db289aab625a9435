//! The phone leg below the machine: what it brings, what was played on it, and the carriers' words.
//!
//! | module | question it answers |
//! | --- | --- |
//! | [`event`] | what can come from the phone? |
//! | [`playback`] | what was sent, heard, cut: the ledger all positions come from |
//! | [`twilio`] | how does Twilio word it? |
//!
//! Calls and their streams are named as Twilio names them, the one carrier there is. This is where another's names would
//! join: everything else takes them from here.

mod direction;
pub mod event;
pub(crate) mod gaps;
pub mod playback;
pub mod twilio;

pub use direction::Direction;
pub use twilio::ids::{AccountSid, CallSid, StreamSid};
