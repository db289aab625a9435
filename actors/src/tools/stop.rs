//! Steps of a run at which it can be made to stand still, so that its process can be killed just there.
//!
//! Only the fault hook makes one; without it a step costs nothing.

use serde::Deserialize;

/// A step of the run of a tool with effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStep {
    /// Its line in the journal is not written.
    BeforeJournal,
    /// The line is written, nobody was asked.
    AfterJournal,
    /// The tool has answered, its outcome is not written.
    BeforeOutcome,
    /// The outcome is written, its call does not know it.
    AfterOutcome,
    /// The outcome is in a checkpoint of its call.
    AfterCheckpoint,
}

/// Where a run is to stand still, if anywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stop {
    #[cfg(feature = "fault-hook")]
    pub(crate) at: Option<ToolStep>,
}

impl Stop {
    /// The run has come to this step.
    #[cfg(feature = "fault-hook")]
    pub(crate) async fn at(self, step: ToolStep) {
        if self.at == Some(step) {
            crate::fault::stand_still(step).await;
        }
    }

    /// The run has come to this step.
    #[cfg(not(feature = "fault-hook"))]
    #[allow(clippy::unused_async)] // with the fault hook it waits
    pub(crate) async fn at(self, _: ToolStep) {}
}
