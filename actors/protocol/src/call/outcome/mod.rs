//! How a call ends and where the caller goes: words that the machine, its checkpoint and the edge share. A leaf: it knows
//! neither the call nor its events.

mod consult;
mod end;
mod transfer;

pub use consult::{ConsultCall, ConsultEnd, ConsultEvent, Person, Stage};
pub use end::{EndReason, NextStep};
pub use transfer::{Destination, Dialled, MOST_RETURNS, Returned, Unreached};
