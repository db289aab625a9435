//! Every message between actors but the registry's, on one page.
//!
//! | from | to | message | how | when it does not fit |
//! | --- | --- | --- | --- | --- |
//! | `TwilioSession` | `CallActor` | [`PhoneSaid`] | `try_send` for audio, else `do_send` | the call is stuck: the phone leg leaves it |
//! | a second `TwilioSession` | `CallActor` | `Replace` | `do_send`, once a socket | – |
//! | `OpenAiSession` | `CallActor` | [`ModelSaid`] | `do_send` along a weak link | at most 16 frames are read before the call has its turn |
//! | `CallActor` | `TwilioSession` | [`ToPhone`] | `try_send` | the phone leg is stalled: the call ends |
//! | `CallActor` | `OpenAiSession` | [`ToModel`] | `try_send` for audio, else `do_send` | the session is stuck: it is lost to the call |
//! | whoever calls a person | `CallActor` | [`Order`] | `send` along a weak link | one person at a time |
//! | a tool's run | `CallActor` | [`ToolOver`] | `do_send` along a weak link | at most 32 tools run for a call |
//! | who leaves | `CallActor` | [`Order`] | `do_send` by the [`LiveCalls`](crate::live_calls::LiveCalls) | – |
//! | `CallActor`, the edge | `Registry` | [`registry::messages`](crate::registry::messages) | see there | see there |
//! | the edge | `CallActor` | [`Order`], [`Inspect`] | `send` with a timeout | an error answer |

use std::sync::Arc;
use std::time::Instant;

use actix::Message;
use call_protocol::audio::payload::Payload;
use call_protocol::call::AgentProfile;
use call_protocol::call::event::OperatorEvent;
use call_protocol::call::operator::Objection;
use call_protocol::call::snapshot::Detail;
use call_protocol::checkpoint::Checkpoint;
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::ModelEvent;
use call_protocol::model::session::SessionId;
use call_protocol::phone::event::PhoneEvent;
use call_protocol::phone::{CallSid, Direction, StreamSid};
use call_protocol::tool::ToolFinished;
use tokio::sync::watch;

use crate::call::Bridge;

/// Names one call of this process, from the socket to the end.
pub type CallKey = u64;

/// Twilio's media stream brought something.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PhoneSaid {
    /// What.
    pub event: PhoneEvent,
    /// When it was read from the socket.
    pub at: Instant,
}

/// Another media socket takes a lost one's place.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Replace {
    pub(crate) phone: actix::Addr<crate::twilio::TwilioSession>,
    pub(crate) pending_stream: crate::call::PendingStream,
}

/// The realtime session brought something.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ModelSaid {
    /// Which session of the call; words of an earlier one are late and ignored.
    pub session: SessionId,
    /// What.
    pub event: ModelEvent,
    /// When it was read from the socket.
    pub at: Instant,
}

/// Something for Twilio.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ToPhone {
    Play {
        stream: StreamSid,
        /// The audio.
        payload: Payload,
        /// When the event that caused it was read, to measure what the bridge adds.
        since: Option<Instant>,
    },
    /// Tell when all before was played.
    Mark {
        stream: StreamSid,
        /// The mark's name.
        name: String,
    },
    /// Throw away what was not played.
    Clear {
        stream: StreamSid,
        /// When the event that caused it was read, to measure how fast an interruption is.
        since: Option<Instant>,
    },
    /// Close the socket.
    Close {
        /// The WebSocket close code.
        code: u16,
    },
}

/// Something for the model.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ToModel {
    /// Say this.
    Command {
        /// What.
        command: ModelCommand,
        /// When the event that caused it was read, to measure what the bridge adds.
        since: Option<Instant>,
    },
    /// Close the socket, whatever it is doing.
    HangUp,
}

/// A tool the call had run is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ToolOver(pub ToolFinished);

/// Who calls, and who answers.
#[derive(Clone, Debug)]
pub struct CallInfo {
    pub call: CallSid,
    /// The caller's number, masked.
    pub from: Option<String>,
    /// The caller's number in full, for tools alone.
    pub number: CallerNumber,
    /// The number called.
    pub to: Option<String>,
    /// Who called whom.
    pub direction: Direction,
    /// Who answers.
    pub agent: Arc<AgentProfile>,
    /// Which reading of the settings the call lives under.
    pub config_snapshot: u32,
    /// Whose the call is, and what was before.
    pub ownership: Ownership,
}

/// One owner's time with a call: an owner is a process, and a media socket of it.
#[derive(Clone, Debug)]
pub enum Ownership {
    /// A new call: the first owner needs no claim.
    First,
    /// A call that comes again: it is claimed when its media socket comes, not before, so that asking what follows
    /// takes a call from nobody.
    Due,
    /// Claimed.
    Taken {
        /// The owner's number in the store.
        epoch: u64,
        /// What the owner before left, if there is something to go on with.
        checkpoint: Option<Arc<Checkpoint>>,
    },
    /// Claimed from a store that has not answered yet: the owner's number comes when it does, and what the owner before
    /// left is not waited for.
    Late(watch::Receiver<Option<u64>>),
}

impl Ownership {
    /// What the owner before left.
    #[must_use]
    pub const fn checkpoint(&self) -> Option<&Arc<Checkpoint>> {
        match self {
            Self::Taken {
                checkpoint: Some(checkpoint),
                ..
            } => Some(checkpoint),
            Self::Taken {
                checkpoint: None, ..
            }
            | Self::First
            | Self::Due
            | Self::Late(_) => None,
        }
    }
}

/// A caller's number in full; shows itself to nobody by accident.
#[derive(Clone, Default)]
pub struct CallerNumber(pub String);

impl std::fmt::Debug for CallerNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// An operator's wish for one call; refused with the reason why it is not done.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), Objection>")]
pub struct Order(pub OperatorEvent);

/// What a call's page shows beyond its row.
#[derive(Debug, Message)]
#[rtype(result = "Result<Inspected, ()>")]
pub struct Inspect;

/// Answer to [`Inspect`].
#[derive(Clone, Debug, serde::Serialize)]
pub struct Inspected {
    /// The machine.
    #[serde(flatten)]
    pub detail: Detail,
    /// What the bridge adds to a frame, by the way it goes; what the model takes stands at each turn.
    pub bridge_latency_by_way_us: Bridge,
}
