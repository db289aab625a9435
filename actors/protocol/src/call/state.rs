//! The states of a call; each owns what only makes sense in it.

use super::outcome::EndReason;
use crate::phone::gaps::CallerClock;
use crate::phone::playback::Playback;
use crate::phone::{CallSid, StreamSid};
use crate::time::Time;

/// Where a call is.
///
/// ```text
/// accepted ──connected──▶ connected ──start──▶ start ──media──▶ media
///     │                       │                │  ▲               │
///     │                       │             closed └─start─┐    closed
///     │                       │                └───────▶ away ◀───┤
///     └───────────────────────┴──────────────────────────┴────────┴──▶ stop
/// ```
#[derive(Debug)]
pub enum State {
    /// The media socket is open and nothing was said on it.
    Accepted(Opening),
    /// `connected` came; there is no stream SID yet.
    Connected(Opening),
    /// `start` came: the stream has a SID, the caller was not heard yet.
    Start(Stream),
    /// The caller's audio flows.
    Media(Stream),
    /// The media socket was lost without a word; another one may take its place, for a moment.
    Away(Absence),
    /// The call is over.
    Stop(Ended),
}

impl Default for State {
    fn default() -> Self {
        Self::Accepted(Opening::default())
    }
}

/// Before `start`: nothing can be sent to Twilio.
#[derive(Debug, Default)]
pub struct Opening {
    /// Model audio that came early.
    pub held: Playback,
}

/// From `start` on.
#[derive(Debug)]
pub struct Stream {
    /// Goes into every message to Twilio.
    pub sid: StreamSid,
    /// The call, as `start` named it.
    pub call: CallSid,
    /// What was sent, heard, cut.
    pub playback: Playback,
    /// When `start` came.
    pub since: Time,
    /// Sequence number of the last message, to see gaps.
    pub sequence: Option<u64>,
    /// Finds holes in the caller's audio.
    pub clock: CallerClock,
    /// Whether any of the agent's audio has left.
    pub agent_heard: bool,
}

impl Stream {
    /// A stream whose `start` has come.
    pub(super) fn begin(sid: StreamSid, call: CallSid, playback: Playback, now: Time) -> Self {
        Self {
            sid,
            call,
            playback,
            since: now,
            sequence: None,
            clock: CallerClock::default(),
            agent_heard: false,
        }
    }

    /// The number of a message of audio came, if it has one; whether others are missing before it.
    pub(super) fn take_sequence(&mut self, sequence: Option<u64>) -> bool {
        let Some(sequence) = sequence else {
            return false;
        };
        let last = self.sequence.replace(sequence);
        last.is_some_and(|last| sequence > last.saturating_add(1))
    }

    /// A message that is not audio came: Twilio numbers all of them in one sequence.
    pub fn count_message(&mut self) {
        self.sequence = self.sequence.map(|last| last.saturating_add(1));
    }
}

/// Between two media sockets of one call.
#[derive(Debug)]
pub struct Absence {
    /// The call, as the lost stream's `start` named it.
    pub call: CallSid,
    /// The stream that was lost.
    pub lost: StreamSid,
    /// Until when another socket may take its place.
    pub until: Time,
    /// Model audio for the next stream.
    pub held: Playback,
    /// The agent owes the caller a word when they are back.
    pub owes_word: bool,
}

/// After the end.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// When.
    pub at: Time,
    /// The call and its last stream, if one began.
    pub known: Option<(CallSid, StreamSid)>,
}

/// A state's name, as the admin pages know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StateName {
    /// The socket is open; `connected` may have come.
    Connected,
    /// `start` came.
    Start,
    /// Audio flows.
    Media,
    /// Over.
    Stop,
}

impl StateName {
    /// Every state, in order.
    pub const ALL: [Self; 4] = [Self::Connected, Self::Start, Self::Media, Self::Stop];

    /// The name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Start => "start",
            Self::Media => "media",
            Self::Stop => "stop",
        }
    }
}

impl State {
    /// The state's name. A socket on which nothing was said yet is connected, too, and so is a call
    /// that waits for its `start` again: the page knows four states.
    #[must_use]
    pub const fn name(&self) -> StateName {
        match self {
            Self::Accepted(_) | Self::Connected(_) | Self::Away(_) => StateName::Connected,
            Self::Start(_) => StateName::Start,
            Self::Media(_) => StateName::Media,
            Self::Stop(_) => StateName::Stop,
        }
    }

    /// The stream, from `start` to the end.
    #[must_use]
    pub const fn stream(&self) -> Option<&Stream> {
        match self {
            Self::Start(stream) | Self::Media(stream) => Some(stream),
            Self::Accepted(_) | Self::Connected(_) | Self::Away(_) | Self::Stop(_) => None,
        }
    }

    /// The caller is heard: a stream that has begun is in `media`.
    pub(super) fn enter_media(&mut self) {
        *self = match std::mem::take(self) {
            Self::Start(stream) => Self::Media(stream),
            other @ (Self::Accepted(_)
            | Self::Connected(_)
            | Self::Away(_)
            | Self::Media(_)
            | Self::Stop(_)) => other,
        };
    }

    /// The call and its stream, or the stream that was lost last.
    #[must_use]
    pub const fn known(&self) -> Option<(CallSid, StreamSid)> {
        match self {
            Self::Start(stream) | Self::Media(stream) => Some((stream.call, stream.sid)),
            Self::Away(absence) => Some((absence.call, absence.lost)),
            Self::Accepted(_) | Self::Connected(_) | Self::Stop(_) => None,
        }
    }

    /// The stream, from `start` to the end.
    #[must_use]
    pub const fn stream_mut(&mut self) -> Option<&mut Stream> {
        match self {
            Self::Start(stream) | Self::Media(stream) => Some(stream),
            Self::Accepted(_) | Self::Connected(_) | Self::Away(_) | Self::Stop(_) => None,
        }
    }

    /// The ledger, until the end.
    #[must_use]
    pub const fn playback(&self) -> Option<&Playback> {
        match self {
            Self::Accepted(opening) | Self::Connected(opening) => Some(&opening.held),
            Self::Start(stream) | Self::Media(stream) => Some(&stream.playback),
            Self::Away(absence) => Some(&absence.held),
            Self::Stop(_) => None,
        }
    }

    /// The ledger, until the end.
    #[must_use]
    pub const fn playback_mut(&mut self) -> Option<&mut Playback> {
        match self {
            Self::Accepted(opening) | Self::Connected(opening) => Some(&mut opening.held),
            Self::Start(stream) | Self::Media(stream) => Some(&mut stream.playback),
            Self::Away(absence) => Some(&mut absence.held),
            Self::Stop(_) => None,
        }
    }
}
