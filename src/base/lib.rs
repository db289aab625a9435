//! What the service, its actors and the appointment book all stand on. Imports nothing of ours.
#![forbid(unsafe_code)]

pub mod data_file;
mod nearest;
pub mod number;

pub use nearest::nearest;
