//! What the registry is asked and told.
//!
//! | from | message | how | when it does not fit |
//! | --- | --- | --- | --- |
//! | `CallActor` | [`Push`], [`Down`], `MediaLost` | `do_send`, once a second at most | – |
//! | the edge | [`Announce`], [`RedeemTicket`], [`AdmitForeign`], [`AdmitUnticketed`], [`AttachSession`], [`List`], [`Count`], [`Find`], [`LastOutcome`] | `send` with a timeout | an error answer |
//! | who leaves | [`Drain`] | `do_send` | – |

use actix::Message;
use call_protocol::call::outcome::{Destination, EndReason};
use call_protocol::call::snapshot::Snapshot;
use call_protocol::phone::CallSid;

use super::Row;
use crate::admission::AdmissionBlock;
use crate::call::BridgeLatency;
use crate::messages::{CallInfo, CallKey, Inspect, Order};
use crate::openai::ModelLine;
use crate::twilio::MediaSlot;

/// A call's row for the list of live calls, pushed so that nobody has to ask a call that may be stuck.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Push {
    pub key: CallKey,
    /// Its machine.
    pub snapshot: Box<Snapshot>,
    /// What the bridge adds to a frame.
    pub bridge: BridgeLatency,
    /// How often its machine was built anew.
    pub restarts: u64,
}

/// An actor is gone; sent by a drop guard, also while unwinding.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Down {
    pub key: CallKey,
    /// Whether it went by a panic.
    pub panicked: bool,
}

/// A call was announced by a webhook: keep a place for it.
#[derive(Debug, Message)]
#[rtype(result = "Result<Arrived, Refused>")]
pub struct Announce {
    /// The visitor.
    pub info: CallInfo,
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

/// Answer to [`Announce`].
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The call's media token.
    pub token: String,
    /// Whether this is the first answer to the call, not the same one again.
    pub first: bool,
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
    Model(AdmissionBlock),
}

impl From<AdmissionBlock> for Refused {
    fn from(shut: AdmissionBlock) -> Self {
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
pub struct RedeemTicket {
    /// The call the ticket is for.
    pub call: CallSid,
    /// The ticket, already known to be genuine.
    pub token: String,
}

/// Answer to [`RedeemTicket`].
pub enum Admitted {
    /// It has a place of its own.
    New(Box<Claimed>),
    /// It takes the place of a media socket the call has lost.
    Seat(MediaSlot),
}

/// A place for a call.
pub struct Claimed {
    /// The call's number in this process.
    pub key: CallKey,
    /// Who calls, and who answers.
    pub info: CallInfo,
    /// The model session dialled for it, if there is one.
    pub early: Option<ModelLine>,
}

/// A media socket presents the ticket of a call that another process announced.
#[derive(Debug, Message)]
#[rtype(result = "Result<Claimed, Refused>")]
pub struct AdmitForeign {
    /// Who calls, and who answers.
    pub info: CallInfo,
    /// The ticket, already known to be genuine and not used before.
    pub token: String,
}

/// A model session was dialled for an announced call: keep it until the call comes.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AttachSession {
    pub call: CallSid,
    /// Its session; hung up if nobody comes.
    pub early: ModelLine,
}

/// A media socket without a ticket, in dev mode.
#[derive(Debug, Message)]
#[rtype(result = "Result<CallKey, Refused>")]
pub struct AdmitUnticketed;

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
    pub row: Row,
    /// Where to ask for more.
    pub call: actix::Recipient<Inspect>,
    /// Where to send orders.
    pub orders: actix::Recipient<Order>,
}

/// How a call that was here ended; what Twilio should do next hangs on it.
#[derive(Debug, Message)]
#[rtype(result = "Option<Ending>")]
pub struct LastOutcome(pub CallSid);

/// Answer to [`LastOutcome`].
#[derive(Clone, Debug)]
pub struct Ending {
    /// Why; `None` if the call's actors died without a word.
    pub reason: Option<EndReason>,
    /// Where the caller goes now.
    pub transfer_to: Option<Destination>,
    /// The person who waits there for the caller, by the number in the call.
    pub awaited_by: Option<u32>,
    /// Who it was.
    pub info: CallInfo,
}

/// Take no more calls.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;
