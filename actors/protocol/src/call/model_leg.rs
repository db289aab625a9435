//! The model leg: what the realtime session's events mean for the call.

use std::time::Duration;

use super::effect::{Effect, Peer, Report};
use super::error_budget::ErrorBudget;
use super::outcome::EndReason;
use super::timers::Timer;
use super::{Call, Greeting};
use crate::ids::{ModelId, PartKey};
use crate::model::command::{ModelCommand, Role, SessionSetup, TurnDetection};
use crate::model::event::{
    Formats, ItemDone, ItemKind, ModelError, ModelEvent, RateLimit, Refusal, SessionInfo,
};
use crate::model::link::{CONFIGURE_TIMEOUT, Configuring, DIAL_TIMEOUT, Extent, Link, Session};
use crate::model::openai::errors::{Class, classify, close_is_fatal, refusal_is_fatal};
use crate::model::openai::refused::Part;
use crate::model::replay::{
    briefing, briefing_after_deafness, briefing_after_silence, briefing_after_transfer,
};
use crate::time::Time;

/// Parts of a configuration left out one by one; a server that refuses more is asked for the least.
const MOST_LEFT_OUT: usize = 8;

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
    pub(super) fn on_model(&mut self, event: ModelEvent, now: Time) {
        if self.is_over() {
            // The socket is being closed; what it still says is late.
            return;
        }
        if !self.link.may_bring(&event) {
            // Left over from a socket that was given up: what it says must neither be heard nor answered.
            self.violation(Peer::Model, "outside_session");
            return;
        }
        match event {
            ModelEvent::Audio {
                response,
                item,
                part,
                payload,
            } => {
                self.on_model_audio(
                    PartKey {
                        response,
                        item,
                        part,
                    },
                    payload,
                    now,
                );
            }
            ModelEvent::AudioDone {
                response,
                item,
                part,
            } => {
                self.on_audio_done(
                    &PartKey {
                        response,
                        item,
                        part,
                    },
                    now,
                );
            }
            ModelEvent::AgentTranscriptDelta { item, part, text } => {
                self.conversation.agent_words(&item, part, &text, now);
            }
            ModelEvent::AgentSaid { item, part, text } => {
                self.conversation.agent_said(&item, part, &text, now);
            }
            ModelEvent::SpeechStarted { .. } => self.on_speech_started(now),
            ModelEvent::SpeechStopped { .. } => {
                self.floor.caller_stops(self.is_protected(now), now);
            }
            ModelEvent::CallerTurn { item } => {
                self.conversation.caller_turn(&item, now);
                self.caller_asks();
                self.floor.caller_turn();
                if !self.transcribes() {
                    self.on_real_turn(now);
                }
                if matches!(&self.link, Link::Ready(session) if !session.answers) {
                    self.ask_for_answer(None);
                }
            }
            ModelEvent::CallerTranscript { item, text } => {
                if text.as_deref().is_some_and(|text| !text.trim().is_empty()) {
                    self.on_real_turn(now);
                }
                if let Some(turn) = self.conversation.caller_words(&item, text, now) {
                    self.report(Report::Turn(Box::new(turn)));
                }
            }
            ModelEvent::ResponseStarted { response, format } => {
                self.on_response_started(&response, format, now)
            }
            ModelEvent::ItemStarted { item, tool, .. } => self.on_item_started(item, tool, now),
            ModelEvent::ToolArguments {
                response,
                item,
                call,
                name,
                arguments,
                complete,
            } => {
                let kind = ItemKind::ToolCall {
                    call,
                    name: name.or_else(|| self.tool_of(&item)).unwrap_or_default(),
                    arguments,
                    complete,
                };
                self.tools
                    .keep_arguments(response, ItemDone { id: item, kind });
            }
            ModelEvent::ToolsUnlisted => self.on_tools_unlisted(),
            ModelEvent::Ignored => {}
            ModelEvent::ItemDone { response, item } => self.on_item_done(&response, item, now),
            ModelEvent::ResponseDone(done) => self.on_response_done(*done, now),
            ModelEvent::RateLimits(limits) => self.on_rate_limits(&limits),
            ModelEvent::Error(error) => self.on_model_error(*error, now),
            ModelEvent::Unknown => self.violation(Peer::Model, "unknown_event"),
            ModelEvent::Unusable(error) => self.bad_from_model(error, now),
            ModelEvent::Opened => self.on_opened(now),
            ModelEvent::Refused(refusal) => self.on_refused(&refusal, now),
            ModelEvent::SessionCreated(session) => self.on_session_created(session),
            ModelEvent::SessionConfigured(session) => self.on_configured(session, now),
            ModelEvent::Rejected(fault) => {
                self.violation(Peer::Model, fault.label());
                self.on_model_closed(None, Duration::ZERO, now);
            }
            ModelEvent::Closed { code, quiet, .. } => self.on_model_closed(code, quiet, now),
            ModelEvent::Unresponsive => self.on_model_stuck(now),
        }
    }

    /// Whether the caller's turns come with words.
    fn transcribes(&self) -> bool {
        let options = self.setup.agent.session.options.as_ref();
        let is_wanted = options.is_some_and(|options| options.transcription.is_some());
        let asks = match &self.link {
            Link::Ready(session) => session.extent == Extent::All,
            Link::Dialling { .. } | Link::Configuring(_) | Link::Waiting | Link::Lost => true,
        };
        is_wanted && asks && !self.left_out.contains(&Part::Transcription)
    }

    // ---- the link ----

    pub(super) fn dial(&mut self, now: Time) {
        self.link = Link::Dialling { since: now };
        let give_up = self.backoff.down(now);
        self.timers
            .set(Timer::Dial, give_up.min(now + DIAL_TIMEOUT));
        self.effects.push_back(Effect::DialModel);
    }

    fn on_opened(&mut self, now: Time) {
        let Link::Dialling { since } = self.link else {
            self.violation(Peer::Model, "opened_again");
            return;
        };
        self.timers.stop(Timer::Dial);
        self.report_dialled("ok", None);
        // Ahead of any audio: caller audio read as 24 kHz PCM would start a conversation with a stranger.
        self.configure(since, None, Extent::All, now);
    }

    /// What sessions of this call are asked for: the agent's wish, without what was refused.
    pub(super) fn session_setup(&self) -> SessionSetup {
        let mut wish = self.setup.agent.session.clone();
        for part in &self.left_out {
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

    fn configure(&mut self, dialled: Time, session: Option<ModelId>, extent: Extent, now: Time) {
        let left_out = self.left_out.len();
        let configuring = Configuring::new(self.sessions + 1, dialled, session, extent, left_out);
        self.ask_model(ModelCommand::Configure {
            request: configuring.request.clone(),
            setup: Box::new(extent.of(self.session_setup())),
        });
        let give_up = self.backoff.down(now);
        self.timers
            .set(Timer::Configure, give_up.min(now + CONFIGURE_TIMEOUT));
        self.link = Link::Configuring(configuring);
    }

    fn on_session_created(&mut self, info: SessionInfo) {
        match &mut self.link {
            Link::Configuring(configuring) => configuring.session = info.id,
            Link::Ready(_) | Link::Dialling { .. } | Link::Waiting | Link::Lost => {
                self.violation(Peer::Model, "session_created_again");
            }
        }
    }

    fn on_configured(&mut self, info: SessionInfo, now: Time) {
        let mut asked = self.turn_detection();
        if self.holds_back()
            && let Some(turns) = &mut asked
        {
            turns.never_interrupt();
        }
        let formats = info.formats();
        match &mut self.link {
            Link::Configuring(configuring) => {
                let dialled = configuring.dialled;
                match configuring.taken(&info, asked.as_ref()) {
                    Some(session) => self.on_ready(session, dialled, now),
                    None => {
                        self.violation(Peer::Model, "wrong_format");
                        self.ask_for_less(None, now);
                    }
                }
            }
            Link::Ready(session)
                if formats == Formats::Right
                    || (formats == Formats::Bearable && session.guard.is_transcoding()) =>
            {
                let asked = asked.as_ref().map(TurnDetection::interrupts);
                session.interrupts = info.interrupts.or(asked).unwrap_or(session.interrupts);
            }
            Link::Ready(_) => {
                self.violation(Peer::Model, "wrong_format");
                self.lose_model("wrong_format", false, now);
            }
            Link::Dialling { .. } | Link::Waiting | Link::Lost => {
                self.violation(Peer::Model, "configured_early")
            }
        }
    }

    /// The wish was refused, or not followed: ask for less.
    fn ask_for_less(&mut self, error: Option<&ModelError>, now: Time) {
        let Link::Configuring(configuring) = &mut self.link else {
            return;
        };
        let (dialled, session) = (configuring.dialled, configuring.session.take());
        let extent = configuring.extent;
        match self.less_than(extent, error) {
            Some(extent) => self.configure(dialled, session, extent, now),
            None => self.lose_model("configuration_refused", true, now),
        }
    }

    /// How much a session is asked for that refused so much: the same without the part its error names, else less.
    pub(super) fn less_than(
        &mut self,
        extent: Extent,
        error: Option<&ModelError>,
    ) -> Option<Extent> {
        let wish = self.session_setup();
        let less = extent.less(&wish);
        let asked = extent.of(wish);
        let named = error.and_then(|error| Part::named_by(error, &asked));
        let Some(part) = named.filter(|_| self.left_out.len() < MOST_LEFT_OUT) else {
            return less;
        };
        self.violation(Peer::Model, part.kind());
        self.report(Report::LeftOut { part: part.name() });
        self.left_out.push(part);
        Some(extent)
    }

    /// How the caller's turns are asked to be found.
    pub(super) fn turn_detection(&self) -> Option<TurnDetection> {
        let options = self.setup.agent.session.options.as_ref()?;
        let is_refused = self.left_out.contains(&Part::Turns);
        options.turns.clone().filter(|_| !is_refused)
    }

    fn on_ready(&mut self, session: Session, dialled: Time, now: Time) {
        self.timers.stop(Timer::Configure);
        self.backoff.up();
        let again = self.sessions > 0;
        let id = session.id.clone();
        self.begin_session(session, now);
        self.report(Report::ModelReady {
            session: id,
            after_ms: now.millis_since(dialled),
            again,
        });
        let agent = self.setup.agent.clone();
        let clip_played = matches!(agent.greeting, Greeting::Clip { .. })
            && self.state.stream().is_some()
            && self.is_heard_here(now);
        let unheard = self.floor.take_unheard();
        let has_past = again || self.resumes() > 0;
        if has_past && (self.conversation.count() > 0 || !self.runs.memory.is_empty()) {
            let text = if unheard {
                briefing_after_deafness(&self.conversation, &self.runs.memory)
            } else if again {
                briefing(&self.conversation, &self.runs.memory)
            } else if self.is_back_from_transfer() {
                briefing_after_transfer(&self.conversation, &self.runs.memory)
            } else {
                briefing_after_silence(&self.conversation, &self.runs.memory)
            };
            self.ask_model(ModelCommand::Tell {
                role: Role::System,
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
    pub(super) fn begin_session(&mut self, session: Session, now: Time) {
        self.sessions += 1;
        let transcoding = session.guard.is_transcoding();
        self.link = Link::Ready(session);
        if transcoding {
            self.report(Report::Transcoding);
        }
        self.floor.begin_session();
        self.model_errors = ErrorBudget::default();
        self.forget_tools();
        self.timers.stop(Timer::Answer);
        if !self.keys.is_empty() {
            self.timers.set(Timer::Keys, now);
        }
        self.plan_next_session(now);
    }

    /// The model learns what was said in its name, where it listens; whichever of clip and session comes last tells it.
    pub(super) fn tell_of_clip(&mut self, text: &str) {
        if matches!(self.link, Link::Ready(_)) {
            let (role, text) = (Role::Assistant, text.to_owned());
            self.ask_model(ModelCommand::Tell { role, text });
        }
    }

    /// Whether the caller has heard anything of the agent, or is about to: audio that is on its way needs no model.
    fn agent_was_heard(&self, now: Time) -> bool {
        self.is_heard_here(now) || self.conversation.agent_was_heard()
    }

    /// The same, on this media socket.
    pub(super) fn is_heard_here(&self, now: Time) -> bool {
        let under_way = self
            .state
            .playback()
            .is_some_and(|playback| playback.is_unheard(now) && !self.is_filled());
        under_way || self.agent_heard_bytes(now) > 0
    }

    pub(super) fn on_dial_timeout(&mut self, now: Time) {
        self.on_refused(&Refusal::Timeout, now);
    }

    pub(super) fn on_configure_timeout(&mut self, now: Time) {
        self.lose_model("configure_timeout", false, now);
    }

    fn on_refused(&mut self, refusal: &Refusal, now: Time) {
        let result = label_of(refusal);
        if !matches!(self.link, Link::Dialling { .. }) {
            self.violation(Peer::Model, "refused_late");
            return;
        }
        self.timers.stop(Timer::Dial);
        let named = wait_of(refusal);
        self.report_dialled(result, named);
        self.lose_model_until(result, refusal_is_fatal(refusal), named, now);
    }

    pub(super) fn report_dialled(&mut self, result: &'static str, named: Option<Duration>) {
        let not_before_ms = named.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.report(Report::ModelDialled {
            result,
            not_before_ms,
        });
    }

    fn on_model_closed(&mut self, code: Option<u16>, quiet: Duration, now: Time) {
        match &self.link {
            Link::Waiting | Link::Lost => {}
            Link::Dialling { .. } => self.on_refused(&Refusal::Network, now),
            Link::Configuring(_) | Link::Ready(_) => {
                let fatal = code.is_some_and(close_is_fatal);
                let why = match code {
                    Some(1001) => "session_over",
                    Some(3000 | 4000 | 1008) => "refused",
                    Some(_) => "closed",
                    None => "reset",
                };
                // A path that breaks often swallows everything for a while before anybody is told.
                let is_missed = !self.floor.caller_speaks() && self.utterance.outlasts(quiet, now);
                if is_missed && matches!(self.link, Link::Ready(_)) {
                    self.floor.nobody_heard();
                }
                self.lose_model(why, fatal, now);
            }
        }
    }

    /// The session gave no sign of life for long: whatever the caller said meanwhile, nobody has heard it.
    fn on_model_stuck(&mut self, now: Time) {
        match &self.link {
            Link::Waiting | Link::Lost => {}
            Link::Dialling { .. } => self.on_refused(&Refusal::Timeout, now),
            Link::Configuring(_) => self.lose_model("stuck", false, now),
            Link::Ready(_) => {
                self.floor.nobody_heard();
                self.lose_model("stuck", false, now);
            }
        }
    }

    /// The session is gone. Audio that is already here goes on playing.
    pub(super) fn lose_model(&mut self, why: &'static str, fatal: bool, now: Time) {
        self.lose_model_until(why, fatal, None, now);
    }

    /// The same, and the server named a time before which it wants to hear of nobody.
    fn lose_model_until(
        &mut self,
        why: &'static str,
        fatal: bool,
        named: Option<Duration>,
        now: Time,
    ) {
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
        if !fatal && self.take_next("rescued", now) {
            return;
        }
        self.drop_next();
        self.effects.push_back(Effect::CloseModel);
        self.floor.lost_session();
        self.break_off_session(now);
        let wait = if fatal {
            None
        } else {
            self.backoff.failed_until(named, now)
        };
        self.report(Report::ModelLost {
            why,
            redial: wait.is_some(),
        });
        match wait {
            Some(wait) => {
                self.link = Link::Waiting;
                self.timers.set(Timer::Redial, now + wait);
            }
            None => {
                self.link = Link::Lost;
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
    pub(super) fn break_off_session(&mut self, now: Time) {
        self.floor.break_off(self.agent_was_heard(now));
        self.timers.stop(Timer::Retry);
        self.forget_tools();
        self.sayings.ask_again();
        self.closing.session_lost();
        if let Some(playback) = self.state.playback_mut() {
            playback.break_off();
            self.floor.still_playing(playback.responses().cloned());
        }
        self.pump(now);
    }

    // ---- limits and errors ----

    pub(super) fn on_rate_limits(&mut self, limits: &[RateLimit]) {
        let share = |limit: &RateLimit| {
            // Limits stay far below 2^52.
            #[allow(clippy::cast_precision_loss)]
            let left = limit.remaining as f64 / limit.limit.max(1) as f64;
            (left, limit.reset_seconds)
        };
        let scarcest = limits
            .iter()
            .filter(|limit| limit.limit > 0)
            .map(share)
            .min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((left, reset_seconds)) = scarcest {
            self.report(Report::RateLimits {
                left,
                reset_seconds,
            });
        }
    }

    fn on_model_error(&mut self, error: ModelError, now: Time) {
        let class = classify(&error);
        let request = error.event_id.clone().unwrap_or_default();
        let about_session = match &self.link {
            Link::Configuring(configuring) => {
                // Some refusals of a configuration do not say what they answer.
                configuring.request == request
                    || (request.is_empty() && error.kind == "invalid_request_error")
            }
            Link::Ready(_) | Link::Dialling { .. } | Link::Waiting | Link::Lost => false,
        };
        let refused = self
            .floor
            .refused(&request, class == Class::AlreadyResponding);
        let benign = class == Class::Benign || class == Class::AlreadyResponding;
        if !benign {
            self.report(Report::ModelComplains(Box::new(error.clone())));
        }
        match class {
            // The server was to answer the caller by itself, and could not while something went on that they did not cut.
            Class::AlreadyResponding if request.is_empty() && self.floor.owes_answer() => {
                self.floor.owe_after_running();
            }
            Class::Benign | Class::AlreadyResponding => {}
            Class::Configuration if about_session => self.ask_for_less(Some(&error), now),
            Class::Configuration => {
                self.violation(Peer::Model, "refused_event");
                if refused.is_some()
                    && let Some(command) = self.floor.ask_owed()
                {
                    self.ask_model(command);
                }
            }
            Class::Transient(wait) => {
                self.violation(Peer::Model, "server_error");
                if let Some(request) = refused {
                    let retry = self.floor.fail(request, None, wait);
                    self.answer_again(retry, now);
                }
            }
            Class::SessionOver => self.lose_model("session_over", false, now),
            Class::Fatal => self.lose_model("refused", true, now),
        }
    }
}
