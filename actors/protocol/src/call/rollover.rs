//! The next session: a server ends each after an hour, so the next is opened and told the conversation while the
//! present one still talks, and taken between two turns. The caller notices nothing.
//!
//! What the old session says afterwards comes from a socket this call has let go of, and is not heard.

use std::time::Duration;

use super::Call;
use super::effect::{Effect, Peer, Report};
use super::error_budget::ErrorBudget;
use super::model_leg::{label_of, wait_of};
use super::timers::Timer;
use crate::audio::payload::Payload;
use crate::model::command::{ModelCommand, Role};
use crate::model::event::{ModelError, ModelEvent, SessionInfo};
use crate::model::handover;
use crate::model::link::{CONFIGURE_TIMEOUT, Configuring, DIAL_TIMEOUT, Extent, Link, Session};
use crate::model::openai::errors::{Class, classify, close_is_fatal, refusal_is_fatal};
use crate::model::preroll::Preroll;
use crate::model::replay::DEAF;
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

/// What is known of the next session.
#[derive(Debug, Default)]
pub(super) struct Rollover {
    next: Next,
    /// When the next session is opened, and when it is taken at the latest.
    plan: Option<Plan>,
    failures: u32,
    /// Unusable messages of the next session.
    errors: ErrorBudget,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    open: Time,
    latest: Time,
}

#[derive(Debug, Default)]
enum Next {
    /// Not wanted yet, or not to be had.
    #[default]
    Absent,
    /// Its socket is being opened.
    Dialling { since: Time },
    /// Its socket is open, the session not configured.
    Configuring(Configuring),
    /// It waits for a pause in the conversation.
    Ready(Box<Waiting>),
}

#[derive(Debug)]
struct Waiting {
    session: Session,
    /// The turns it was told.
    told: u64,
    /// What the caller said since.
    recent: Preroll,
}

impl Call {
    /// A session begins: plans the one after it.
    pub(super) fn plan_next_session(&mut self, now: Time) {
        let Link::Ready(session) = &self.link else {
            return;
        };
        let life = lifetime(session.expires_at, self.setup.accepted_at, now);
        let plan = Plan {
            open: now + (life - AHEAD.min(life / 2)),
            latest: now + (life - LAST_MOMENT.min(life / 8)),
        };
        self.rollover.plan = Some(plan);
        self.rollover.failures = 0;
        self.timers.set(Timer::NextSession, plan.open);
        self.timers.set(Timer::TakeNext, plan.latest);
    }

    /// Timers after a fault in a step.
    pub(super) fn watch_next_session(&mut self, now: Time) {
        let Some(plan) = self.rollover.plan else {
            return;
        };
        if !matches!(self.link, Link::Ready(_)) {
            return;
        }
        self.timers.set(Timer::TakeNext, plan.latest);
        match &self.rollover.next {
            Next::Absent => self.timers.set(Timer::NextSession, plan.open.max(now)),
            Next::Dialling { .. } => self.timers.set(Timer::NextSession, now + DIAL_TIMEOUT),
            Next::Configuring(_) => self.timers.set(Timer::NextSession, now + CONFIGURE_TIMEOUT),
            Next::Ready(_) => {}
        }
    }

    /// It is time to open the next session, or that took too long.
    pub(super) fn on_next_session_due(&mut self, now: Time) {
        if !matches!(self.link, Link::Ready(_)) {
            return;
        }
        match &self.rollover.next {
            // A call that says goodbye needs none, unless it goes on after all.
            Next::Absent if self.closing.is_pending() => {
                self.timers.set(Timer::NextSession, now + TRY_AGAIN);
            }
            Next::Absent => {
                self.rollover.next = Next::Dialling { since: now };
                self.rollover.errors = ErrorBudget::default();
                self.timers.set(Timer::NextSession, now + DIAL_TIMEOUT);
                self.effects.push_back(Effect::DialNext);
            }
            Next::Dialling { .. } | Next::Configuring(_) => self.next_failed("timeout", false, now),
            Next::Ready(_) => {}
        }
    }

    /// Something came from the session that is not in use yet.
    pub(super) fn on_next(&mut self, event: ModelEvent, now: Time) {
        if matches!(self.rollover.next, Next::Absent) {
            self.violation(Peer::Model, "outside_session");
            return;
        }
        match event {
            ModelEvent::Opened => self.on_next_opened(now),
            ModelEvent::Refused(refusal) => {
                let result = label_of(&refusal);
                self.report_dialled(result, wait_of(&refusal));
                self.next_failed(result, refusal_is_fatal(&refusal), now);
            }
            ModelEvent::SessionCreated(info) => {
                if let Next::Configuring(configuring) = &mut self.rollover.next {
                    configuring.session = info.id;
                }
            }
            ModelEvent::SessionConfigured(info) => self.on_next_configured(&info, now),
            ModelEvent::Error(error) => self.on_next_error(*error, now),
            ModelEvent::Rejected(fault) => {
                self.violation(Peer::Model, fault.label());
                self.next_failed("closed", false, now);
            }
            ModelEvent::Closed { code, .. } => {
                self.next_failed("closed", code.is_some_and(close_is_fatal), now);
            }
            ModelEvent::Unresponsive => self.next_failed("stuck", false, now),
            ModelEvent::RateLimits(limits) => self.on_rate_limits(&limits),
            // The next session has not begun; its model is told nothing it does not find out.
            ModelEvent::Ignored | ModelEvent::ToolsUnlisted => {}
            ModelEvent::Unknown => self.violation(Peer::Model, "unknown_event"),
            ModelEvent::Unusable(error) => {
                self.violation(Peer::Model, error.label());
                if self.rollover.errors.record(now) {
                    self.violation(Peer::Model, "too_many_bad_messages");
                    self.next_failed("bad_messages", false, now);
                }
            }
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

    fn on_next_opened(&mut self, now: Time) {
        let (Next::Dialling { since }, Link::Ready(present)) = (&self.rollover.next, &self.link)
        else {
            self.violation(Peer::Model, "opened_again");
            return;
        };
        // The next session would refuse what the present one has refused.
        let (dialled, extent) = (*since, present.extent);
        self.report_dialled("ok", None);
        self.configure_next(dialled, None, extent, now);
    }

    fn configure_next(
        &mut self,
        dialled: Time,
        session: Option<crate::ids::ModelId>,
        extent: Extent,
        now: Time,
    ) {
        let setup = extent.of(self.session_setup());
        let left_out = self.left_out.len();
        let configuring = Configuring::new(self.sessions + 1, dialled, session, extent, left_out);
        let request = configuring.request.clone();
        self.rollover.next = Next::Configuring(configuring);
        self.timers.set(Timer::NextSession, now + CONFIGURE_TIMEOUT);
        self.ask_next(ModelCommand::Configure {
            request,
            setup: Box::new(setup),
        });
    }

    fn on_next_configured(&mut self, info: &SessionInfo, now: Time) {
        let asked = self.turn_detection();
        let Next::Configuring(configuring) = &mut self.rollover.next else {
            return;
        };
        let Some(session) = configuring.taken(info, asked.as_ref()) else {
            self.violation(Peer::Model, "wrong_format");
            self.ask_next_for_less(None, now);
            return;
        };
        let told = self.conversation.settled();
        let text = handover::briefing(self.conversation.turns_before(told));
        self.ask_next(ModelCommand::Tell {
            role: Role::System,
            text,
        });
        self.timers.stop(Timer::NextSession);
        self.rollover.next = Next::Ready(Box::new(Waiting {
            session,
            told,
            recent: Preroll::default(),
        }));
        // `settle_down` takes it when nobody speaks.
    }

    fn ask_next_for_less(&mut self, error: Option<&ModelError>, now: Time) {
        let Next::Configuring(configuring) = &mut self.rollover.next else {
            return;
        };
        let (dialled, session) = (configuring.dialled, configuring.session.take());
        let extent = configuring.extent;
        match self.less_than(extent, error) {
            Some(extent) => self.configure_next(dialled, session, extent, now),
            None => self.next_failed("configuration_refused", true, now),
        }
    }

    fn on_next_error(&mut self, error: ModelError, now: Time) {
        let class = classify(&error);
        self.report(Report::ModelComplains(Box::new(error.clone())));
        match class {
            Class::Configuration => self.ask_next_for_less(Some(&error), now),
            Class::SessionOver => self.next_failed("session_over", false, now),
            Class::Fatal => self.next_failed("refused", true, now),
            Class::Benign | Class::AlreadyResponding | Class::Transient(_) => {}
        }
    }

    /// The next session is not to be had this time. Without one the end of the present is a loss like any other.
    fn next_failed(&mut self, why: &'static str, fatal: bool, now: Time) {
        self.drop_next();
        self.report(Report::RolloverFailed { why });
        if !fatal {
            self.rollover.failures = self.rollover.failures.saturating_add(1);
            let wait = TRY_AGAIN * self.rollover.failures.min(6);
            let left = self
                .rollover
                .plan
                .map_or(wait, |plan| plan.latest.since(now));
            // Whatever is left of a session that lives only for seconds is used, too.
            self.timers
                .set(Timer::NextSession, now + wait.min(left / 4).max(AT_LEAST));
        }
    }

    /// Lets go of the next session.
    pub(super) fn drop_next(&mut self) {
        self.timers.stop(Timer::NextSession);
        if !matches!(self.rollover.next, Next::Absent) {
            self.rollover.next = Next::Absent;
            self.effects.push_back(Effect::CloseNext);
        }
    }

    fn ask_next(&mut self, command: ModelCommand) {
        self.effects.push_back(Effect::ToNext(command));
    }

    /// What the caller says while the next session waits may be its to answer.
    pub(super) fn keep_for_next(&mut self, payload: &Payload) {
        if let Next::Ready(waiting) = &mut self.rollover.next {
            waiting.recent.hold(payload);
        }
    }

    /// After every event but a frame: takes the next session if nobody speaks and nothing is under way.
    pub(super) fn take_next_between_turns(&mut self, now: Time) {
        let waits = matches!(self.rollover.next, Next::Ready(_));
        let is_pause = waits
            && self.floor.is_pause(self.around(now))
            && self.keys.is_empty()
            && self.preroll.is_empty()
            && !self.has_answers_to_hand_in();
        if is_pause {
            self.take_next("ok", now);
        }
    }

    /// The present session is about to be ended by its server.
    pub(super) fn on_take_next_due(&mut self, now: Time) {
        if matches!(self.link, Link::Ready(_)) {
            self.take_next("forced", now);
        }
    }

    /// Goes on with the next session, if it waits; false if there is none.
    pub(super) fn take_next(&mut self, result: &'static str, now: Time) -> bool {
        if !matches!(self.rollover.next, Next::Ready(_)) {
            return false;
        }
        let Next::Ready(waiting) = std::mem::take(&mut self.rollover.next) else {
            return false;
        };
        let Waiting {
            session,
            told,
            mut recent,
        } = *waiting;
        // A caller who speaks began within what was kept of their audio.
        if !self.floor.caller_speaks() {
            recent.keep_last(OVERLAP_MS);
        }
        self.break_off_session(now);
        self.effects.push_back(Effect::TakeNext);
        let id = session.id.clone();
        self.begin_session(session, now);
        self.report(Report::RolledOver {
            session: id,
            result,
        });
        let since = self.conversation.turns_after(told);
        if let Some(text) = handover::rest(since, self.runs.memory.records()) {
            self.ask_model(ModelCommand::Tell {
                role: Role::System,
                text,
            });
            self.tools_briefed();
        }
        self.tell_notes();
        if self.floor.take_unheard() {
            self.ask_model(ModelCommand::Tell {
                role: Role::System,
                text: DEAF.to_owned(),
            });
        }
        if self.floor.owes_answer() {
            self.ask_for_answer(None);
        }
        if self.preroll.is_empty() {
            self.preroll = recent;
        }
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
