//! Every message between actors, on one page.
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
//! | who leaves | `CallActor` | [`Order`] | `do_send` by the [`Roll`](crate::roll::Roll) | – |
//! | `CallActor` | `Registry` | [`Push`], [`Down`], `Vacant` | `do_send`, once a second at most | – |
//! | the edge | `Registry`, `CallActor` | [`Arrive`], [`Claim`], [`Adopt`], [`List`], [`Find`], [`Order`], [`Inspect`] | `send` with a timeout | an error answer |

use std::sync::Arc;
use std::time::Instant;

use actix::Message;
use call_protocol::call::AgentProfile;
use call_protocol::call::end::EndReason;
use call_protocol::call::event::{ModelEvent, OperatorEvent, PhoneEvent};
use call_protocol::call::operator::Objection;
use call_protocol::call::snapshot::{Detail, Snapshot};
use call_protocol::call::transfer::Destination;
use call_protocol::checkpoint::Checkpoint;
use call_protocol::ids::{CallSid, StreamSid};
use call_protocol::model::command::ModelCommand;
use call_protocol::payload::Payload;
use call_protocol::tool::ToolFinished;
use tokio::sync::watch;

use crate::admission::Shut;
use crate::call::{Bridge, BridgeLatency};
use crate::openai::ModelLine;
use crate::registry::Row;
use crate::twilio::Seat;

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
    pub(crate) opener: crate::call::Opener,
}

/// The realtime session brought something.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ModelSaid {
    /// Which session of the call; words of an earlier one are late and ignored.
    pub session: u32,
    /// What.
    pub event: ModelEvent,
    /// When it was read from the socket.
    pub at: Instant,
}

/// Something for Twilio.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ToPhone {
    /// Play this.
    Play {
        /// The stream.
        stream: StreamSid,
        /// The audio.
        payload: Payload,
        /// When the event that caused it was read, to measure what the bridge adds.
        since: Option<Instant>,
    },
    /// Tell when all before was played.
    Mark {
        /// The stream.
        stream: StreamSid,
        /// The mark's name.
        name: String,
    },
    /// Throw away what was not played.
    Clear {
        /// The stream.
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

/// A call's row for the list of live calls, pushed so that nobody has to ask a call that may be stuck.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Push {
    /// The call.
    pub key: CallKey,
    /// Its machine.
    pub snapshot: Box<Snapshot>,
    /// What the bridge adds to a frame.
    pub bridge: BridgeLatency,
    /// How often its machine was built anew.
    pub restarts: u64,
}

/// A tool the call had run is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ToolOver(pub ToolFinished);

/// An actor is gone; sent by a drop guard, also while unwinding.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Down {
    /// The call.
    pub key: CallKey,
    /// Whether it went by a panic.
    pub panicked: bool,
}

/// A call was announced by a webhook: keep a place for it.
#[derive(Debug, Message)]
#[rtype(result = "Result<Arrived, Refused>")]
pub struct Arrive {
    /// The visitor.
    pub visit: Visit,
    /// A fresh media token for it, used unless the call has one already.
    pub token: String,
    /// Whether a call that ended here may come again: Twilio asks what follows.
    pub again: bool,
    /// Whether the token the call has already opened a socket elsewhere.
    pub renew: bool,
    /// Whether the day's minutes do not bind its caller.
    pub exempt: bool,
    /// Calls its agent takes at once; `None`: as many as there is room for.
    pub most_of_agent: Option<usize>,
}

/// Answer to [`Arrive`].
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The call's media token.
    pub token: String,
    /// Whether this is the first answer to the call, not the same one again.
    pub first: bool,
}

/// Who calls, and who answers.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The call.
    pub call: CallSid,
    /// The caller's number, masked.
    pub from: Option<String>,
    /// The caller's number in full, for tools alone.
    pub number: CallerNumber,
    /// The number called.
    pub to: Option<String>,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Who answers.
    pub agent: Arc<AgentProfile>,
    /// Which reading of the settings the call lives under.
    pub reading: u32,
    /// Whose the call is, and what was before.
    pub tenure: Tenure,
}

/// One owner's time with a call: an owner is a process, and a media socket of it.
#[derive(Clone, Debug)]
pub enum Tenure {
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

impl Tenure {
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

/// Why a call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many calls as allowed.
    Full,
    /// As many calls as its agent takes.
    AgentFull,
    /// The process is leaving.
    Draining,
    /// This call came back too often.
    TooOften,
    /// Its caller has called so often within the hour.
    NumberCalls,
    /// Its ticket has opened a socket here just now.
    TicketUsed,
    /// The model's account takes no more.
    Model(Shut),
}

impl From<Shut> for Refused {
    fn from(shut: Shut) -> Self {
        Self::Model(shut)
    }
}

impl Refused {
    /// The reason's name in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::AgentFull => "agent_full",
            Self::Draining => "draining",
            Self::TooOften => "too_often",
            Self::NumberCalls => "number_calls",
            Self::TicketUsed => "used_ticket",
            Self::Model(shut) => shut.label(),
        }
    }
}

/// A media socket presents its ticket.
#[derive(Debug, Message)]
#[rtype(result = "Result<Admitted, ClaimError>")]
pub struct Claim {
    /// The call the ticket is for.
    pub call: CallSid,
    /// The ticket, already known to be genuine.
    pub token: String,
}

/// Answer to [`Claim`].
pub enum Admitted {
    /// It has a place of its own.
    New(Box<Claimed>),
    /// It takes the place of a media socket the call has lost.
    Seat(Seat),
}

/// A place for a call.
pub struct Claimed {
    /// The call's number in this process.
    pub key: CallKey,
    /// Who calls, and who answers.
    pub visit: Visit,
    /// The model session dialled for it, if there is one.
    pub early: Option<ModelLine>,
}

/// A media socket presents the ticket of a call that another process announced.
#[derive(Debug, Message)]
#[rtype(result = "Result<Claimed, Refused>")]
pub struct Adopt {
    /// Who calls, and who answers.
    pub visit: Visit,
    /// The ticket, already known to be genuine and not used before.
    pub token: String,
}

/// A model session was dialled for an announced call: keep it until the call comes.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Keep {
    /// The call.
    pub call: CallSid,
    /// Its session; hung up if nobody comes.
    pub early: ModelLine,
}

/// A media socket without a ticket, in dev mode.
#[derive(Debug, Message)]
#[rtype(result = "Result<CallKey, Refused>")]
pub struct WalkIn;

/// Why a ticket was not honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// Nobody announced this call, or its ticket has expired.
    Unknown,
    /// The ticket was used before.
    Used,
}

impl ClaimError {
    /// The reason's name in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_ticket",
            Self::Used => "used_ticket",
        }
    }
}

/// The live calls.
#[derive(Debug, Message)]
#[rtype(result = "Listing")]
pub struct List;

/// Answer to [`List`].
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Listing {
    /// Whether new calls are refused because the process is leaving.
    pub draining: bool,
    /// Calls that may live at once.
    pub capacity: usize,
    /// Calls that live.
    pub count: usize,
    /// Their rows.
    pub calls: Vec<Row>,
}

/// How full the house is, for readiness; cheap.
#[derive(Debug, Message)]
#[rtype(result = "Occupancy")]
pub struct Count;

/// Answer to [`Count`].
#[derive(Clone, Copy, Debug)]
pub struct Occupancy {
    /// Whether new calls are refused because the process is leaving.
    pub draining: bool,
    /// Places taken: live calls and announced ones.
    pub taken: usize,
    /// Calls that live.
    pub live: usize,
    /// Calls that may live at once.
    pub capacity: usize,
}

/// One live call.
#[derive(Debug, Message)]
#[rtype(result = "Option<Found>")]
pub struct Find(pub CallSid);

/// Answer to [`Find`].
#[derive(Debug)]
pub struct Found {
    /// Its row.
    pub row: Row,
    /// Where to ask for more.
    pub call: actix::Recipient<Inspect>,
    /// Where to send orders.
    pub orders: actix::Recipient<Order>,
}

/// How a call that was here ended; what Twilio should do next hangs on it.
#[derive(Debug, Message)]
#[rtype(result = "Option<Ending>")]
pub struct HowEnded(pub CallSid);

/// Answer to [`HowEnded`].
#[derive(Clone, Debug)]
pub struct Ending {
    /// Why; `None` if the call's actors died without a word.
    pub reason: Option<EndReason>,
    /// Where the caller goes now.
    pub transfer_to: Option<Destination>,
    /// The person who waits there for the caller, by the number in the call.
    pub awaited_by: Option<u32>,
    /// Who it was.
    pub visit: Visit,
}

/// Take no more calls.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

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
