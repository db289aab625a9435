//! The OpenAI Realtime API, GA interface, both ways.
//!
//! Source: <https://platform.openai.com/docs/api-reference/realtime>. The audio and transcript deltas of the beta are
//! taken on input too, because compatible servers still send them; nothing of the beta is ever sent.
//!
//! This module is the only place that knows the names of this dialect: it turns server events into
//! [`ModelEvent`](crate::model::event::ModelEvent)s and [`ModelCommand`](crate::model::command::ModelCommand)s into
//! client events.

pub mod errors;
pub mod models;
pub mod prices;
mod read;
mod refused;
pub mod tools;
mod write;

pub use read::read;
pub use write::{write, write_append};

/// Largest message taken from a realtime server, in bytes. A session echo with long instructions and many tools, or an
/// item with its audio, goes far beyond the usual 64 KiB.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;
