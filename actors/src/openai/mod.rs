//! The model leg: one realtime session.

mod connect;
#[cfg(feature = "echo")]
pub mod echo;
mod pump;
mod refusal;
mod session;
mod socket_io;

pub use connect::{Dialler, Endpoint};
pub use session::ModelLine;
pub(crate) use session::Offered;
