//! Misbehaviour on demand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use super::mcp::Answered;
use super::script::Ending;

/// When a fault strikes; counted from the opening of the session, or from the moment it is put into a running one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// After that many milliseconds.
    AfterMs(u64),
    /// After the server has sent that many events; 0 is before `session.created`.
    AfterEvents(u64),
    /// After the server has sent that many audio deltas: in the middle of an answer.
    AfterDeltas(u64),
}

/// The one event in which a server tells of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Telling {
    /// `response.function_call_arguments.done`.
    Arguments,
    /// `response.done`, in its output.
    ResponseDone,
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The upgrade is answered with this HTTP status, with `Retry-After` in seconds if given.
    RefuseUpgrade {
        /// 401, 403, 429, 500, 503 …
        status: u16,
        /// The header's value.
        retry_after_s: Option<u32>,
    },
    /// The TCP connection stands, the upgrade is never answered.
    HangHandshake,
    /// The upgrade is answered late.
    SlowHandshake {
        /// How late.
        ms: u64,
    },
    /// A close frame.
    Close {
        /// RFC 6455 or private close code.
        code: u16,
        /// At most 123 bytes.
        reason: String,
        when: When,
    },
    /// A TCP reset without a close frame.
    Reset { when: When },
    /// Neither reads nor writes nor answers pings; the connection stands.
    Stall {
        /// How long; until the end if absent.
        ms: Option<u64>,
        when: When,
    },
    /// Pings are not answered, everything else goes on.
    WithholdPong,
    /// The session is over after that time: `session_expired`, close 1001; `expires_at` says so from the start.
    Expire {
        /// From the opening of the session.
        after_ms: u64,
    },
    /// An `error` event that nothing has called for.
    Error {
        /// `error.type`.
        kind: String,
        /// `error.code`.
        code: Option<String>,
        /// `error.message`.
        message: String,
        when: When,
    },
    /// A text frame that is no JSON.
    Malformed { when: When },
    /// Text frames that hold this, whatever it is.
    Text {
        /// What is in each.
        text: String,
        /// How many.
        count: u32,
        when: When,
    },
    /// A binary frame.
    Binary { when: When },
    /// A text frame that is not UTF-8.
    NotUtf8 { when: When },
    /// A text frame with a reserved bit, as a compressed one has.
    ReservedBit { when: When },
    /// Pings, one behind the other.
    Pings {
        /// How many.
        count: u32,
        when: When,
    },
    /// The fragments of one text message, the last of which never comes.
    Fragments {
        /// How many.
        count: u32,
        /// Size of each.
        bytes: usize,
        when: When,
    },
    /// An event of an unknown type that is that large.
    Oversized {
        /// Size of the frame.
        bytes: usize,
        when: When,
    },
    /// An audio delta of a response that was never created.
    ForeignDelta { when: When },
    /// `session.updated` answers with PCM 24 kHz output whatever was asked for, and that is what comes.
    OtherFormats,
    /// The agreed format is claimed everywhere, the audio is PCM 24 kHz.
    WrongAudio,
    /// A cancelled response goes on for that many audio deltas after its `response.done`.
    LateDeltas {
        /// How many.
        count: u32,
    },
    /// Output events have the names of the beta interface (`response.audio.delta`).
    BetaNames,
    /// Every `response.output_item.done` comes twice.
    ItemsTwice,
    /// A tool call is told in one event alone.
    CallsToldIn(Telling),
    /// Running answers are not cancelled when the caller speaks, whatever was asked for; `session.updated` says so.
    NeverInterrupts,
    /// `session.updated` says nothing of audio.
    SilentOnFormats,
    /// `….transcript.done` has these words, whatever its deltas had.
    OtherTranscript {
        /// The words.
        text: String,
    },
    /// Unknown event types between the known ones, unknown fields inside them.
    Strangers,
    /// That many responses end like this; the script does not move on.
    FailResponses {
        /// How many.
        count: u32,
        /// How they end.
        ending: Ending,
    },
    /// Every transcription of the caller fails.
    TranscriptionFails,
    /// `rate_limits.updated` says that so much of the account's tokens is left, for so long.
    ScarceTokens {
        /// In a hundred.
        left_percent: u8,
        /// Until they are there again.
        reset_seconds: u8,
    },
}

impl Fault {
    pub(crate) fn when(&self) -> When {
        match self {
            Self::Close { when, .. }
            | Self::Reset { when }
            | Self::Stall { when, .. }
            | Self::Error { when, .. }
            | Self::Malformed { when }
            | Self::Text { when, .. }
            | Self::Binary { when }
            | Self::NotUtf8 { when }
            | Self::ReservedBit { when }
            | Self::Pings { when, .. }
            | Self::Fragments { when, .. }
            | Self::Oversized { when, .. }
            | Self::ForeignDelta { when } => *when,
            Self::Expire { after_ms } => When::AfterMs(*after_ms),
            _ => When::Now,
        }
    }
}

/// What a running session is told.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Inject(Fault),
    Clear,
    /// Not a fault: a server of tools has answered.
    Answered(Answered),
}

/// Which connections a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Every,
    Only(usize),
}

/// Changes what goes wrong, while the server runs. Connections are counted from 1, refused ones included.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Desk>>);

#[derive(Debug, Default)]
struct Desk {
    planned: Vec<(Reach, Fault)>,
    connections: usize,
    running: Vec<(usize, UnboundedSender<Command>)>,
}

impl Faults {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For every session, open now or later.
    pub fn every(&self, fault: Fault) {
        let mut desk = self.desk();
        desk.tell(|_| true, &fault);
        desk.planned.push((Reach::Every, fault));
    }

    /// For connection `number` alone, open now or later.
    pub fn nth(&self, number: usize, fault: Fault) {
        let mut desk = self.desk();
        desk.tell(|running| running == number, &fault);
        desk.planned.push((Reach::Only(number), fault));
    }

    /// For the next connection alone.
    pub fn next(&self, fault: Fault) {
        let mut desk = self.desk();
        let number = desk.connections + 1;
        desk.planned.push((Reach::Only(number), fault));
    }

    /// For the sessions that are open now.
    pub fn live(&self, fault: Fault) {
        self.desk().tell(|_| true, &fault);
    }

    /// Nothing goes wrong any more: new sessions are healthy, open ones forget what has not struck yet.
    pub fn clear(&self) {
        let mut desk = self.desk();
        desk.planned.clear();
        desk.running
            .retain(|(_, session)| session.send(Command::Clear).is_ok());
    }

    /// A connection arrived: its number and what is planned for it. From now on it hears `commands`.
    pub(crate) fn connected(&self, commands: UnboundedSender<Command>) -> (usize, Vec<Fault>) {
        let mut desk = self.desk();
        desk.connections += 1;
        let number = desk.connections;
        desk.running.retain(|(_, session)| !session.is_closed());
        desk.running.push((number, commands));
        let planned = desk.planned.iter().filter(|(reach, _)| match reach {
            Reach::Every => true,
            Reach::Only(only) => *only == number,
        });
        (number, planned.map(|(_, fault)| fault.clone()).collect())
    }
}

impl Desk {
    fn tell(&mut self, whom: impl Fn(usize) -> bool, fault: &Fault) {
        self.running.retain(|(number, session)| {
            !whom(*number) || session.send(Command::Inject(fault.clone())).is_ok()
        });
    }
}
