//! The call.
pub mod event;
