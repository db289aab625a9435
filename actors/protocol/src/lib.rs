//! A phone call as a value: between Twilio's media stream and a realtime voice model, without a clock, a socket or a
//! thread of its own.
//!
//! [`call::Call`] takes what happens and when, and gives back what is to be done. All rules about a call are in it and
//! nowhere else: whose turn it is, what the caller has heard, when an answer is asked for again, how the call ends.
//! Whoever drives it owns the sockets and the one timer, and decides nothing.
//!
//! # The rule of use
//!
//! 1. Something happened: [`Call::handle`](call::Call::handle). A deadline came: [`Call::handle_timeout`](call::Call::handle_timeout).
//! 2. Drain [`Call::poll_effect`](call::Call::poll_effect) and carry the effects out, in order.
//! 3. Ask [`Call::poll_timeout`](call::Call::poll_timeout) when to come back, at the latest.
//!
//! Time is [`time::Time`], counted from the moment the media socket was accepted, and must not run backwards. The
//! machine never panics on what peers send: bad input is an event of its own, counted, and sometimes the end of the
//! call.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bytes::BytesMut;
//! use call_protocol::call::effect::Effect;
//! use call_protocol::call::event::{Event, ModelEvent, PhoneEvent};
//! use call_protocol::call::{AgentProfile, Call, CallSetup, Greeting};
//! use call_protocol::ids::Interner;
//! use call_protocol::model::command::{SessionSetup, Voice};
//! use call_protocol::time::Time;
//! use call_protocol::tool::ToolRules;
//! use call_protocol::{openai, twilio};
//!
//! let agent = AgentProfile {
//!     name: "spa".to_owned(),
//!     model: "gpt-realtime-2.1".to_owned(),
//!     session: SessionSetup {
//!         instructions: "You answer the phone of a spa.".to_owned(),
//!         voice: Voice::Named("marin".to_owned()),
//!         tools: Vec::new(),
//!         options: None,
//!     },
//!     greeting: Greeting::Model { instructions: "Greet the caller.".to_owned() },
//!     protected: call_protocol::call::Protected::default(),
//!     silence: None,
//!     longest_monologue: Duration::from_secs(600),
//!     answer_within: Duration::from_secs(8),
//!     filler: Some(call_protocol::filler::tone()),
//!     keys: BTreeMap::new(),
//!     mask_digits: true,
//!     transfer_targets: Vec::new(),
//!     calls_ahead: None,
//!     max_cost_usd: None,
//!     tools: ToolRules::default(),
//! };
//! let mut call = Call::new(CallSetup {
//!     agent: Arc::new(agent),
//!     call: None,
//!     account: None,
//!     choices: Arc::default(),
//!     max_length: Duration::from_secs(3_600),
//!     accepted_at: None,
//!     seed: 1,
//! });
//!
//! // What Twilio and the model say, as their sockets deliver it.
//! let (account, stream, caller) = ("AC".to_owned() + &"0".repeat(32), "MZ".to_owned() + &"1".repeat(32), "CA".to_owned() + &"2".repeat(32));
//! let start = format!(
//!     r#"{{"event":"start","sequenceNumber":"1","streamSid":"{stream}","start":{{"accountSid":"{account}","streamSid":"{stream}",
//!         "callSid":"{caller}","tracks":["inbound"],"customParameters":{{}},
//!         "mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}}}}"#
//! );
//! let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
//! let updated = r#"{"type":"session.updated","session":{"type":"realtime","audio":{
//!     "input":{"format":{"type":"audio/pcmu"}},"output":{"format":{"type":"audio/pcmu"}}}}}"#;
//!
//! let mut ids = Interner::default();
//! let from_twilio = |text: &str| Event::Phone(twilio::read(&text.to_owned().into()).unwrap_or_else(PhoneEvent::Unusable));
//! let mut from_model = |text: &str| Event::Model(openai::read(&text.to_owned().into(), &mut ids).unwrap_or_else(ModelEvent::Unusable));
//! let happens = [
//!     (10, from_twilio(connected)),
//!     (12, from_twilio(&start)),
//!     (90, Event::Model(ModelEvent::Opened)),
//!     (120, from_model(updated)),
//! ];
//!
//! // What goes to the model's socket.
//! let mut sent = Vec::new();
//! for (at, event) in happens {
//!     call.handle(event, Time::from_millis(at));
//!     while let Some(effect) = call.poll_effect() {
//!         if let Effect::ToModel(command) = effect {
//!             let mut text = BytesMut::new();
//!             openai::write(&mut text, &command);
//!             sent.push(String::from_utf8_lossy(&text).into_owned());
//!         }
//!     }
//! }
//! assert!(sent[0].contains("session.update"));
//! assert!(sent[1].contains("response.create") && sent[1].contains("Greet the caller."));
//! assert!(call.poll_timeout().is_some_and(|due| due > Time::from_millis(120)));
//! ```
//!
//! # The map
//!
//! | module | question it answers |
//! | --- | --- |
//! | [`call`] | what becomes of the call: its [states](call::state), [events](call::event), [effects](call::effect), [timers](call::timers), [ends](call::end), [transfers](call::transfer), [people called ahead](call::person), [agents chosen by the stream](call::choice), [the operator's wishes](call::operator) |
//! | [`playback`] | what was sent, heard, cut: the ledger all positions come from |
//! | [`conversation`] | who said what, and what of it was heard |
//! | [`checkpoint`] | the call as it is written down for whoever goes on with it |
//! | [`model`] | the realtime session in words that fit any: [commands](model::command), [link](model::link), [sequencer](model::responses), [errors](model::errors), [replay](model::replay), [handover](model::handover) |
//! | [`codec`] | is the model's audio what was asked for? |
//! | [`tool`] | tools the service runs: [keys](tool::key) of effects, and what is [remembered](tool::memory) of them |
//! | [`preroll`] | the caller's words before there is a session |
//! | [`filler`] | what a caller hears while he waits |
//! | [`twilio`], [`openai`] | the two wire formats, read and written |
//! | [`payload`], [`audio`], [`wav`] | audio as base64, as µ-law, as a file |
//! | [`ids`], [`time`], [`latency`], [`cost`] | identifiers, moments, histograms, dollars |
//!
#![doc = include_str!("call/diagram.md")]
#![forbid(unsafe_code)]

pub mod audio;
pub mod call;
pub mod checkpoint;
pub mod codec;
pub mod conversation;
pub mod cost;
pub mod filler;
pub mod ids;
mod json;
pub mod latency;
pub mod model;
pub mod openai;
pub mod payload;
pub mod playback;
pub mod preroll;
mod scan;
pub mod time;
pub mod tool;
pub mod twilio;
pub mod wav;
