//! How a session comes to be: dialled, opened, configured, asked for less. The same for each; what becomes of the call when
//! it fails depends on what the session is for.

use std::time::Duration;

use super::Role;
use crate::call::Call;
use crate::call::effect::{Effect, Peer, Report};
use crate::call::timers::Timer;
use crate::model::command::{ModelCommand, SessionSetup, TurnDetection};
use crate::model::config_part::Part;
use crate::model::event::{ModelError, Refusal, SessionInfo};
use crate::model::session::{CONFIGURE_TIMEOUT, Configured, DIAL_TIMEOUT, Extent};
use crate::time::Time;

/// The outcome of a dial, in metrics and logs.
pub(super) const fn label_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Status(status) | Refusal::Later { status, .. } => match *status {
            401 | 403 => "unauthorized",
            429 => "rate_limited",
            500..=599 => "server_error",
            _ => "refused",
        },
        Refusal::Timeout => "timeout",
        Refusal::Network => "network",
    }
}

/// How long the server wants to be left alone.
pub(super) const fn wait_of(refusal: &Refusal) -> Option<Duration> {
    match refusal {
        Refusal::Later { wait, .. } => Some(*wait),
        Refusal::Status(_) | Refusal::Timeout | Refusal::Network => None,
    }
}

impl Call {
    /// Dials a session, to be used as soon as it is ready.
    pub(in crate::call) fn dial(&mut self, now: Time) {
        let (id, give_up) = self.model.dial(now);
        self.timers
            .set(Timer::Dial, give_up.min(now + DIAL_TIMEOUT));
        self.effects.push_back(Effect::DialModel(id));
    }

    pub(super) fn on_opened(&mut self, role: Role, now: Time) {
        let session = self.model.session(role);
        let is_dialling = session.is_some_and(|session| session.dialling_since().is_some());
        // The next session would refuse what the present one has refused.
        let extent = match role {
            Role::Current => Some(Extent::All),
            Role::Standby => self.model.ready().map(|present| present.extent),
        };
        let Some(extent) = extent.filter(|_| is_dialling) else {
            self.violation(Peer::Model, "opened_again");
            return;
        };
        if role == Role::Current {
            self.timers.stop(Timer::Dial);
        }
        self.report_dialled("ok", None);
        // Ahead of any audio: caller audio read as 24 kHz PCM would start a conversation with a stranger.
        self.configure(role, extent, now);
    }

    /// What sessions of this call are asked for: the agent's wish, without what was refused.
    pub(in crate::call) fn session_setup(&self) -> SessionSetup {
        let mut wish = self.setup.agent.session.clone();
        for part in self.model.left_out() {
            part.leave_out(&mut wish);
        }
        if self.holds_back() {
            let options = wish.options.as_mut();
            if let Some(turns) = options.and_then(|options| options.turns.as_mut()) {
                turns.never_interrupt();
            }
        }
        wish
    }

    fn configure(&mut self, role: Role, extent: Extent, now: Time) {
        let setup = Box::new(extent.of(self.session_setup()));
        let Some((id, request)) = self.model.configure(role, extent) else {
            return;
        };
        let command = ModelCommand::Configure { request, setup };
        self.effects.push_back(Effect::ToModel(id, command));
        let due = now + CONFIGURE_TIMEOUT;
        match role {
            Role::Current => {
                let give_up = self.model.wait_until(now);
                self.timers.set(Timer::Configure, give_up.min(due));
            }
            Role::Standby => self.timers.set(Timer::NextSession, due),
        }
    }

    pub(super) fn on_created(&mut self, role: Role, info: SessionInfo) {
        let session = self.model.session_mut(role);
        let is_news = session.is_some_and(|session| session.created(info));
        if !is_news && role == Role::Current {
            self.violation(Peer::Model, "session_created_again");
        }
    }

    pub(super) fn on_configured(&mut self, role: Role, info: &SessionInfo, now: Time) {
        let mut asked = self.turn_detection();
        if self.holds_back()
            && let Some(turns) = &mut asked
        {
            turns.never_interrupt();
        }
        let Some(session) = self.model.session_mut(role) else {
            return;
        };
        match (session.configured(info, asked.as_ref()), role) {
            (Configured::Ready(dialled), Role::Current) => self.on_ready(dialled, now),
            (Configured::Ready(_), Role::Standby) => self.on_standby_ready(),
            (Configured::NotTaken, _) => {
                self.violation(Peer::Model, "wrong_format");
                self.ask_for_less(role, None, now);
            }
            (Configured::Again, _) => {}
            (Configured::Changed, Role::Current) => {
                self.violation(Peer::Model, "wrong_format");
                self.lose_model("wrong_format", false, now);
            }
            (Configured::Early, Role::Current) => {
                self.violation(Peer::Model, "configured_early");
            }
            // It is asked for nothing while it waits, and its audio would tell.
            (Configured::Changed | Configured::Early, Role::Standby) => {}
        }
    }

    /// The wish was refused, or not followed: ask for less.
    pub(in crate::call) fn ask_for_less(
        &mut self,
        role: Role,
        error: Option<&ModelError>,
        now: Time,
    ) {
        let session = self.model.session(role);
        let Some(extent) = session.and_then(|session| session.asked_for()) else {
            return;
        };
        match self.less_than(extent, error) {
            Some(extent) => self.configure(role, extent, now),
            None => self.lose_session(role, "configuration_refused", true, now),
        }
    }

    /// How much a session is asked for that refused so much: the same without the part its error names, else less.
    fn less_than(&mut self, extent: Extent, error: Option<&ModelError>) -> Option<Extent> {
        let wish = self.session_setup();
        let less = extent.less(&wish);
        let asked = extent.of(wish);
        let named = error.and_then(|error| Part::named_by(&error.names, &asked));
        let Some(part) = named else {
            return less;
        };
        let (kind, name) = (part.kind(), part.name());
        if !self.model.leave_out(part) {
            return less;
        }
        self.violation(Peer::Model, kind);
        self.report(Report::LeftOut { part: name });
        Some(extent)
    }

    /// How the caller's turns are asked to be found.
    pub(in crate::call) fn turn_detection(&self) -> Option<TurnDetection> {
        let options = self.setup.agent.session.options.as_ref()?;
        let is_refused = self.model.is_left_out(&Part::Turns);
        options.turns.clone().filter(|_| !is_refused)
    }

    pub(in crate::call) fn on_dial_timeout(&mut self, now: Time) {
        self.on_refused(&Refusal::Timeout, now);
    }

    pub(in crate::call) fn on_configure_timeout(&mut self, now: Time) {
        self.lose_model("configure_timeout", false, now);
    }

    /// The session to be used could not be dialled.
    pub(super) fn on_refused(&mut self, refusal: &Refusal, now: Time) {
        let result = label_of(refusal);
        if self.model.current().dialling_since().is_none() {
            self.violation(Peer::Model, "refused_late");
            return;
        }
        self.timers.stop(Timer::Dial);
        let named = wait_of(refusal);
        self.report_dialled(result, named);
        self.lose_model_until(result, refusal.is_fatal(), named, now);
    }

    pub(in crate::call) fn report_dialled(
        &mut self,
        result: &'static str,
        named: Option<Duration>,
    ) {
        let not_before_ms = named.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.report(Report::ModelDialled {
            result,
            not_before_ms,
        });
    }
}
