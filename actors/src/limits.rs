//! Bounds of queues and sockets, each with its reason.

use std::time::Duration;

/// Messages from the phone leg that wait for a call: three seconds of frames. More means that its actor is stuck (a
/// thread that is stuck reads no frames, either), and the caller is led away from it.
pub const CALL_MAILBOX: usize = 150;

/// Messages that wait for the phone leg. The machine has at most three seconds of audio unacknowledged, in messages of
/// 20 to 400 ms; more means Twilio does not read.
pub const PHONE_MAILBOX: usize = 256;

/// Messages that wait for the model leg: three seconds of frames. More means that its actor is stuck, for one whose
/// socket is slow goes on taking them; then the session is as good as lost.
pub const MODEL_MAILBOX: usize = 150;

/// Bytes that wait for the model's socket before caller audio is dropped: about twelve seconds. A server that reads
/// slower than that is not going to catch up.
pub const MODEL_BACKLOG: usize = 128 * 1024;

/// Bytes that wait for the model's socket before it is given up.
pub const MODEL_BACKLOG_FATAL: usize = 1024 * 1024;

/// Frames read from the model's socket before the call has its turn.
pub const MODEL_READS: usize = 16;

/// Control frames a second that a peer may send; a ping every few seconds is usual.
pub const CONTROL_FRAMES: u32 = 50;

/// Fragments of one message; neither peer fragments at all.
pub const FRAGMENTS: usize = 64;

/// Between pings to the phone leg: below every proxy's idle limit.
pub const PHONE_PING: Duration = Duration::from_secs(20);

/// Between looks at the model's socket; a ping goes out when nothing came for as long.
pub const MODEL_PING: Duration = Duration::from_secs(1);

/// A model that answers no ping for this long is gone: it is found out within four seconds, two pings unanswered. What the
/// caller says meanwhile nobody hears, and they must not wait five seconds for a sound.
pub const MODEL_SILENCE: Duration = Duration::from_secs(3);

/// So long a server has to answer the first ping after a standstill of this process: the caller may have been waiting
/// since before it.
pub const MODEL_ANSWERS: Duration = Duration::from_millis(500);

/// Faults of one call inside [`RESTART_WINDOW`] after which it is built anew; the next one ends it.
pub const RESTARTS: usize = 3;

/// Window of the restart budget.
pub const RESTART_WINDOW: Duration = Duration::from_secs(60);

/// A timer that fires this late tells that the whole process stood still, and that its calls may be another's by now.
pub const STANDSTILL: Duration = Duration::from_secs(1);

/// Between two pushes of a call's row.
pub const PUSH_EVERY: Duration = Duration::from_secs(1);

/// How long a media ticket keeps its place.
pub const TICKET_LIFE: Duration = Duration::from_secs(60);

/// How long the end of a call is remembered for Twilio's question what follows.
pub const ENDING_LIFE: Duration = Duration::from_secs(15 * 60);

/// Endings remembered at most.
pub const ENDINGS: usize = 20_000;

/// Times a call may come back inside [`RETURN_WINDOW`] after its stream ended: a leg that cannot be kept goes to the
/// fallback in the end.
pub const RETURNS: usize = 5;

/// Window in which returns are counted. An hour on a bad line is no reason to send anybody away.
pub const RETURN_WINDOW: Duration = Duration::from_secs(5 * 60);

/// A model session dialled for a call whose media socket does not come is closed after this long.
pub const UNCLAIMED: Duration = Duration::from_secs(15);

/// Events kept of such a session until a call takes it.
pub const EARLY_EVENTS: usize = 16;
