//! The emulators from outside: sockets and virtual time.
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod chaos;
mod realtime_client;
mod realtime_conversation;
mod realtime_door;
mod realtime_echo;
mod realtime_faults;
mod realtime_refusals;
mod realtime_shapes;
mod twilio_call;
mod twilio_load;
mod twilio_playback;
mod twilio_signature;
mod twilio_stream;
mod twilio_support;
mod twilio_twiml;
mod twilio_wav;
