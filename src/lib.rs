//! switchboard answers phone calls with a realtime voice model: Twilio Media Streams on one side, the OpenAI Realtime
//! API on the other, one supervised actor a call in between. This page is the map; the README is for those who run it.
//!
//! # The idea in five sentences
//!
//! 1. A phone call is a **value**: [`Call`](call_protocol::call::Call) takes an event and the time and gives back
//!    effects. No clock, no socket, no actor, no `async` in it; all rules about the call are there and nowhere else.
//! 2. **Actors carry it**: `CallActor` owns that value, `TwilioSession` and `OpenAiSession` own one socket each. They
//!    exchange typed messages; the stream SID is a field of a message, never a shared variable.
//! 3. **Sockets outlive faults**: a fault in a call's own code builds the call anew on the sockets it has; a lost model is
//!    dialled again and told the conversation; what cannot be mended is answered through the TwiML behind `<Connect>`.
//! 4. **Everything is bounded**: each queue has a size, a policy for "full", and a counter
//!    ([`limits`](switchboard_actors::limits)).
//! 5. **Heard is the truth**: the [playback ledger](call_protocol::phone::playback) knows what left, what was heard, what was
//!    cut; truncation, transcript and replay read it.
//!
//! # The packages
//!
//! Dependencies run one way: `switchboard` (this crate) → `switchboard-actors` → `call-protocol`; `switchboard-kit`
//! depends on `call-protocol` only.
//!
//! | package | folder | is | knows nothing of |
//! | --- | --- | --- | --- |
//! | `call-protocol` | `actors/protocol` | the call as a value, both wire formats, the ledger | sockets, clocks, actors |
//! | `switchboard-actors` | `actors` | three actors a call, the registry, metrics | HTTP routes, settings |
//! | `switchboard` | `src` | settings, both listeners, commands | what a call does |
//! | `switchboard-kit` | `tests/kit` | emulated Twilio, emulated Realtime server, recorded speech, load | the service |
//!
//! # This crate
//!
//! | file | question it answers |
//! | --- | --- |
//! | [`cli`], `main.rs` | which command, which exit code |
//! | [`commands`] | serve, demo, call, load, emulate-model, check, book: one file each |
//! | [`settings`] | file and environment → validated [`Settings`](settings::Settings); the table of defaults |
//! | [`profile`] | an agent of the settings → what the call machine wants |
//! | `answering` | who answers a number, under which reading of the settings; reload |
//! | [`booking`] | the appointment book: tools over SQLite, calendars, the desk |
//! | [`service`], `drain` | two listeners, one registry, one [gate](switchboard_actors::admission), one store; leaving |
//! | [`toolbox`] | the tools of the settings, of the book and of this process, in one box |
//! | [`phone`] | what Twilio calls: webhook, media socket, after-stream, after-dial, briefing, people called ahead, callbacks, signatures, tickets, TwiML |
//! | `listener` | how long a request may take and how many may wait, on both listeners; what a page from elsewhere had a browser send |
//! | `desk` | what the operator calls: calls, hang-up, say, instruct, transfer, drain, metrics, a fault on demand; behind the token |
//! | [`telemetry`] | log lines of one line, masked numbers, the panic hook |
//!
//! # From ringing to hang-up
//!
//! 1. Twilio posts to `/incoming-call`. The signature is checked against the configured public URL, the registry keeps a
//!    place (the limit of calls is exact, because one actor counts), and the answer names a media socket with a
//!    single-use ticket in its path.
//! 2. Twilio opens that socket. Signature and ticket are checked before the upgrade; `TwilioSession`, `CallActor` and
//!    `OpenAiSession` start on this worker thread and stay on it. The model is dialled at once.
//! 3. `connected`, `start`, media. What the model says before `start` is held; what the caller says before the model is
//!    ready is held, too. From then on a frame costs one read and one write.
//! 4. What was said, as it was heard, is [written down](call_protocol::checkpoint) at the end of every turn. When the
//!    process is gone, Twilio asks `/after-stream` of whoever answers there, who takes the call over and goes on.
//! 5. The end has a name ([`EndReason`](call_protocol::call::outcome::EndReason)), which log, metrics and the admin pages
//!    share, and which decides what `/after-stream` answers: hang up, transfer, speak the fallback, connect again. Behind
//!    a transfer `/after-dial` hangs up, or brings a caller whom nobody took back to the agent, who is told why. In a warm
//!    one `/briefing` tells whoever answers what the call is about, before the caller joins; where Twilio can be asked to
//!    call him, the caller stays with the agent until he has taken the call (`phone/person.rs`).
//!
//! *Architecture invariants.* Only `actors/src/twilio/session.rs` imports `actix_web_actors`; only `actors/src/openai/`,
//! `actors/src/tools/http.rs` and `actors/src/twilio/rest.rs` (and [`commands::check`] and the operator of
//! `demo --faults`, who have no call) import `awc`; `call-protocol` imports neither and asks nobody for the time. Handlers here contain no rule about a call. No
//! file here is read or written after start but by commands, by a reload, and by the appointment book, which is off the
//! threads that carry audio.
//!
//! # Where this differs from the first design
//!
//! * **Metrics live in `switchboard-actors`**: the actors count, and dependencies run one way.
//! * **The pacer is in the machine, not in the phone session**: what was heard can only be known where marks, clock and
//!   queue meet, and a paced queue bounds the socket's own (it cannot be bounded from outside).
//! * **Back-links**: `CallActor` keeps one strong address of its `TwilioSession` for the life of the call (a new one for
//!   each message would make the mailbox bound void). It keeps nobody alive: a WebSocket actor lives as long as its
//!   connection.
#![forbid(unsafe_code)]

mod admin;
pub mod booking;
pub mod cli;
pub mod commands;
mod drain;
#[cfg(test)]
mod every_key;
mod listener;
pub mod number;
pub mod phone;
pub mod profile;
mod routes;
mod routing;
pub mod service;
pub mod settings;
mod state;
pub mod telemetry;
pub mod toolbox;
mod trust;

pub use admin::admin_routes;
pub use phone::public_routes;
pub use service::Service;
