//! Who answers, under which settings, with which tools.

pub mod catalog;
pub(crate) mod profile;
pub(crate) mod routing;
