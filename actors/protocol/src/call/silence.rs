//! Silence, length, and callers who are not there.

use std::time::Duration;

use super::Call;
use super::closing::{FAREWELL, Farewell, Stay};
use super::consult::{REASSURE_EVERY, STILL_CALLING};
use super::outcome::EndReason;
use super::timers::Timer;
use crate::model::command::{ModelCommand, Role};
use crate::model::link::Link;
use crate::time::Time;

/// So long before the end of the longest call the model is told, and asked, to come to an end.
const WRAP_UP: Duration = Duration::from_secs(45);

/// Calls that may last no longer than this are not wrapped up.
const SHORT_CALL: Duration = Duration::from_secs(90);

const END_IS_NEAR: &str =
    "This call must end in less than a minute. Come to an end now and say goodbye.";

const SAY_END_IS_NEAR: &str = "Tell the caller in one short sentence that this call must end in less than a minute, \
                               and bring it to an end.";

impl Call {
    /// Sets the timers of a call's whole length.
    pub(super) fn watch_length(&mut self) {
        let longest = self.setup.max_length;
        self.timers.set(Timer::Length, Time::ZERO + longest);
        if longest >= SHORT_CALL {
            self.timers
                .set(Timer::WrapUp, Time::ZERO + (longest - WRAP_UP));
        }
        if longest > FAREWELL * 2 {
            self.timers
                .set(Timer::Goodbye, Time::ZERO + (longest - FAREWELL));
        }
    }

    /// The longest call is near its end: the model is told, and asked to say so unless the caller speaks or is owed an answer.
    pub(super) fn on_wrap_up(&mut self) {
        if !matches!(self.link, Link::Ready(_)) || self.closing.is_pending() {
            return;
        }
        self.ask_model(ModelCommand::Tell {
            role: Role::System,
            text: END_IS_NEAR.to_owned(),
        });
        if !self.floor.caller_speaks() && !self.floor.owes_answer() {
            self.ask_for_answer(Some(SAY_END_IS_NEAR.to_owned()));
        }
    }

    /// There is just time for a goodbye.
    pub(super) fn on_goodbye(&mut self, now: Time) {
        self.leave(EndReason::TooLong, Farewell::Asked, now);
    }

    pub(super) fn on_too_long(&mut self, now: Time) {
        // A call that was about to end anyway does so for its own reason.
        self.finish_leaving(now);
        self.end(EndReason::TooLong, now);
    }

    /// After every event but a frame: is the farewell heard? Does the line fall silent?
    pub(super) fn after_step(&mut self, now: Time) {
        if self.is_over() {
            return;
        }
        self.say_next(now);
        self.tell_news(now);
        self.release_greeting(now);
        self.watch_wait(now);
        self.take_next_between_turns(now);
        if self.closing.is_pending() {
            self.timers.stop(Timer::Silence);
            self.timers.stop(Timer::ToolFiller);
            self.leave_when_heard(now);
            return;
        }
        let quiet = self.floor.is_quiet(self.around(now))
            && self.state.stream().is_some()
            && self.keys.is_empty();
        self.watch_tool_filler(quiet, now);
        if !quiet || self.runs.awaits() {
            self.timers.stop(Timer::Silence);
            return;
        }
        if let Some(after) = self.longest_silence()
            && !self.timers.is_set(Timer::Silence)
        {
            self.timers.set(Timer::Silence, now + after);
        }
    }

    /// How long it may be quiet before the agent says something.
    fn longest_silence(&self) -> Option<Duration> {
        if self.consult_legs.now.is_some() {
            return Some(REASSURE_EVERY);
        }
        self.setup
            .agent
            .silence
            .as_ref()
            .map(|silence| silence.after)
    }

    /// Nobody has said anything for a while.
    pub(super) fn on_silence(&mut self, now: Time) {
        if self.consult_legs.now.is_some() {
            // The caller was asked to wait, and does.
            self.ask_for_answer(Some(STILL_CALLING.to_owned()));
            return;
        }
        let agent = self.setup.agent.clone();
        let Some(silence) = &agent.silence else {
            return;
        };
        if self.asked_if_there >= silence.attempts {
            self.leave(EndReason::CallerSilent, Farewell::Asked, now);
            return;
        }
        self.asked_if_there += 1;
        self.ask_for_answer(Some(silence.instructions.clone()));
    }

    /// The caller took a turn that means something.
    pub(super) fn on_real_turn(&mut self, now: Time) {
        self.asked_if_there = 0;
        self.watch_turns(now);
        self.stay(Stay::SomebodyIsThere);
    }

    /// Hold music and noise keep no call open for ever: a turn must come in time.
    pub(super) fn watch_turns(&mut self, now: Time) {
        self.timers
            .set(Timer::NoTurn, now + self.setup.agent.longest_monologue);
    }

    pub(super) fn on_no_turn(&mut self, now: Time) {
        if self.closing.is_pending() {
            // If that goodbye is called off, this one is due.
            self.timers.set(Timer::NoTurn, now + FAREWELL);
            return;
        }
        self.leave(EndReason::NobodyThere, Farewell::Asked, now);
    }
}
