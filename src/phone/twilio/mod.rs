//! Twilio: its webhooks and callbacks, its signature, its TwiML.

pub(crate) mod after_dial;
pub(crate) mod after_stream;
pub(crate) mod answer;
pub(crate) mod callbacks;
pub(crate) mod caller;
pub(crate) mod consult;
pub mod form;
pub(crate) mod incoming_call;
pub(crate) mod language;
pub mod signature;
pub mod twiml;
pub(crate) mod webhook;
pub(crate) mod whisper;
