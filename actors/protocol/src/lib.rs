//! A phone call as a value.
#![forbid(unsafe_code)]

pub mod audio;
