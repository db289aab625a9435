//! The next session: a server ends each after an hour, so the next is opened and told the conversation while the
//! present one still talks, and taken between two turns. The caller notices nothing.
//!
//! What the old session says afterwards comes from a socket this call has let go of, and is not heard.

use std::time::Duration;

use super::handshake::{label_of, wait_of};
use super::{Role, Taken};
use crate::call::Call;
use crate::call::effect::{Effect, Peer, Report};
use crate::call::timers::Timer;
use crate::model::command::{ModelCommand, Role as Speaker};
use crate::model::event::{ErrorClass, ModelError, ModelEvent};
use crate::model::handover;
use crate::model::replay::DEAF;
use crate::model::session::{CONFIGURE_TIMEOUT, DIAL_TIMEOUT, Phase};
use crate::time::Time;

/// A session lives this long where its server does not say (OpenAI's do, and say so).
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// So long before a session's end the next one is opened, or in the middle of a shorter life.
const AHEAD: Duration = Duration::from_secs(5 * 60);

/// So long before a session's end the next one is taken even if somebody speaks, or in the last eighth of a shorter life.
const LAST_MOMENT: Duration = Duration::from_secs(15);

/// Wait before another attempt to open the next session; there is time for some.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Shortest wait before another attempt: the last seconds of a session are no reason to storm its server.
const AT_LEAST: Duration = Duration::from_secs(1);

/// The caller's last words go to the next session, too: they may have begun to speak a moment before it was taken.
const OVERLAP_MS: u64 = 500;

/// When the next session is opened, and when it is taken at the latest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    open: Time,
    latest: Time,
}

impl Plan {
    /// For a session that has so long to live from now on.
    fn of(life: Duration, now: Time) -> Self {
        Self {
            open: now + (life - AHEAD.min(life / 2)),
            latest: now + (life - LAST_MOMENT.min(life / 8)),
        }
    }

    /// When the next session is tried again after so many failures. Whatever is left of a session that lives only for
    /// seconds is used, too.
    pub(super) fn again(self, failures: u32, now: Time) -> Time {
        let wait = TRY_AGAIN * failures.min(6);
        let left = self.latest.since(now);
        now + wait.min(left / 4).max(AT_LEAST)
    }
}

impl Call {
    /// A session begins: plans the one after it.
    pub(super) fn plan_next_session(&mut self, now: Time) {
        let Some(session) = self.model.ready() else {
            return;
        };
        let life = lifetime(session.expires_at, self.setup.accepted_at, now);
        let plan = Plan::of(life, now);
        self.model.plan(plan);
        self.timers.set(Timer::NextSession, plan.open);
        self.timers.set(Timer::TakeNext, plan.latest);
    }

    /// Timers after a fault in a step.
    pub(in crate::call) fn watch_next_session(&mut self, now: Time) {
        let Some(plan) = self.model.planned().filter(|_| self.model.is_ready()) else {
            return;
        };
        self.timers.set(Timer::TakeNext, plan.latest);
        let due = match self.model.session(Role::Standby).map(|next| next.phase()) {
            None => plan.open.max(now),
            Some(Phase::Dialling { .. }) => now + DIAL_TIMEOUT,
            Some(Phase::Configuring(_)) => now + CONFIGURE_TIMEOUT,
            Some(Phase::Ready(_) | Phase::Draining | Phase::Over) => return,
        };
        self.timers.set(Timer::NextSession, due);
    }

    /// It is time to open the next session, or that took too long.
    pub(in crate::call) fn on_next_session_due(&mut self, now: Time) {
        if !self.model.is_ready() {
            return;
        }
        match self.model.session(Role::Standby).map(|next| next.phase()) {
            // A call that says goodbye needs none, unless it goes on after all.
            None if self.closing.is_pending() => {
                self.timers.set(Timer::NextSession, now + TRY_AGAIN);
            }
            None => {
                let id = self.model.dial_standby(now);
                self.timers.set(Timer::NextSession, now + DIAL_TIMEOUT);
                self.effects.push_back(Effect::DialModel(id));
            }
            Some(Phase::Dialling { .. } | Phase::Configuring(_)) => {
                self.standby_failed("timeout", false, now);
            }
            Some(Phase::Ready(_) | Phase::Draining | Phase::Over) => {}
        }
    }

    /// Something came from the session that is not in use yet.
    pub(super) fn on_standby(&mut self, event: ModelEvent, now: Time) {
        let role = Role::Standby;
        match event {
            ModelEvent::Opened => self.on_opened(role, now),
            ModelEvent::Refused(refusal) => {
                let result = label_of(&refusal);
                self.report_dialled(result, wait_of(&refusal));
                self.standby_failed(result, refusal.is_fatal(), now);
            }
            ModelEvent::SessionCreated(info) => self.on_created(role, info),
            ModelEvent::SessionConfigured(info) => self.on_configured(role, &info, now),
            ModelEvent::Error(error) => self.on_standby_error(*error, now),
            ModelEvent::Rejected(fault) => {
                self.violation(Peer::Model, fault.label());
                self.standby_failed("closed", false, now);
            }
            ModelEvent::Closed { why, .. } => {
                self.standby_failed("closed", why.is_fatal(), now);
            }
            ModelEvent::Unresponsive => self.standby_failed("stuck", false, now),
            ModelEvent::RateLimits(limits) => self.on_rate_limits(&limits),
            // The next session has not begun; its model is told nothing it does not find out.
            ModelEvent::Ignored | ModelEvent::ToolsUnlisted => {}
            ModelEvent::Unknown => self.violation(Peer::Model, "unknown_event"),
            ModelEvent::Unusable(error) => self.bad_from_model(role, error, now),
            // It hears nobody yet, and has nothing to answer.
            ModelEvent::SpeechStarted { .. }
            | ModelEvent::SpeechStopped { .. }
            | ModelEvent::CallerTurn { .. }
            | ModelEvent::CallerTranscript { .. }
            | ModelEvent::ResponseStarted { .. }
            | ModelEvent::ItemStarted { .. }
            | ModelEvent::ToolArguments { .. }
            | ModelEvent::Audio { .. }
            | ModelEvent::AudioDone { .. }
            | ModelEvent::AgentTranscriptDelta { .. }
            | ModelEvent::AgentSaid { .. }
            | ModelEvent::ItemDone { .. }
            | ModelEvent::ResponseDone(_) => self.violation(Peer::Model, "outside_session"),
        }
    }

    /// The next session is ready, and is told the conversation. `after_step` takes it when nobody speaks.
    pub(super) fn on_standby_ready(&mut self) {
        let told = self.conversation.settled();
        let text = handover::briefing(self.conversation.turns_before(told));
        if let Some(id) = self.model.session(Role::Standby).map(|next| next.id()) {
            let role = Speaker::System;
            let command = ModelCommand::Tell { role, text };
            self.effects.push_back(Effect::ToModel(id, command));
        }
        self.timers.stop(Timer::NextSession);
        self.model.told_standby(told);
    }

    fn on_standby_error(&mut self, error: ModelError, now: Time) {
        let class = error.class;
        self.report(Report::ModelComplains(Box::new(error.clone())));
        match class {
            ErrorClass::Configuration => self.ask_for_less(Role::Standby, Some(&error), now),
            ErrorClass::SessionOver => self.standby_failed("session_over", false, now),
            ErrorClass::Fatal => self.standby_failed("refused", true, now),
            ErrorClass::Benign | ErrorClass::AlreadyResponding | ErrorClass::Transient(_) => {}
        }
    }

    /// The next session is not to be had this time. Without one the end of the present is a loss like any other.
    pub(super) fn standby_failed(&mut self, why: &'static str, fatal: bool, now: Time) {
        self.drop_standby();
        self.report(Report::RolloverFailed { why });
        if !fatal {
            let due = self.model.try_again(now);
            self.timers.set_or_stop(Timer::NextSession, due);
        }
    }

    /// Lets go of the next session.
    pub(in crate::call) fn drop_standby(&mut self) {
        self.timers.stop(Timer::NextSession);
        if let Some(id) = self.model.drop_standby() {
            self.effects.push_back(Effect::CloseModel(id));
        }
    }

    /// After every event but a frame: takes the next session if nobody speaks and nothing is under way.
    pub(in crate::call) fn take_next_between_turns(&mut self, now: Time) {
        let is_pause = self.model.has_next()
            && self.floor.is_pause(self.around(now))
            && self.keys.is_empty()
            && self.model.is_caught_up()
            && !self.has_answers_to_hand_in();
        if is_pause {
            self.take_standby("ok", now);
        }
    }

    /// The present session is about to be ended by its server.
    pub(in crate::call) fn on_take_next_due(&mut self, now: Time) {
        if self.model.is_ready() {
            self.take_standby("forced", now);
        }
    }

    /// Goes on with the next session, if it waits; false if there is none.
    pub(super) fn take_standby(&mut self, result: &'static str, now: Time) -> bool {
        if !self.model.has_next() {
            return false;
        }
        let caller_speaks = self.floor.caller_speaks();
        self.break_off_session(now);
        let Some(Taken {
            old,
            told,
            mut recent,
        }) = self.model.take_standby()
        else {
            return false;
        };
        // A caller who speaks began within what was kept of their audio.
        if !caller_speaks {
            recent.keep_last(OVERLAP_MS);
        }
        self.effects.push_back(Effect::CloseModel(old));
        self.begin_session(now);
        self.report(Report::RolledOver {
            session: self.model.name(),
            result,
        });
        let since = self.conversation.turns_after(told);
        if let Some(text) = handover::rest(since, self.tools.runs.memory.records()) {
            self.ask_model(ModelCommand::Tell {
                role: Speaker::System,
                text,
            });
            self.tools_briefed();
        }
        self.tell_notes();
        if self.floor.take_unheard() {
            self.ask_model(ModelCommand::Tell {
                role: Speaker::System,
                text: DEAF.to_owned(),
            });
        }
        if self.floor.owes_answer() {
            self.ask_for_answer(None);
        }
        self.model.hand_over(recent);
        self.catch_up(now);
        true
    }
}

/// How long a session has to live: as its server says, if that can be believed.
fn lifetime(expires_at: Option<u64>, accepted_at: Option<u64>, now: Time) -> Duration {
    let (Some(expires_at), Some(accepted_at)) = (expires_at, accepted_at) else {
        return LIFETIME;
    };
    let left_ms = (expires_at.saturating_mul(1_000)).saturating_sub(accepted_at + now.as_millis());
    // Clocks may differ by more than a session lasts; then none of them is asked.
    match left_ms {
        0 | 86_400_000.. => LIFETIME,
        left_ms => Duration::from_millis(left_ms),
    }
}
