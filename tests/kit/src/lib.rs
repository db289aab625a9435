//! What a phone line is tested with.
#![forbid(unsafe_code)]
