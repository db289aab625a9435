//! An emulated Realtime server: the GA interface of the OpenAI Realtime API over WebSocket, as of November 2026.
//!
//! It checks what a client says as strictly as the real one, hears the caller with a voice activity detector on the
//! sample clock, answers with recorded speech after a script, and misbehaves on demand ([`Fault`]). What it received and
//! what it knows to be true about each item can be looked at while it runs ([`Session`]).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use switchboard_kit::realtime::{Fault, Realtime, Script, When};
//!
//! let server = Realtime::builder().script(Script::spa()).speed(5.0).start().await?;
//! assert!(server.url().starts_with("ws://127.0.0.1:"));
//! server.faults().nth(2, Fault::Reset { when: When::AfterDeltas(3) });
//! // … dial server.url(), then look:
//! assert!(server.sessions().is_empty());
//! server.stop().await;
//! # Ok(()) }
//! ```
//!
//! # Scripts
//!
//! TOML or JSON. A response takes the next of `turns`, whether it was asked for by the end of a caller's turn or, after
//! a tool output, by `response.create`.
//!
//! ```
//! use switchboard_kit::realtime::Script;
//!
//! let script: Script = r#"
//!     name = "example"
//!
//!     ## Answers a `response.create` before the caller has spoken.
//!     [greeting]
//!     says = [{ clip = "greeting" }]
//!
//!     ## One answer after the other. `hears` is the transcript of the caller's turn.
//!     [[turns]]
//!     hears = "Do you know me?"
//!     says = [{ clip = "moment" }]
//!     tools = [{ name = "crm_lookup", arguments = { phone = "+15550142" } }]
//!
//!     ## No `hears`: follows the tool's output.
//!     [[turns]]
//!     says = [{ tone_hz = 440, ms = 800, text = "Welcome back!" }, { file = "more.wav", text = "And more." }]
//!     think_ms = 900
//!
//!     ## A sentence from clips and from what a tool answered, and a tool's arguments from another's answer. What is said
//!     ## `instead` comes when the answer has no such place: an error, for one.
//!     [[turns]]
//!     says = [{ phrase = ["is_booked_for", "{crm_lookup:/day}", "at", "{crm_lookup:/time}", "."] }]
//!     tools = [{ name = "remind", arguments = { day = "{crm_lookup:/day}" } }]
//!     instead = { says = [{ clip = "sorry" }] }
//!
//!     [[turns]]
//!     hears = "And now?"
//!     says = [{ written = "Text where speech was asked for." }]
//!
//!     ## completed (default), max_output_tokens, content_filter, server_error, quota, hangs, or this:
//!     [[turns]]
//!     status = { rate_limited = "6.232s" }
//!
//!     [otherwise]     # when the turns are used up
//!     says = [{ clip = "sorry" }]
//!     [idle]          # when idle_timeout_ms has passed
//!     says = [{ clip = "still_there" }]
//!     [unprompted]    # a response.create that nothing has asked for
//!     says = [{ clip = "filler" }]
//!     [aside]         # a response.create with conversation "none"
//!     says = [{ written = "A summary." }]
//! "#
//! .parse()?;
//! assert_eq!(script.turns.len(), 5);
//! # Ok::<(), switchboard_kit::realtime::ScriptError>(())
//! ```
//!
//! # What is left out
//!
//! Approval of MCP calls (none is ever asked for), transcription and translation sessions, DTMF
//! and the `output_audio_buffer` events of SIP and WebRTC. `audio.output.speed` is accepted and changes nothing.

mod answer;
mod check;
mod config;
mod conversation;
mod echo;
mod engine;
mod fault_injector;
mod faults;
mod input;
mod inspect;
mod mcp;
mod outcome;
mod output;
mod plan;
mod prepared;
mod reference;
mod requests;
mod schema;
mod script;
mod script_cursor;
mod send_queue;
mod server;
mod session;
mod session_io;
mod sound;
mod spa;
#[cfg(test)]
mod time_tests;
mod turns;
mod upgrade;
mod utterance;
mod vad;
mod vocabulary;
mod wire;

pub use faults::{Fault, Faults, Telling, When};
pub use inspect::{Ended, Greeting, ItemTruth, Logged, Recording, ResponseTruth, Session};
pub use plan::DeltaSize;
pub use schema::Model;
pub use script::{Ending, Say, Script, ScriptError, Step, ToolCall};
pub use script_cursor::{Resume, Source};
pub use server::{Realtime, Running};
pub use sound::Format;
