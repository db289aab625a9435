//! What of a call outlives a fault, a lost process and a transfer that failed: checkpoints, calls that go on from one, and
//! machines built anew.

mod rebuild;
mod resume;

pub use rebuild::Salvage;
pub(super) use resume::GO_ON;

use super::outcome::{EndReason, Returned};

/// What a call knows of its past, and owes its future.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// What was before this media socket.
    past: Past,
    /// Something happened that a checkpoint should hold.
    unsaved: bool,
}

/// What was before this media socket.
#[derive(Debug, Default)]
struct Past {
    pub(super) resumes: u32,
    pub(super) elapsed_ms: u64,
    /// Turns the agent remembers.
    pub(super) turns: u64,
    /// A goodbye the caller may not have heard.
    pub(super) closing: Option<EndReason>,
    /// A transfer that failed and that the caller was not told of yet.
    pub(super) returned: Option<Returned>,
    /// Transfers that failed.
    pub(super) returns: u32,
}
