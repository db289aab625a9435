//! The phone leg: which of Twilio's messages is allowed when, and what it has to do with the call. Bad ones are told, not
//! judged: what becomes of the call is the call's to say.

mod events;
#[cfg(test)]
mod tests;
mod utterance;

use std::collections::VecDeque;
use std::time::Duration;

use super::effect::Effect;
use super::outcome::EndReason;
use super::state::{Absence, Ended, State, Stream};
use crate::phone::event::{CallerAudio, StreamStart};
use crate::phone::playback::{MarkMeaning, Outgoing, Playback, Settled};
use crate::phone::{AccountSid, CallSid, StreamSid};
use crate::time::Time;
use crate::wire::ErrorBudget;
use utterance::Utterance;

/// The media socket of a call, from its being accepted to the end, and those that take its place.
#[derive(Debug, Default)]
pub(super) struct PhoneLeg {
    state: State,
    /// How often the ledger was begun anew; part of every mark's name, so that an old mark is not taken for a new one.
    epoch: u32,
    errors: ErrorBudget,
    utterance: Utterance,
}

/// Why a message is of no use where it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// There is no stream yet, or none any more that could be meant.
    BeforeStart,
    /// It is of another stream.
    ForeignStream,
    /// The call is over.
    AfterStop,
}

/// What `connected` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connected {
    /// The call's first socket says so.
    First,
    /// A socket says so that takes a lost one's place.
    InPlace,
    /// It was said before.
    Again,
    /// The call is over.
    AfterStop,
}

/// A `start` that may be followed.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) stream: StreamSid,
    pub(super) call: CallSid,
    /// Model audio that came before it.
    pub(super) held: Playback,
    /// It ends an absence, which would have lasted until then; and whether the agent owes the caller a word.
    pub(super) absence: Option<(Time, bool)>,
    /// The account is not the one that was expected: a subaccount of ours may have the call.
    pub(super) is_foreign_account: bool,
}

/// A `start` that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoStart {
    /// There is a stream already.
    Second,
    /// The call is over.
    AfterStop,
    /// An identifier is missing, or none.
    BadIdentifiers,
    /// It is of another call.
    ForeignCall,
    /// The stream's format is not one of a phone.
    UnsupportedFormat {
        /// The account is not the expected one, either.
        is_foreign_account: bool,
    },
}

/// What a stretch of the caller's audio brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// It is the first: the caller is there.
    pub(super) is_first: bool,
    /// Messages are missing before it.
    pub(super) has_gap: bool,
    /// Milliseconds of audio are missing before it.
    pub(super) missing_ms: u64,
}

/// What a mark that came back means.
#[derive(Debug)]
pub(super) enum Marked {
    /// These parts were heard.
    Heard(Vec<Settled>),
    /// Nothing new.
    Nothing,
    /// It was never sent.
    Unknown,
}

/// What left for the phone, and what is due now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) bytes: u64,
    /// More may be sent then.
    pub(super) next: Option<Time>,
    /// The last mark must be back by then.
    pub(super) acknowledge_by: Option<Time>,
    /// The agent is heard for the first time on this stream, so long after its `start`.
    pub(super) first_after_ms: Option<u64>,
}

/// What of a leg outlives the machine: who it is, and plain numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remains {
    pub(super) stream: StreamSid,
    call: CallSid,
    epoch: u32,
    pub(super) agent_heard: bool,
}

/// What is asked of it.
impl PhoneLeg {
    /// Where it is.
    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    /// The stream, from `start` to the end.
    pub(super) const fn stream(&self) -> Option<&Stream> {
        self.state.stream()
    }

    /// The call and its stream, or the stream that was lost last.
    pub(super) const fn known(&self) -> Option<(CallSid, StreamSid)> {
        self.state.known()
    }

    /// The ledger, until the end.
    pub(super) const fn playback(&self) -> Option<&Playback> {
        self.state.playback()
    }

    /// The ledger, until the end.
    pub(super) const fn playback_mut(&mut self) -> Option<&mut Playback> {
        self.state.playback_mut()
    }

    /// The ledger of what waits for a stream, while there is none.
    pub(super) const fn held_mut(&mut self) -> Option<&mut Playback> {
        match &mut self.state {
            State::Accepted(opening) | State::Connected(opening) => Some(&mut opening.held),
            State::Away(absence) => Some(&mut absence.held),
            State::Start(_) | State::Media(_) | State::Stop(_) => None,
        }
    }

    /// Whether the caller's audio flows.
    pub(super) const fn is_in_media(&self) -> bool {
        matches!(self.state, State::Media(_))
    }

    /// Whether the media socket is lost, and another one may take its place.
    pub(super) const fn is_away(&self) -> bool {
        matches!(self.state, State::Away(_))
    }

    /// How the call ended.
    pub(super) const fn ended(&self) -> Option<Ended> {
        match self.state {
            State::Stop(ended) => Some(ended),
            State::Accepted(_)
            | State::Connected(_)
            | State::Start(_)
            | State::Media(_)
            | State::Away(_) => None,
        }
    }

    /// Whether a stream that is said to have failed is the one in use.
    pub(super) fn is_of(&self, failed: Option<StreamSid>) -> bool {
        match &self.state {
            State::Start(live) | State::Media(live) => {
                failed.is_none_or(|failed| failed == live.sid)
            }
            State::Accepted(_) | State::Connected(_) => failed.is_none(),
            // Known already: the socket is gone.
            State::Away(_) | State::Stop(_) => false,
        }
    }

    /// Whether the caller went on speaking after the server's last sign of life, which is `quiet` ago.
    pub(super) fn outlasts(&self, quiet: Duration, now: Time) -> bool {
        self.utterance.outlasts(quiet, now)
    }

    /// For how long marks are overdue.
    pub(super) fn overdue(&self, now: Time) -> Option<Duration> {
        self.stream()
            .and_then(|stream| stream.playback.overdue(now))
    }

    /// What outlives it, while a stream lives.
    pub(super) fn remains(&self) -> Option<Remains> {
        let stream = self.stream()?;
        Some(Remains {
            stream: stream.sid,
            call: stream.call,
            epoch: self.epoch,
            agent_heard: stream.agent_heard,
        })
    }
}

/// What happens on it.
impl PhoneLeg {
    /// A leg that goes on on the stream another had. That one's ledger is given up: its marks must not be taken for those
    /// of the new one.
    pub(super) fn after(remains: Remains, now: Time) -> Self {
        let mut stream = Stream::begin(remains.stream, remains.call, Playback::default(), now);
        stream.agent_heard = remains.agent_heard;
        Self {
            state: State::Media(stream),
            epoch: remains.epoch + 1,
            ..Self::default()
        }
    }

    /// A message could not be used; whether that is one too many.
    pub(super) fn unusable(&mut self, now: Time) -> bool {
        self.errors.record(now)
    }

    /// What could not be used so far is forgotten.
    pub(super) fn forgive(&mut self) {
        self.errors = ErrorBudget::default();
    }

    /// What could not be used so far counts for another leg.
    pub(super) fn blame_for(&mut self, other: &mut Self) {
        self.errors = std::mem::take(&mut other.errors);
    }

    /// `connected`.
    pub(super) fn connected(&mut self) -> Connected {
        match &mut self.state {
            State::Accepted(opening) => {
                self.state = State::Connected(std::mem::take(opening));
                Connected::First
            }
            State::Away(_) => Connected::InPlace,
            State::Connected(_) | State::Start(_) | State::Media(_) => Connected::Again,
            State::Stop(_) => Connected::AfterStop,
        }
    }

    /// Whether `start` would come before `connected`.
    pub(super) const fn is_fresh(&self) -> bool {
        matches!(self.state, State::Accepted(_))
    }

    /// `start`, of the call and the account that are expected. What was held for a stream is handed out.
    pub(super) fn check_start(
        &mut self,
        start: &StreamStart,
        expected: Option<CallSid>,
        account: Option<AccountSid>,
    ) -> Result<Started, NoStart> {
        let (held, expected, absence) = match &mut self.state {
            State::Accepted(opening) | State::Connected(opening) => {
                (std::mem::take(&mut opening.held), expected, None)
            }
            State::Away(away) => {
                let absence = Some((away.until, away.owes_word));
                (std::mem::take(&mut away.held), Some(away.call), absence)
            }
            State::Start(_) | State::Media(_) => return Err(NoStart::Second),
            State::Stop(_) => return Err(NoStart::AfterStop),
        };
        let (Some(stream), Some(call), Some(theirs)) = (start.stream, start.call, start.account)
        else {
            return Err(NoStart::BadIdentifiers);
        };
        if expected.is_some_and(|expected| expected != call) {
            return Err(NoStart::ForeignCall);
        }
        let is_foreign_account = account.is_some_and(|ours| ours != theirs);
        if !start.format.is_supported() {
            return Err(NoStart::UnsupportedFormat { is_foreign_account });
        }
        Ok(Started {
            stream,
            call,
            held,
            absence,
            is_foreign_account,
        })
    }

    /// A stream begins.
    pub(super) fn begin(&mut self, sid: StreamSid, call: CallSid, playback: Playback, now: Time) {
        self.state = State::Start(Stream::begin(sid, call, playback, now));
    }

    /// A stretch of the caller's audio. The first moves the leg from `start` to `media`.
    pub(super) fn audio(&mut self, audio: &CallerAudio, now: Time) -> Result<Heard, Misplaced> {
        let (stream, is_first) = match &mut self.state {
            State::Media(stream) => (stream, false),
            State::Start(stream) => (stream, true),
            State::Accepted(_) | State::Connected(_) | State::Away(_) => {
                return Err(Misplaced::BeforeStart);
            }
            State::Stop(_) => return Err(Misplaced::AfterStop),
        };
        if audio.stream != Some(stream.sid) {
            return Err(Misplaced::ForeignStream);
        }
        let has_gap = stream.take_sequence(audio.sequence);
        let missing_ms = stream
            .clock
            .frame(audio.timestamp_ms, audio.payload.audio_bytes());
        if is_first {
            self.state.enter_media();
        }
        self.utterance.frame(&audio.payload, now);
        Ok(Heard {
            is_first,
            has_gap,
            missing_ms,
        })
    }

    /// No frame came for a moment: the milliseconds that are missing.
    pub(super) fn quiet(&mut self) -> Option<u64> {
        self.state.stream_mut().map(|stream| stream.clock.quiet())
    }

    /// A message that is not audio: whether it is of the stream that lives, and counted among its messages.
    pub(super) fn message(&mut self, stream: Option<StreamSid>) -> Result<(), Misplaced> {
        let live = match &mut self.state {
            State::Start(live) | State::Media(live) => live,
            State::Accepted(_) | State::Connected(_) | State::Away(_) => {
                return Err(Misplaced::BeforeStart);
            }
            State::Stop(_) => return Err(Misplaced::AfterStop),
        };
        if stream != Some(live.sid) {
            return Err(Misplaced::ForeignStream);
        }
        live.count_message();
        Ok(())
    }

    /// A mark came back.
    pub(super) fn marked(&mut self, name: &str, now: Time) -> Marked {
        let number = match read_mark(name) {
            // Sent before the ledger was begun anew.
            Some((epoch, _)) if epoch < self.epoch => return Marked::Nothing,
            Some((epoch, number)) if epoch == self.epoch => number,
            Some(_) | None => 0,
        };
        let Some(stream) = self.state.stream_mut() else {
            return Marked::Nothing;
        };
        let mut heard = Vec::new();
        let mut keep = |part| heard.push(part);
        match stream.playback.mark_back(number, now, &mut keep) {
            MarkMeaning::Unknown => Marked::Unknown,
            MarkMeaning::Flushed => Marked::Nothing,
            MarkMeaning::Heard => Marked::Heard(heard),
        }
    }

    /// `stop`. Twilio need not name the stream, and may say it before one has begun.
    pub(super) fn stopped(&self, stream: Option<StreamSid>) -> Result<(), Misplaced> {
        match &self.state {
            State::Start(live) | State::Media(live) => {
                let is_this = stream.is_none_or(|stream| stream == live.sid);
                is_this.then_some(()).ok_or(Misplaced::ForeignStream)
            }
            State::Accepted(_) | State::Connected(_) | State::Away(_) => {
                Err(Misplaced::BeforeStart)
            }
            State::Stop(_) => Err(Misplaced::AfterStop),
        }
    }

    /// The socket is lost; until then another one may take its place. The next stream's ledger numbers its marks anew.
    pub(super) fn lose(&mut self, until: Time, owes_word: bool) {
        let Some((call, lost)) = self.known() else {
            return;
        };
        self.state = State::Away(Absence {
            call,
            lost,
            until,
            held: Playback::default(),
            owes_word,
        });
        self.epoch += 1;
    }

    /// The ledger is given up, and another begun on the same stream.
    pub(super) fn begin_ledger(&mut self, now: Time) {
        if let Some(playback) = self.playback_mut() {
            playback.interrupt(now);
            *playback = Playback::default();
            self.epoch += 1;
        }
    }

    /// The call ends.
    pub(super) fn end(&mut self, reason: EndReason, at: Time) {
        let known = self.known();
        self.state = State::Stop(Ended { reason, at, known });
    }

    /// Runs `act` on the ledger of a live stream and has what it wants sent carried out.
    pub(super) fn send<T>(
        &mut self,
        is_filler: bool,
        effects: &mut VecDeque<Effect>,
        now: Time,
        act: impl FnOnce(&mut Playback, &mut dyn FnMut(Outgoing)) -> T,
    ) -> Option<(T, Sent)> {
        let epoch = self.epoch;
        let stream = self.state.stream_mut()?;
        let sid = stream.sid;
        let mut bytes = 0u64;
        let result = act(&mut stream.playback, &mut |outgoing| {
            effects.push_back(match outgoing {
                Outgoing::Audio { payload, begins } => {
                    bytes += payload.audio_bytes() as u64;
                    Effect::Play {
                        stream: sid,
                        payload,
                        begins,
                    }
                }
                Outgoing::Mark(number) => Effect::Mark {
                    stream: sid,
                    name: mark_name(epoch, number),
                },
            });
        });
        let is_first = bytes > 0 && !is_filler && !stream.agent_heard;
        stream.agent_heard |= is_first;
        let sent = Sent {
            bytes,
            next: stream.playback.next_send(now),
            acknowledge_by: stream.playback.acknowledge_by(),
            first_after_ms: is_first.then(|| now.millis_since(stream.since)),
        };
        Some((result, sent))
    }
}

/// The name of a mark on the wire.
fn mark_name(epoch: u32, number: u64) -> String {
    format!("m{epoch}-{number}")
}

fn read_mark(name: &str) -> Option<(u32, u64)> {
    let (epoch, number) = name.strip_prefix('m')?.split_once('-')?;
    Some((epoch.parse().ok()?, number.parse().ok()?))
}
