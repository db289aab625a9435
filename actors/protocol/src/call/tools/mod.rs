//! Tools: what the model asks to be done, what is run for it, what its server runs itself, and the way of each outcome to
//! the model and to the caller.

pub(super) mod calls;
mod filler;
mod outcomes;
pub(super) mod runs;
pub(super) mod server;

pub use calls::{END_CALL, TRANSFER_CALL};

/// The tools of a call.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// The calls of the session in use.
    pub(super) calls: calls::ToolCalls,
    /// What is run for the model, and what came of it.
    pub(super) runs: runs::ToolRuns,
    /// What its server runs itself.
    pub(super) server: server::ServerTools,
}
