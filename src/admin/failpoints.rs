//! What breaks something on purpose. A build without the feature knows no such paths.

use crate::routes::Served;

#[cfg(feature = "fault-hook")]
mod orders;

/// The routes of drills.
#[cfg(feature = "fault-hook")]
pub(super) const ROUTES: &[Served] = orders::ROUTES;

/// The routes of drills: none.
#[cfg(not(feature = "fault-hook"))]
pub(super) const ROUTES: &[Served] = &[];
