//! Sessions that begin and end: what a new one is told, and what is kept of one that is lost.

use std::time::Duration;

use super::Role;
use crate::call::effect::{Effect, Report};
use crate::call::outcome::EndReason;
use crate::call::timers::Timer;
use crate::call::{Call, Greeting};
use crate::model::command::{ModelCommand, Role as Speaker};
use crate::model::event::{ModelClose, Refusal};
use crate::model::replay::{
    briefing, briefing_after_deafness, briefing_after_silence, briefing_after_transfer,
};
use crate::model::session::Phase;
use crate::time::Time;

impl Call {
    /// The session is ready that was waited for.
    pub(super) fn on_ready(&mut self, dialled: Time, now: Time) {
        self.timers.stop(Timer::Configure);
        self.model.up();
        let again = self.model.had_one();
        self.begin_session(now);
        self.report(Report::ModelReady {
            session: self.model.name(),
            after_ms: now.millis_since(dialled),
            again,
        });
        let agent = self.setup.agent.clone();
        let clip_played = matches!(agent.greeting, Greeting::Clip { .. })
            && self.phone.stream().is_some()
            && self.is_heard_here(now);
        let unheard = self.floor.take_unheard();
        let has_past = again || self.resumes() > 0;
        if has_past && (self.conversation.count() > 0 || !self.tools.runs.memory.is_empty()) {
            let text = if unheard {
                briefing_after_deafness(&self.conversation, &self.tools.runs.memory)
            } else if again {
                briefing(&self.conversation, &self.tools.runs.memory)
            } else if self.is_back_from_transfer() {
                briefing_after_transfer(&self.conversation, &self.tools.runs.memory)
            } else {
                briefing_after_silence(&self.conversation, &self.tools.runs.memory)
            };
            self.ask_model(ModelCommand::Tell {
                role: Speaker::System,
                text,
            });
            self.tools_briefed();
        } else if let (Greeting::Clip { text, .. }, true) = (&agent.greeting, clip_played) {
            self.tell_of_clip(text);
        }
        self.tell_notes();
        if again {
            self.tally.reconnects += 1;
        }
        let goes_on = self.go_on(now);
        match &agent.greeting {
            Greeting::Model { .. } | Greeting::Wait | Greeting::Clip { .. } if goes_on => {}
            Greeting::Model { instructions } if !self.agent_was_heard(now) => {
                self.ask_for_answer(Some(instructions.clone()));
            }
            Greeting::Model { .. } | Greeting::Wait | Greeting::Clip { .. } => {
                if again && self.floor.owes_answer() {
                    self.ask_for_answer(None);
                }
            }
        }
        self.catch_up(now);
    }

    /// There is a session to talk to, the first or another one.
    pub(in crate::call) fn begin_session(&mut self, now: Time) {
        self.model.begin();
        let session = self.model.ready();
        if session.is_some_and(|session| session.guard.is_transcoding()) {
            self.report(Report::Transcoding);
        }
        self.floor.begin_session();
        self.forget_tools();
        self.timers.stop(Timer::Answer);
        if !self.keys.is_empty() {
            self.timers.set(Timer::Keys, now);
        }
        self.plan_next_session(now);
    }

    /// The model learns what was said in its name, where it listens; whichever of clip and session comes last tells it.
    pub(in crate::call) fn tell_of_clip(&mut self, text: &str) {
        if self.model.is_ready() {
            let (role, text) = (Speaker::Assistant, text.to_owned());
            self.ask_model(ModelCommand::Tell { role, text });
        }
    }

    /// Whether the caller has heard anything of the agent, or is about to: audio that is on its way needs no model.
    fn agent_was_heard(&self, now: Time) -> bool {
        self.is_heard_here(now) || self.conversation.agent_was_heard()
    }

    /// The same, on this media socket.
    pub(in crate::call) fn is_heard_here(&self, now: Time) -> bool {
        let under_way = self
            .phone
            .playback()
            .is_some_and(|playback| playback.is_unheard(now) && !self.is_filled());
        under_way || self.agent_heard_bytes(now) > 0
    }

    pub(super) fn on_model_closed(&mut self, why: ModelClose, quiet: Duration, now: Time) {
        match self.model.current().phase() {
            Phase::Draining | Phase::Over => {}
            Phase::Dialling { .. } => self.on_refused(&Refusal::Network, now),
            Phase::Configuring(_) | Phase::Ready(_) => {
                // A path that breaks often swallows everything for a while before anybody is told.
                let is_missed = !self.floor.caller_speaks() && self.phone.outlasts(quiet, now);
                if is_missed && self.model.is_ready() {
                    self.floor.nobody_heard();
                }
                self.lose_model(why.label(), why.is_fatal(), now);
            }
        }
    }

    /// The session gave no sign of life for long: whatever the caller said meanwhile, nobody has heard it.
    pub(super) fn on_model_stuck(&mut self, now: Time) {
        match self.model.current().phase() {
            Phase::Draining | Phase::Over => {}
            Phase::Dialling { .. } => self.on_refused(&Refusal::Timeout, now),
            Phase::Configuring(_) => self.lose_model("stuck", false, now),
            Phase::Ready(_) => {
                self.floor.nobody_heard();
                self.lose_model("stuck", false, now);
            }
        }
    }

    /// A session is of no use: another takes its place in time, if it was to wait; else the call is without one.
    pub(in crate::call) fn lose_session(
        &mut self,
        role: Role,
        why: &'static str,
        fatal: bool,
        now: Time,
    ) {
        match role {
            Role::Current => self.lose_model(why, fatal, now),
            Role::Standby => self.standby_failed(why, fatal, now),
        }
    }

    /// The session in use is gone. Audio that is already here goes on playing.
    pub(in crate::call) fn lose_model(&mut self, why: &'static str, fatal: bool, now: Time) {
        self.lose_model_until(why, fatal, None, now);
    }

    /// Nothing is awaited of the session in use any more, nor of a dial.
    pub(in crate::call) fn stop_session_timers(&mut self) {
        for timer in [
            Timer::Dial,
            Timer::Configure,
            Timer::Redial,
            Timer::Retry,
            Timer::CatchUp,
            Timer::TakeNext,
        ] {
            self.timers.stop(timer);
        }
    }

    /// The same, and the server named a time before which it wants to hear of nobody.
    pub(super) fn lose_model_until(
        &mut self,
        why: &'static str,
        fatal: bool,
        named: Option<Duration>,
        now: Time,
    ) {
        self.stop_session_timers();
        if !fatal && self.take_standby("rescued", now) {
            return;
        }
        self.drop_standby();
        self.effects
            .push_back(Effect::CloseModel(self.model.current().id()));
        self.floor.lost_session();
        self.break_off_session(now);
        let wait = if fatal {
            None
        } else {
            self.model.failed(named, now)
        };
        self.report(Report::ModelLost {
            why,
            redial: wait.is_some(),
        });
        match wait {
            Some(wait) => {
                self.model.let_go();
                self.timers.set(Timer::Redial, now + wait);
            }
            None => {
                self.model.give_up();
                if self.closing.is_pending() {
                    // What is left of the farewell needs no model.
                    return;
                }
                let reason = if fatal {
                    EndReason::ModelRefused
                } else {
                    EndReason::ModelLost
                };
                self.end(reason, now);
            }
        }
    }

    /// Nothing more is heard of the session in use: what it was to answer is owed, what it said so far is played.
    pub(in crate::call) fn break_off_session(&mut self, now: Time) {
        self.floor.break_off(self.agent_was_heard(now));
        self.timers.stop(Timer::Retry);
        self.forget_tools();
        self.sayings.ask_again();
        self.closing.session_lost();
        if let Some(playback) = self.phone.playback_mut() {
            playback.break_off();
            self.floor.still_playing(playback.responses().cloned());
        }
        self.pump(now);
    }
}
