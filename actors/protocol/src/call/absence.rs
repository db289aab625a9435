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
use super::recovery::GO_ON;
use super::state::StateName;
use super::timers::Timer;
use crate::model::session::Phase;
use crate::phone::StreamSid;
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
        if self.phone.stream().is_some() {
            self.lose_phone(now);
        } else if self.phone.is_away() {
            // The next socket broke before its `start`: another may still come.
            self.report(Report::PhoneAway);
        } else {
            self.end(EndReason::PhoneLost, now);
        }
    }

    /// Twilio's callback says that a stream has failed: this one, or one that was lost before.
    pub(super) fn on_stream_failed(&mut self, stream: Option<StreamSid>, now: Time) {
        if self.phone.is_of(stream) {
            self.end(EndReason::StreamFailed, now);
        }
    }

    fn lose_phone(&mut self, now: Time) {
        let owes_word = self.floor.promises_word(self.around(now));
        self.cancel_pending_speech(false, now);
        if let Some(playback) = self.phone.playback_mut() {
            let parts = playback.interrupt(now).parts;
            self.truncate_history(&parts, now);
        }
        // Another process may be asked what follows.
        self.keep();
        let until = now + ADOPT_WITHIN;
        self.phone.lose(until, owes_word);
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
        let reason = if self.phone.is_away() {
            EndReason::PhoneLost
        } else {
            EndReason::NoStart
        };
        self.end(reason, now);
    }

    /// The caller is away for longer than a session is kept for them.
    pub(super) fn park_model(&mut self, now: Time) {
        if !self.phone.is_away() || self.model.is_lost() {
            return;
        }
        self.stop_session_timers();
        self.drop_standby();
        self.effects
            .push_back(Effect::CloseModel(self.model.current().id()));
        self.break_off_session(now);
        self.model.let_go();
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
        match self.model.current().phase() {
            Phase::Ready(_) if owes_word && !self.has_more_to_say(now) => {
                self.ask_for_answer(Some(GO_ON.to_owned()));
            }
            Phase::Ready(_) | Phase::Over => {}
            Phase::Dialling { .. } | Phase::Configuring(_) | Phase::Draining => {
                let is_parked = matches!(self.model.current().phase(), Phase::Draining);
                if owes_word {
                    self.floor.owe();
                }
                if is_parked && !self.timers.is_set(Timer::Redial) {
                    self.dial(now);
                }
            }
        }
    }

    /// The caller has said nothing since they came back.
    pub(super) fn on_return_due(&mut self, now: Time) {
        if self.floor.is_attended(self.around(now)) || self.model.is_lost() {
            return;
        }
        if self.model.is_ready() {
            self.ask_for_answer(Some(GO_ON.to_owned()));
        } else {
            self.floor.owe();
        }
    }
}
