//! What the events of a session mean for the call, by what the session is for.

use std::time::Duration;

use super::Role;
use crate::call::Call;
use crate::call::effect::{Peer, Report};
use crate::ids::PartKey;
use crate::model::config_part::Part;
use crate::model::event::{
    ErrorClass, ItemDone, ItemKind, ModelClose, ModelError, ModelEvent, RateLimit,
};
use crate::model::session::{Extent, SessionId};
use crate::time::Time;
use crate::wire::ReadError;

impl Call {
    /// A session has said something, or its socket has.
    pub(in crate::call) fn on_model(&mut self, id: SessionId, event: ModelEvent, now: Time) {
        if self.is_over() {
            // The sockets are being closed; what they still say is late.
            return;
        }
        match self.model.role_of(id) {
            Some(Role::Current) => self.on_current(event, now),
            Some(Role::Standby) => self.on_standby(event, now),
            None => self.violation(Peer::Model, "outside_session"),
        }
    }

    fn on_current(&mut self, event: ModelEvent, now: Time) {
        if !self.model.current().may_bring(&event) {
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
                if self.model.ready().is_some_and(|session| !session.answers) {
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
                    .calls
                    .keep_arguments(response, ItemDone { id: item, kind });
            }
            ModelEvent::ToolsUnlisted => self.on_tools_unlisted(),
            ModelEvent::Ignored => {}
            ModelEvent::ItemDone { response, item } => self.on_item_done(&response, item, now),
            ModelEvent::ResponseDone(done) => self.on_response_done(*done, now),
            ModelEvent::RateLimits(limits) => self.on_rate_limits(&limits),
            ModelEvent::Error(error) => self.on_model_error(*error, now),
            ModelEvent::Unknown => self.violation(Peer::Model, "unknown_event"),
            ModelEvent::Unusable(error) => self.bad_from_model(Role::Current, error, now),
            ModelEvent::Opened => self.on_opened(Role::Current, now),
            ModelEvent::Refused(refusal) => self.on_refused(&refusal, now),
            ModelEvent::SessionCreated(session) => self.on_created(Role::Current, session),
            ModelEvent::SessionConfigured(session) => {
                self.on_configured(Role::Current, &session, now);
            }
            ModelEvent::Rejected(fault) => {
                self.violation(Peer::Model, fault.label());
                self.on_model_closed(ModelClose::Reset, Duration::ZERO, now);
            }
            ModelEvent::Closed { why, quiet, .. } => self.on_model_closed(why, quiet, now),
            ModelEvent::Unresponsive => self.on_model_stuck(now),
        }
    }

    /// Whether the caller's turns come with words.
    fn transcribes(&self) -> bool {
        let options = self.setup.agent.session.options.as_ref();
        let is_wanted = options.is_some_and(|options| options.transcription.is_some());
        let session = self.model.ready();
        let asks = session.is_none_or(|session| session.extent == Extent::All);
        is_wanted && asks && !self.model.is_left_out(&Part::Transcription)
    }

    /// A message that could not be used; a session with too many of them is left for another. The caller has done nothing
    /// wrong, and is still there.
    pub(in crate::call) fn bad_from_model(&mut self, role: Role, error: ReadError, now: Time) {
        self.violation(Peer::Model, error.label());
        let session = self.model.session_mut(role);
        if session.is_some_and(|session| session.unusable(now)) {
            self.violation(Peer::Model, "too_many_bad_messages");
            self.lose_session(role, "bad_messages", false, now);
        }
    }

    // ---- limits and errors ----

    pub(in crate::call) fn on_rate_limits(&mut self, limits: &[RateLimit]) {
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
        let class = error.class;
        let request = error.event_id.clone().unwrap_or_default();
        let about_session = self.model.current().is_refusal(&error);
        let refused = self
            .floor
            .refused(&request, class == ErrorClass::AlreadyResponding);
        let benign = class == ErrorClass::Benign || class == ErrorClass::AlreadyResponding;
        if !benign {
            self.report(Report::ModelComplains(Box::new(error.clone())));
        }
        match class {
            // The server was to answer the caller by itself, and could not while something went on that they did not cut.
            ErrorClass::AlreadyResponding if request.is_empty() && self.floor.owes_answer() => {
                self.floor.owe_after_running();
            }
            ErrorClass::Benign | ErrorClass::AlreadyResponding => {}
            ErrorClass::Configuration if about_session => {
                self.ask_for_less(Role::Current, Some(&error), now);
            }
            ErrorClass::Configuration => {
                self.violation(Peer::Model, "refused_event");
                if refused.is_some()
                    && let Some(command) = self.floor.ask_owed()
                {
                    self.ask_model(command);
                }
            }
            ErrorClass::Transient(wait) => {
                self.violation(Peer::Model, "server_error");
                if let Some(request) = refused {
                    let retry = self.floor.fail(request, None, wait);
                    self.answer_again(retry, now);
                }
            }
            ErrorClass::SessionOver => self.lose_model("session_over", false, now),
            ErrorClass::Fatal => self.lose_model("refused", true, now),
        }
    }
}
