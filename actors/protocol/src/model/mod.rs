//! The model leg of a call: what we ask of a realtime session, whose turn it is to answer, and what its errors mean.

pub mod backoff;
pub mod command;
pub mod config_part;
pub mod event;
pub mod handover;
pub mod openai;
pub mod preroll;
pub mod replay;
pub mod responses;
pub mod session;
