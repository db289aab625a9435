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
//! depends on `call-protocol` only, the appointment book on `switchboard-base` only.
//!
//! | package | folder | is | knows nothing of |
//! | --- | --- | --- | --- |
//! | `call-protocol` | `actors/protocol` | the call as a value, both wire formats, the ledger | sockets, clocks, actors |
//! | `switchboard-actors` | `actors` | three actors a call, the registry, metrics | HTTP routes, settings |
//! | `switchboard` | `src` | settings, both listeners, commands | what a call does |
//! | `appointment-book` | `src/booking` | the appointment book: tools over SQLite, calendars, the desk | calls, models, the service |
//! | `switchboard-base` | `src/base` | what several of them stand on: phone numbers, the data directory's SQLite files | all of them |
//! | `switchboard-kit` | `tests/kit` | emulated Twilio, emulated Realtime server, recorded speech, load | the service |
//!
//! # This crate
//!
//! | file | question it answers |
//! | --- | --- |
//! | [`cli`], `main.rs` | which command, which exit code |
//! | [`commands`] | serve, demo, call, load, emulate-model, check, book: one file each |
//! | [`settings`] | file and environment → validated [`Settings`](settings::Settings); the [table of defaults](settings::keys); what a new setting needs |
//! | [`agents`] | which agent answers a number, under which version of the settings; an agent of the settings → what the call machine wants; its tools in one box |
//! | `calls` | the use cases, without HTTP: letting a call in, going on with one, ending one that nobody ended, the people of warm transfers, media sockets, an operator's orders, leaving. They alone ask the registry and the store |
//! | [`service`] | two listeners, one registry, one [admission control](switchboard_actors::admission), one store; what they share, in small parts; reload |
//! | [`trust`] | whom the service believes: the secrets, [tickets](trust::ticket) of media sockets, the operator's tokens |
//! | [`phone`] | what Twilio calls: webhook, media socket, after-stream, after-dial, briefing, people called ahead, callbacks, signatures, TwiML |
//! | `listener` | how long a request may take and how many may wait, on both listeners; what a page from elsewhere had a browser send |
//! | `admin` | what the operator calls, behind the token: one table of routes; live calls, orders to them, the process, a fault on demand |
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
//!    process is gone, Twilio sends `/after-stream` to another one, which takes the call over and goes on.
//! 5. The end has a name ([`EndReason`](call_protocol::call::outcome::EndReason)), which log, metrics and the admin pages
//!    share. It decides what `/after-stream` answers: hang up, transfer, speak the fallback, connect again. After a
//!    transfer `/after-dial` hangs up, or brings a caller whom nobody took back to the agent, which is told why. In a
//!    warm transfer `/briefing` tells the person who answers what the call is about, before the caller joins. Where Twilio
//!    can be asked to call that person, the caller stays with the agent until the person has taken the call.
//!
//! # Four sequences
//!
//! An arrow is a message of [`switchboard_actors::messages`], a call, or an effect of the machine. All of a call runs on one
//! worker thread.
//!
//! **20 ms of the caller's voice.** One read and one write; the payload is never decoded.
//!
//! ```text
//! Twilio ─ media ─▶ TwilioSession   checks the WebSocket frame, reads the message
//!                   ─ PhoneSaid ──▶ CallActor ─ handle(Event::Phone) ─▶ Call
//!                                   Call notes the gap to the last frame, resets its timer, keeps a copy for a session to come
//!                                   ◀─ Effect::ToModel(Append) ─ Call
//!                   OpenAiSession ◀── ToModel ─ CallActor
//! model ◀─ input_audio_buffer.append ─ OpenAiSession   encodes into a reused buffer, writes
//! ```
//!
//! **The caller interrupts.** What was heard is known from the playback ledger, not from what was sent.
//!
//! ```text
//! model ─ speech_started ─▶ OpenAiSession ─ ModelSaid ─▶ CallActor ─ handle(Event::Model) ─▶ Call
//!         Call asks the playback ledger how many milliseconds were heard, and drops what was not sent
//!         ◀─ Effect::ToModel(Cancel) ─ Call     only where the server does not cancel by itself
//!         ◀─ Effect::Clear ─ Call               Twilio throws away what it has not played
//!         ◀─ Effect::ToModel(Truncate) ─ Call   the model's memory ends with what was heard; Delete, where nothing was
//!         Call closes the agent's turn in the conversation: said, heard, cut
//! ```
//!
//! **A tool is called.** Audio and interruption go on meanwhile.
//!
//! ```text
//! model ─ response.output_item.done (function_call) ─▶ … ─▶ Call
//!         Call makes the effect's key from call, tool and arguments; a repeated call is answered from memory
//!         ◀─ Effect::RunTool ─ Call
//! CallActor starts a task: arguments against the schema ─▶ journal in the CallStore ─▶ HTTP, or the appointment book
//!         ─▶ journal again
//! the task ─ ToolOver ─▶ CallActor ─ handle(Event::Tool) ─▶ Call
//!         ◀─ Effect::ToModel(function_call_output) ─ Call   every output of the response
//!         ◀─ Effect::ToModel(response.create) ─ Call        then one answer
//!         Call forgets the key when the caller has heard the answer and spoken again
//! ```
//!
//! **The process is killed, another one goes on.**
//!
//! ```text
//! Twilio: the media socket is gone ─▶ POST /after-stream, at the proxy or the fallback URL until a process listens
//! phone   checks the signature, finds no such call in the registry, loads the checkpoint from the CallStore
//!         the checkpoint says that the call was not over ─▶ a place in the registry, a new ticket
//! Twilio ◀─ <Connect><Stream> with the ticket
//! Twilio ─ media socket ─▶ phone   redeems the ticket, takes the call over in the store under the next fencing epoch
//!         ─▶ TwilioSession, CallActor, Call::resume(checkpoint)
//! model ◀─ the conversation so far, as it was heard ─ OpenAiSession; the agent says that it is back
//! The old process, if it wakes up, has its next checkpoint refused by the epoch, and lets go of the call.
//! ```
//!
//! # Glossary
//!
//! | word | means |
//! | --- | --- |
//! | account SID, call SID, stream SID | Twilio's names (`AC…`, `CA…`, `MZ…`) for the account, for the phone call, and for one media socket of that call; a call that is resumed gets a new stream SID |
//! | agent | who answers: instructions, voice, greeting and tools of one section `[agents.NAME]` |
//! | barge-in, interruption | the caller speaks while the agent does, and the rest of the answer is thrown away |
//! | call machine | [`Call`](call_protocol::call::Call): the value that holds all rules about a call |
//! | checkpoint | what is written down of a live call, so that another process can go on with it |
//! | clear | our message to Twilio to throw away the audio that it has not played |
//! | consultation leg | the call to a person who hears what it is about before the caller joins (attended transfer) |
//! | driver | what owns the machine's sockets and clock: `CallActor`, a test, or `examples/drive.rs` of `call-protocol` |
//! | DTMF | keys that the caller presses |
//! | fallback | what Twilio says, and whom it dials, when the agent cannot go on |
//! | fencing epoch | a number that grows with each owner of a call; the store refuses writes of an older one |
//! | filler | what the caller hears while they wait in silence |
//! | floor | whose turn it is to speak |
//! | leg | one side of a call: the phone leg is Twilio's, the model leg the model server's |
//! | mark | a named point in the audio we send; Twilio returns it when it has played that far |
//! | µ-law (G.711) | the telephone's audio: 8,000 samples a second, one byte each; 20 ms are 160 bytes |
//! | playback ledger | the record of what was sent, heard and cut, in milliseconds |
//! | preroll | the caller's audio before there is a session to send it to |
//! | rollover | the change to a new session before the old one's time is up |
//! | session | one connection to the model's server with its configuration and memory; a call may use several |
//! | standby | the session that is opened beside the one in use, to take its place |
//! | ticket | the single-use secret in the path of the media socket |
//! | turn | one uninterrupted contribution of the caller or of the agent |
//! | TwiML | the XML that tells Twilio what to do with a call next |
//! | VAD | voice activity detection: how the model's server decides that the caller speaks, or has finished |
//! | whisper, briefing | what the person who takes a transfer hears before the caller joins |
//!
//! # Architecture invariants
//!
//! * Only `actors/src/twilio/session.rs` imports `actix_web_actors`.
//! * Only `actors/src/openai/`, `actors/src/tools/http.rs` and `actors/src/twilio/rest.rs` import `awc`; so do
//!   [`commands::check`] and the operator of `demo --faults`, which have no call.
//! * `call-protocol` imports neither, and asks nobody for the time.
//! * Handlers here contain no rule about a call, and a function of theirs has at most twenty lines.
//! * An area imports those below it: `commands` → `service` → `phone`, `admin` → `calls` → `agents`, `trust` → `settings`. The
//!   arrows of all packages, and what never happens, stand in `tests/process/packaging/arrows/rules.rs`; a test reads the imports.
//! * After start no file is read or written here but by commands, by a reload, and by the appointment book, which is off
//!   the threads that carry audio.
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
pub mod agents;
mod calls;
pub mod cli;
pub mod commands;
#[cfg(test)]
mod every_key;
mod listener;
pub mod phone;
mod routes;
pub mod service;
pub mod settings;
pub mod telemetry;
pub mod trust;

pub use admin::admin_routes;
pub use phone::public_routes;
pub use service::Service;
