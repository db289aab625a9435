//! The media socket is gone without a `stop`: the call waits a moment for another one.
//!
//! `stop`, a close frame, Twilio's callbacks and the operator end a phone leg. A connection that just breaks does not:
//! Twilio has lost its socket, not its caller, and asks at once what follows. A socket that comes within [`ADOPT_WITHIN`]
//! with a ticket of the call takes the lost one's place. The conversation is kept for all of that time, the session only for
//! [`PARK_AFTER`], because a model without a caller costs money.

use std::time::Duration;

use super::Call;
use super::effect::{Effect, Report};
use super::outcome::EndReason;
use super::resume::GO_ON;
use super::state::{Absence, State, StateName};
use super::timers::Timer;
use crate::model::link::Link;
use crate::phone::StreamSid;
use crate::phone::playback::Playback;
use crate::time::Time;

/// Another media socket may take a lost one's place for so long, its `start` included.
pub const ADOPT_WITHIN: Duration = Duration::from_secs(2);

/// The model's session outlives the media socket by no more than this: within a second of the loss nothing of the call
/// is paid for.
pub const PARK_AFTER: Duration = Duration::from_millis(900);

/// A caller may have spoken into a line that was gone, and waits for an answer. Who says nothing for so long after they
/// came back is asked.
pub(super) const ASKED_AFTER: Duration = Duration::from_secs(2);

impl Call {
    /// The media socket is closed; without a close frame (`None`), nobody meant it.
    pub(super) fn on_phone_closed(&mut self, code: Option<u16>, now: Time) {
        if code.is_some() || self.closing.is_pending() {
            self.end(EndReason::PhoneLost, now);
            return;
        }
        match &self.state {
            State::Start(_) | State::Media(_) => self.lose_phone(now),
            // The next socket broke before its `start`: another may still come.
            State::Away(_) => self.report(Report::PhoneAway),
            State::Accepted(_) | State::Connected(_) | State::Stop(_) => {
                self.end(EndReason::PhoneLost, now);
            }
        }
    }

    /// Twilio's callback says that a stream has failed: this one, or one that was lost before.
    pub(super) fn on_stream_failed(&mut self, stream: Option<StreamSid>, now: Time) {
        let is_this = match &self.state {
            State::Start(live) | State::Media(live) => {
                stream.is_none_or(|failed| failed == live.sid)
            }
            State::Accepted(_) | State::Connected(_) => stream.is_none(),
            // Known already: the socket is gone.
            State::Away(_) | State::Stop(_) => false,
        };
        if is_this {
            self.end(EndReason::StreamFailed, now);
        }
    }

    fn lose_phone(&mut self, now: Time) {
        let owes_word = self.floor.promises_word(self.around(now));
        self.cancel_pending_speech(false, now);
        let Some((call, lost)) = self.state.known() else {
            return;
        };
        if let Some(playback) = self.state.playback_mut() {
            let parts = playback.interrupt(now).parts;
            self.truncate_history(&parts, now);
        }
        // Another process may be asked what follows.
        self.keep();
        let until = now + ADOPT_WITHIN;
        self.state = State::Away(Absence {
            call,
            lost,
            until,
            held: Playback::default(),
            owes_word,
        });
        // The next stream's ledger numbers its marks anew.
        self.epoch += 1;
        self.wait.forget_ledger();
        for timer in [
            Timer::Media,
            Timer::Gap,
            Timer::Playback,
            Timer::Acknowledge,
            Timer::Return,
            // Nobody is there to take a turn.
            Timer::NoTurn,
        ] {
            self.timers.stop(timer);
        }
        self.timers.set(Timer::Start, until);
        self.timers.set(Timer::Park, now + PARK_AFTER);
        self.report(Report::State(StateName::Connected));
        self.report(Report::PhoneAway);
    }

    /// `start` did not come in time: on the first socket, or on one in its place.
    pub(super) fn on_start_due(&mut self, now: Time) {
        let reason = match self.state {
            State::Away(_) => EndReason::PhoneLost,
            State::Accepted(_)
            | State::Connected(_)
            | State::Start(_)
            | State::Media(_)
            | State::Stop(_) => EndReason::NoStart,
        };
        self.end(reason, now);
    }

    /// The caller is away for longer than a session is kept for them.
    pub(super) fn park_model(&mut self, now: Time) {
        let is_away = matches!(self.state, State::Away(_));
        if !is_away || matches!(self.link, Link::Lost) {
            return;
        }
        for timer in [
            Timer::Dial,
            Timer::Configure,
            Timer::Redial,
            Timer::Retry,
            Timer::CatchUp,
            Timer::TakeNext,
            Timer::NextSession,
        ] {
            self.timers.stop(timer);
        }
        self.drop_next();
        self.effects.push_back(Effect::CloseModel);
        self.break_off_session(now);
        self.link = Link::Waiting;
        self.report(Report::ModelLost {
            why: "phone_away",
            redial: true,
        });
    }

    /// Another media socket has taken the lost one's place: `start` came on it.
    pub(super) fn come_back(&mut self, until: Time, owes_word: bool, now: Time) {
        self.timers.stop(Timer::Park);
        let away = ADOPT_WITHIN.saturating_sub(until.since(now));
        let away_ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
        self.report(Report::PhoneBack { away_ms });
        self.timers.set(Timer::Return, now + ASKED_AFTER);
        match &self.link {
            Link::Ready(_) if owes_word && !self.has_more_to_say(now) => {
                self.ask_for_answer(Some(GO_ON.to_owned()));
            }
            Link::Ready(_) | Link::Lost => {}
            Link::Dialling { .. } | Link::Configuring(_) | Link::Waiting => {
                if owes_word {
                    self.floor.owe();
                }
                if matches!(self.link, Link::Waiting) && !self.timers.is_set(Timer::Redial) {
                    self.dial(now);
                }
            }
        }
    }

    /// The caller has said nothing since they came back.
    pub(super) fn on_return_due(&mut self, now: Time) {
        match &self.link {
            _ if self.floor.is_attended(self.around(now)) => {}
            Link::Ready(_) => self.ask_for_answer(Some(GO_ON.to_owned())),
            Link::Dialling { .. } | Link::Configuring(_) | Link::Waiting => {
                self.floor.owe();
            }
            Link::Lost => {}
        }
    }
}
