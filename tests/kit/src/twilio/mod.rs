//! An emulated Twilio that phones a running service over real sockets.
//!
//! A [`Line`] knows whom to phone and how; [`Line::call`] plays one whole call with a [`Caller`] on it and returns a
//! [`CallOutcome`]. In between it does what Twilio does: requests TwiML with a signed webhook, runs it verb by verb, opens
//! the media socket of `<Connect><Stream>`, sends the caller's audio in 20 ms frames on an absolute schedule, plays what
//! comes back at 8,000 samples a second, echoes marks when their audio has been played, reports status callbacks, and
//! complains in Twilio's own error codes about everything the service does wrong.
//!
//! ```text
//! Line::call ── webhook ──▶ service        account, signature, route, http, webhook
//!     │  ◀── TwiML ──────                  twiml
//!     ├─ verbs: Say Pause Dial Redirect …  call, verbs, room
//!     └─ Connect/Stream ── wss ──▶         stream (socket, message, playback, timeline)
//!            ▲ what is said    │ what is heard
//!          caller ◀────────────┘           caller, activity
//! RestApi ◀── POST Calls.json ── service    rest; the person called: person
//! ```
//!
//! What is absent: TLS (a [`Route`] leads the public URL to a plain loopback port), the verbs that need no media stream
//! (`<Record>`, `<Start>`, `<Enqueue>` …; they are skipped with a warning), jitter and packet loss other than
//! by [`Fault`].
//!
//! It knows nothing about the service's own code; that is the point of it. Only the µ-law table is shared.

pub mod load;
pub mod playback;
pub mod signature;
pub mod twiml;
pub mod wav;

mod account;
mod activity;
mod call;
mod callbacks;
mod caller;
mod event;
mod exchange;
mod fault;
mod http;
mod line;
mod message;
mod outcome;
mod person;
mod rest;
mod room;
mod route;
mod socket;
mod stream;
mod timeline;
mod verbs;
mod webhook;

pub(crate) use http::exchange;
pub(crate) use route::Destination;

pub use account::{Account, SidMint};
pub use activity::{Activity, Edge, QUIET_ENDS_SPEECH_MS, is_loud};
pub use caller::{
    Caller, CallerAction, FromFn, Heard, Player, Progress, Scripted, Silent, Step, from_fn,
};
pub use event::{Happening, PhoneEvent};
pub use exchange::{Exchange, NotInProgress, Update};
pub use fault::{Fault, Opening};
pub use http::RequestError;
pub use line::{CallProgress, Delivery, DialAnswer, Line, Pace};
pub use outcome::{
    CallEnd, CallOutcome, CallbackRecord, DocumentFailure, DocumentRecord, PlaybackEntry,
    PlaybackStep, Span, StreamEnd, StreamOutcome, Underruns, VerbRecord, Warning,
};
pub use person::{Manners, PersonCalled, PersonDoes};
pub use rest::{RestApi, RestFault, RestRequest};
pub use room::{Meeting, Rooms};
pub use route::Route;
pub use webhook::{MAX_TWIML_BYTES, Method, Params};
