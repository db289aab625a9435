//! switchboard.
#![forbid(unsafe_code)]
