//! Who called whom.

use serde::{Deserialize, Serialize};

/// Whether somebody called us or we called somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Somebody called.
    #[default]
    Inbound,
    /// Somebody was called.
    Outbound,
}

impl Direction {
    /// Its name on admin pages and in checkpoints.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }

    // Taken by reference, as serde wants it.
    pub(crate) fn is_inbound(&self) -> bool {
        *self == Self::Inbound
    }
}
