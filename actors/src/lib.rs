//! The actors that carry a phone call.
//!
//! # Who owns whom
//!
//! ```text
//!   worker thread (one actix arbiter; a call never leaves it)                     main thread
//!  ┌───────────────────────────────────────────────────────────────────┐
//!  │  Twilio ⇄ TwilioSession ══strong══▶ CallActor ══strong══▶ OpenAiSession ⇄ model
//!  │  (WebSocket)      ▲     ◀──weak──      │   owns Call     (WebSocket) │
//!  │                   └──── ToPhone ───────┤                             │      ┌──────────┐
//!  └────────────────────────────────────────┼─────────────────────────────┘      │ Registry │
//!                                           └──── rows, death notices ─────────▶ └──────────┘
//! ```
//!
//! * `TwilioSession` is **temporary**: when its socket is closed the call ends. It starts the call when its socket is
//!   accepted. A socket that is lost without a word leaves its [`MediaSlot`](twilio::MediaSlot) with the registry, and the call
//!   holds itself until another `TwilioSession`, perhaps of another thread, has taken it or two seconds have passed.
//! * `CallActor` is **permanent** under an `actix::Supervisor`: actix does not restart an actor after a panic, so the body
//!   of each of its handlers and timers is run in `catch_unwind` (`call/guard.rs`). A fault in a step of the machine, or
//!   in carrying out its effects, is counted and answered by a restart that builds the machine anew on the same sockets:
//!   the first time from the value that failed, with the effects that are still to be carried out; the next time in the
//!   window, or if that value cannot even be rebuilt, from the last checkpoint, with another model session. After
//!   [`limits::RESTARTS`] in [`limits::RESTART_WINDOW`] the call ends and its caller meets the fallback. An actor that is
//!   dead all the same (a panic in actix itself, or past the guard) is found out by the phone session, which closes with
//!   1011: the caller comes back to another actor, [`limits::RETURNS`] times in [`limits::RETURN_WINDOW`], and then meets
//!   the fallback, too.
//! * `OpenAiSession` is **transient**: its end is an event for the machine, which decides whether to dial again.
//!   Dropping the call's hold on it hangs up, whatever it is doing. Before a session is too old a call holds two: the one
//!   in use, and the next one, which is told the conversation and takes its place between two turns.
//! * [`AdmissionControl`](admission::AdmissionControl) is no actor: calls tell it what the model's server says of key and limits, and the
//!   registry asks it before a new call is let in.
//!   What calls cost goes through it, too, to the day's sum in the store ([`budget`]).
//! * [`Registry`](registry::Registry) is the only actor elsewhere. Rows are *pushed* to it, so a list of calls never
//!   waits for a call, and it admits calls, so their limit is exact. All of the house hangs on it: a panic in one of its
//!   handlers costs the message that met it, which has no answer, and its figures are counted anew.
//! * [`LiveCalls`](live_calls::LiveCalls) is no actor: the live calls in a map, so that whoever leaves can tell all of them while the
//!   registry answers nobody.
//! * [`EventBus`](events::EventBus) is no actor: one bounded broadcast of what happens in calls. Whoever watches is a
//!   subscriber; one that is slow loses events, a call never waits for one.
//!
//! * [`CallStore`](store::CallStore) is no actor: one thread of its own, or none. A call hands its checkpoints over and
//!   goes on; only the end of its media socket waits for the last one, for a third of a second at most. One that could not
//!   be kept is followed by another a second and a half later, whether or not anything was said meanwhile. The last line
//!   of a call waits for the store's word that the call was still its owner's, so that one end is told once, whoever
//!   else thinks that it is over.
//! * An `ActorTimer` is a task of its own that sends its actor a message: an actor's own timers would be polled
//!   with every frame.
//! * Nobody waits for a **stuck** actor: a full mailbox is three seconds of frames. The phone session leaves such a call
//!   (close code 1011, and another owner goes on with it), a call leaves such a model session and dials the next. Nobody can
//!   end the socket of a stuck phone session, or free a thread that is held: its calls are late by as much, and go on.
//! * A tool's run ([`tools`]) belongs to nobody: a task of the same thread, with a weak link to the call. It goes on when
//!   the call is built anew and when it is over, so that an effect that was begun is also written down.
//!
//! * A person who is called for a caller is nobody's actor either: `call/consult_legs.rs` asks Twilio, in a task of the same
//!   thread, and what the person does comes back as an [`Order`](messages::Order), mostly from Twilio's requests to us.
//!
//! # Who may end whom
//!
//! | who | ends | how |
//! | --- | --- | --- |
//! | the machine | both sockets | effects `ClosePhone`, `CloseModel` |
//! | Twilio | the call | `stop`, a close frame, silence, a broken rule; a lost socket after two seconds |
//! | the model | its session only | close, error, silence; the machine dials again or gives up |
//! | a full mailbox | the hold on a stuck actor | see above |
//! | another owner | the call here | the [`store`] refuses its checkpoint: [`Order`](messages::Order) with `Superseded` |
//! | the operator | a call, or all | [`messages::Order`]; to all by the [`live_calls`] |
//!
//! In a supervised actor `ctx.stop()` means "start me again". A call that is over lets go of its sockets and its timer;
//! the phone session then lets go of the call, which ends by itself.
//!
//! # Invariants
//!
//! * A handler turns a message into an event, steps the machine, carries out effects. An `if` about the protocol is in
//!   the wrong crate.
//! * Every message between actors is on one page, with what happens when it does not fit: [`messages`].
//! * One `Addr` a peer for the life of the call: a clone for each message would make the mailbox bound void.
//! * The first error of a WebSocket stream is the last: the codec repeats some for ever.
//! * One real timer a call, for the machine's next deadline. Deadlines are compared, ticks never counted.
//! * Nothing reachable from `Drop` or `stopped` can panic.
//! * The model socket's pump reads at most [`limits::MODEL_READS`] frames before the call has its turn, which is what
//!   bounds the weak link towards the call.
#![forbid(unsafe_code)]

pub mod admission;
pub mod budget;
pub mod call;
pub mod down;
mod encode_buffer;
pub mod events;
#[cfg(feature = "fault-hook")]
pub mod fault;
mod frame_headers;
pub mod limits;
pub mod live_calls;
pub mod messages;
pub mod metrics;
pub mod openai;
pub mod registry;
pub mod store;
mod timer;
pub mod tools;
pub mod twilio;
