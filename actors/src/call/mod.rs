//! `CallActor`: a thin shell around the [`Call`](call_protocol::call::Call) value.
//!
//! A message becomes an event, the machine is stepped, its effects are carried out. There is one real timer, for the
//! machine's next deadline.

mod actor;
mod checkpoints;
mod consult_legs;
mod effects;
mod guard;
mod last_line;
mod report;
mod shared;

pub use checkpoints::unix_now;
pub use consult_legs::ConsultLegs;
pub use shared::{Bridge, BridgeLatency, CallSeed, PendingStream, Shared, Tap, TapLine, Wire};

pub(crate) use actor::CallActor;
pub(crate) use last_line::LastLines;
pub(crate) use shared::LogContext;
