//! A phone call as a value: between Twilio's media stream and a realtime voice model, without a clock, a socket or a
//! thread of its own.
//!
//! [`call::Call`] takes what happens and when, and gives back what is to be done. All rules about a call are in it and
//! nowhere else: whose turn it is, what the caller has heard, when an answer is asked for again, how the call ends.
//! Its driver owns the sockets and the one timer, and decides nothing.
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
//! use std::sync::Arc;
//!
//! use bytes::BytesMut;
//! use call_protocol::call::effect::Effect;
//! use call_protocol::call::event::Event;
//! use call_protocol::call::{AgentProfile, Call, CallSetup, Greeting};
//! use call_protocol::ids::Interner;
//! use call_protocol::model::command::{SessionSetup, Voice};
//! use call_protocol::model::event::ModelEvent;
//! use call_protocol::model::openai;
//! use call_protocol::phone::event::PhoneEvent;
//! use call_protocol::phone::twilio;
//! use call_protocol::time::Time;
//!
//! let agent = AgentProfile {
//!     greeting: Greeting::Model { instructions: "Greet the caller.".to_owned() },
//!     filler: Some(call_protocol::audio::tone::tone()),
//!     ..AgentProfile::new("spa", "gpt-realtime-2.1", SessionSetup {
//!         instructions: "You answer the phone of a spa.".to_owned(),
//!         voice: Voice::Named("marin".to_owned()),
//!         tools: Vec::new(),
//!         options: None,
//!     })
//! };
//! let mut call = Call::new(CallSetup::new(Arc::new(agent)));
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
//! // A call dials at once; what a session says carries its id.
//! let Some(Effect::DialModel(session)) = call.poll_effect() else { panic!("it dials") };
//! let mut from_model = |text: &str| {
//!     let event = openai::read(&text.to_owned().into(), &mut ids).unwrap_or_else(ModelEvent::Unusable);
//!     Event::Model { session, event }
//! };
//! let happens = [
//!     (10, from_twilio(connected)),
//!     (12, from_twilio(&start)),
//!     (90, Event::Model { session, event: ModelEvent::Opened }),
//!     (120, from_model(updated)),
//! ];
//!
//! // What goes to the model's socket.
//! let mut sent = Vec::new();
//! for (at, event) in happens {
//!     call.handle(event, Time::from_millis(at));
//!     while let Some(effect) = call.poll_effect() {
//!         if let Effect::ToModel(_, command) = effect {
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
//! | [`call`] | what becomes of the call: its [states](call::state), [events](call::event), [effects](call::effect), [timers](call::timers), [how it ends and where the caller goes](call::outcome), [consultation legs](call::consult), [agents chosen by the stream](call::choice), [the operator's orders](call::operator) |
//! | [`phone`] | the phone leg in words that fit any carrier: [events](phone::event), the [ledger](phone::playback) of what was sent, heard, cut; and [Twilio's](phone::twilio) words, read and written |
//! | [`model`] | the realtime session in words that fit any model: [events](model::event), [commands](model::command), [parts of a configuration](model::config_part), [one session](model::session), [how often it is tried](model::backoff), [sequencer](model::responses), [the caller's words before there is a session](model::preroll), [replay](model::replay), [handover](model::handover); and [OpenAI's](model::openai) words, [errors](model::openai::errors), [models](model::openai::models), [prices](model::openai::prices) and [tools](model::openai::tools) |
//! | [`audio`] | µ-law as numbers, as [base64](audio::payload), as a [file](audio::wav); the [guard](audio::guard) that looks whether it is any; the [tone](audio::tone) of a wait |
//! | [`conversation`] | who said what, and what of it was heard |
//! | [`checkpoint`] | the call as it is written down for its next owner |
//! | [`tool`] | tools the service runs: [keys](tool::key) of effects, and what is [remembered](tool::memory) of them |
//! | [`wire`] | why a message or a socket could not be used |
//! | [`ids`], [`time`], [`latency`] | identifiers, moments, histograms |
//!
#![doc = include_str!("call/diagram.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod audio;
pub mod call;
pub mod checkpoint;
pub mod conversation;
pub mod ids;
pub mod latency;
pub mod model;
pub mod phone;
pub mod time;
pub mod tool;
pub mod wire;
