//! The model leg: what the realtime session's events mean for the call.

use std::time::Duration;

use super::effect::{Effect, Peer, Report};
use super::end::EndReason;
use super::event::{
    AudioFormat, ItemDone, ItemKind, ModelError, ModelEvent, RateLimit, Refusal, ResponseDone,
    ResponseStatus, SessionInfo,
};
use super::state::State;
use super::timers::Timer;
use super::{Call, Greeting, LOCAL};
use crate::codec::{Guard, Passed};
use crate::cost;
use crate::ids::ModelId;
use crate::model::command::{ModelCommand, Role, SessionSetup, TurnDetection, Voice};
use crate::model::errors::{Class, classify, close_is_fatal, refusal_is_fatal};
use crate::model::link::{CONFIGURE_TIMEOUT, Configuring, DIAL_TIMEOUT, Link, Session};
use crate::model::replay::briefing;
use crate::model::responses::{Responses, Verdict, Wish};
use crate::payload::Payload;
use crate::playback::{PartKey, Taken};
use crate::time::Time;

/// Times a failed or empty answer is asked for again before the session is given up.
const RETRIES: u32 = 3;

/// The tool by which the model ends the call.
pub const END_CALL: &str = "end_call";

/// The tool by which the model sends the caller to somebody else; its argument `target` names whom.
pub const TRANSFER_CALL: &str = "transfer_call";

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
            ModelEvent::AgentWords { item, text } => {
                self.conversation.agent_words(&item, &text, now)
            }
            ModelEvent::SpeechStarted { .. } => self.on_speech_started(now),
            ModelEvent::SpeechStopped { .. } => {
                self.caller_speaks = false;
                self.silent_since = Some(now);
                self.owes_answer = true;
            }
            ModelEvent::CallerTurn { item } => {
                self.conversation.caller_turn(&item, now);
                self.caller_speaks = false;
                if !self.transcribes() {
                    self.on_real_turn(now);
                }
                if matches!(&self.link, Link::Ready(session) if !session.answers) {
                    self.ask_for_answer(None);
                }
            }
            ModelEvent::CallerWords { item, text } => {
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
            ModelEvent::ItemStarted { .. } | ModelEvent::Noted => {}
            ModelEvent::ItemDone { response, item } => self.on_item_done(&response, item, now),
            ModelEvent::ResponseDone(done) => self.on_response_done(*done, now),
            ModelEvent::RateLimits(limits) => self.on_rate_limits(&limits),
            ModelEvent::Error(error) => self.on_model_error(*error, now),
            ModelEvent::Unknown => self.violation(Peer::Model, "unknown_event"),
            ModelEvent::Unusable(error) => self.bad_message(Peer::Model, error.label(), now),
            ModelEvent::Opened => self.on_opened(now),
            ModelEvent::Refused(refusal) => self.on_refused(&refusal, now),
            ModelEvent::SessionCreated(session) => self.on_session_created(session),
            ModelEvent::SessionConfigured(session) => self.on_configured(session, now),
            ModelEvent::Rejected(fault) => {
                self.violation(Peer::Model, fault.label());
                self.on_model_closed(None, now);
            }
            ModelEvent::Closed { code, .. } => self.on_model_closed(code, now),
        }
    }

    /// Whether the caller's turns come with words.
    fn transcribes(&self) -> bool {
        let options = self.setup.agent.session.options.as_ref();
        options.is_some_and(|options| options.transcription.is_some())
    }

    // ---- the link ----

    pub(super) fn dial(&mut self, now: Time) {
        self.link = Link::Dialling { since: now };
        let give_up = self.patience.down(now);
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
        self.report(Report::ModelDialled { result: "ok" });
        // Ahead of any audio: caller audio read as 24 kHz PCM would start a conversation with a stranger.
        let request = format!("configure-{}", self.sessions + 1);
        let setup = self.setup.agent.session.clone();
        self.configure(
            Configuring {
                dialled: since,
                session: None,
                request,
                least: false,
            },
            setup,
            now,
        );
    }

    fn configure(&mut self, configuring: Configuring, setup: SessionSetup, now: Time) {
        self.ask_model(ModelCommand::Configure {
            request: configuring.request.clone(),
            setup,
        });
        let give_up = self.patience.down(now);
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
        let hears = info.input == Some(AudioFormat::Mulaw);
        let right = hears && info.output == Some(AudioFormat::Mulaw);
        // It was asked twice and sends linear audio all the same: better transcoded than not heard.
        let bearable = hears && info.output == Some(AudioFormat::Pcm24k);
        match &mut self.link {
            Link::Configuring(configuring) if right || (configuring.least && bearable) => {
                let mut guard = Guard::default();
                if let Some(format) = info.output {
                    guard.declared(format);
                }
                let id = info.id.or_else(|| configuring.session.take());
                let dialled = configuring.dialled;
                // What the server does not say, it does as it was asked.
                let asked = self
                    .setup
                    .agent
                    .session
                    .options
                    .as_ref()
                    .map(|options| &options.turns);
                let session = Session {
                    id,
                    interrupts: info
                        .interrupts
                        .unwrap_or_else(|| asked.is_none_or(TurnDetection::interrupts)),
                    answers: info
                        .answers
                        .unwrap_or_else(|| asked.is_none_or(TurnDetection::answers)),
                    expires_at: info.expires_at,
                    guard,
                };
                self.on_ready(session, dialled, now);
            }
            Link::Configuring(_) => {
                self.violation(Peer::Model, "wrong_format");
                self.ask_for_least(now);
            }
            Link::Ready(_) if right => {}
            Link::Ready(_) => {
                self.violation(Peer::Model, "wrong_format");
                self.lose_model("wrong_format", false, now);
            }
            Link::Dialling { .. } | Link::Waiting | Link::Lost => {
                self.violation(Peer::Model, "configured_early")
            }
        }
    }

    /// The full wish was refused, or not followed: ask for the least a call can be held with, once.
    fn ask_for_least(&mut self, now: Time) {
        let Link::Configuring(configuring) = &mut self.link else {
            return;
        };
        if configuring.least {
            self.lose_model("configuration_refused", true, now);
            return;
        }
        let least = Configuring {
            dialled: configuring.dialled,
            session: configuring.session.take(),
            request: format!("{}-least", configuring.request),
            least: true,
        };
        let setup = SessionSetup {
            instructions: self.setup.agent.session.instructions.clone(),
            voice: Voice::Keep,
            options: None,
        };
        self.configure(least, setup, now);
    }

    fn on_ready(&mut self, session: Session, dialled: Time, now: Time) {
        self.timers.stop(Timer::Configure);
        self.patience.up();
        let again = self.sessions > 0;
        self.sessions += 1;
        let id = session.id.clone();
        let transcoding = session.guard.is_transcoding();
        self.link = Link::Ready(session);
        if transcoding {
            self.report(Report::Transcoding);
        }
        self.responses = Responses::default();
        self.outputs.clear();
        self.caller_speaks = false;
        if !self.keys.is_empty() {
            self.timers.set(Timer::Keys, now);
        }
        self.report(Report::ModelReady {
            session: id,
            after_ms: now.millis_since(dialled),
            again,
        });
        let agent = self.setup.agent.clone();
        let clip_played =
            matches!(agent.greeting, Greeting::Clip { .. }) && self.state.stream().is_some();
        if again && self.conversation.count() > 0 {
            let text = briefing(&self.conversation);
            self.ask_model(ModelCommand::Tell {
                role: Role::System,
                text,
            });
        } else if let (Greeting::Clip { text, .. }, true) = (&agent.greeting, clip_played) {
            self.tell_of_clip(text);
        }
        if again {
            self.tally.reconnects += 1;
        }
        match &agent.greeting {
            Greeting::Model { instructions } if !self.agent_was_heard(now) => {
                self.ask_for_answer(Some(instructions.clone()));
            }
            Greeting::Model { .. } | Greeting::Wait | Greeting::Clip { .. } => {
                if again && self.owes_answer {
                    self.ask_for_answer(None);
                }
            }
        }
        let effects = &mut self.effects;
        self.preroll
            .deliver(|payload| effects.push_back(Effect::ToModel(ModelCommand::Append(payload))));
    }

    /// The model learns what was said in its name, where it listens; whichever of clip and session comes last tells it.
    pub(super) fn tell_of_clip(&mut self, text: &str) {
        if matches!(self.link, Link::Ready(_)) {
            let (role, text) = (Role::Assistant, text.to_owned());
            self.ask_model(ModelCommand::Tell { role, text });
        }
    }

    /// Whether the caller has heard anything of the agent, or is about to: audio that is on its way needs no model.
    fn agent_was_heard(&mut self, now: Time) -> bool {
        let under_way = self
            .state
            .playback_mut()
            .is_some_and(|playback| playback.is_unheard(now) || playback.totals(now).heard > 0);
        under_way || self.conversation.agent_was_heard()
    }

    pub(super) fn on_dial_timeout(&mut self, now: Time) {
        self.on_refused(&Refusal::Timeout, now);
    }

    pub(super) fn on_configure_timeout(&mut self, now: Time) {
        self.lose_model("configure_timeout", false, now);
    }

    fn on_refused(&mut self, refusal: &Refusal, now: Time) {
        let result = match refusal {
            Refusal::Status(401 | 403) => "unauthorized",
            Refusal::Status(429) => "rate_limited",
            Refusal::Status(500..=599) => "server_error",
            Refusal::Status(_) => "refused",
            Refusal::Timeout => "timeout",
            Refusal::Network => "network",
        };
        if !matches!(self.link, Link::Dialling { .. }) {
            self.violation(Peer::Model, "refused_late");
            return;
        }
        self.timers.stop(Timer::Dial);
        self.report(Report::ModelDialled { result });
        self.lose_model(result, refusal_is_fatal(refusal), now);
    }

    fn on_model_closed(&mut self, code: Option<u16>, now: Time) {
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
                self.lose_model(why, fatal, now);
            }
        }
    }

    /// The session is gone. Audio that is already here goes on playing.
    fn lose_model(&mut self, why: &'static str, fatal: bool, now: Time) {
        for timer in [Timer::Dial, Timer::Configure, Timer::Redial, Timer::Retry] {
            self.timers.stop(timer);
        }
        self.effects.push_back(Effect::CloseModel);
        self.owes_answer |= self.responses.is_busy() && self.agent_was_heard(now);
        self.retry = None;
        let wait = if fatal {
            None
        } else {
            self.patience.failed(now)
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
                let reason = if fatal {
                    EndReason::ModelRefused
                } else {
                    EndReason::ModelLost
                };
                self.end(reason, now);
            }
        }
    }

    // ---- answers ----

    /// Asks for an answer, now or after the running one.
    pub(super) fn ask_for_answer(&mut self, instructions: Option<String>) {
        if let Some(command) = self.responses.ask(Wish { instructions }) {
            self.ask_model(command);
        }
    }

    pub(super) fn on_retry(&mut self) {
        if let Some(wish) = self.retry.take() {
            self.ask_for_answer(wish.instructions);
        }
    }

    fn on_response_started(&mut self, response: &ModelId, format: Option<AudioFormat>, now: Time) {
        if let Some(command) = self.responses.started(response) {
            self.ask_model(command);
        }
        match format {
            None | Some(AudioFormat::Mulaw) => {}
            Some(AudioFormat::Pcm24k) => {
                if let Link::Ready(session) = &mut self.link
                    && !session.guard.is_transcoding()
                {
                    session.guard.declared(AudioFormat::Pcm24k);
                    self.found_linear();
                }
            }
            Some(AudioFormat::Other) => {
                self.violation(Peer::Model, "wrong_format");
                self.lose_model("wrong_format", false, now);
            }
        }
    }

    /// The model's audio is not what was asked for.
    fn found_linear(&mut self) {
        self.violation(Peer::Model, "wrong_format");
        self.report(Report::Transcoding);
    }

    /// Passes model audio through the codec guard.
    fn guarded(&mut self, payload: Payload) -> Option<Payload> {
        let Link::Ready(session) = &mut self.link else {
            return None;
        };
        let before = session.guard.is_transcoding();
        let passed = session.guard.pass(payload);
        let found = !before && session.guard.is_transcoding();
        if found {
            self.found_linear();
        }
        match passed {
            Passed::Audio(payload) => Some(payload),
            Passed::Nothing => None,
        }
    }

    fn on_model_audio(&mut self, key: PartKey, payload: Payload, now: Time) {
        let mut bytes = payload.audio_bytes() as u64;
        match self.responses.verdict(&key.response) {
            Verdict::Play => {}
            Verdict::Discard => {
                self.drop_agent_audio(bytes, "interrupted");
                return;
            }
            Verdict::Unknown => {
                self.violation(Peer::Model, "unknown_response");
                self.drop_agent_audio(bytes, "unknown_response");
                return;
            }
        }
        self.responses.speaks(&key.response);
        let Some(payload) = self.guarded(payload) else {
            return;
        };
        bytes = payload.audio_bytes() as u64;
        self.book(key, payload, bytes, now);
    }

    /// Books the model's µ-law and sends as much as the lead allows.
    fn book(&mut self, key: PartKey, payload: Payload, bytes: u64, now: Time) {
        let turn = self.conversation.agent_audio(&key.item, now);
        if turn.model_ms.is_none()
            && let Some(since) = self.silent_since
        {
            turn.model_ms = Some(now.millis_since(since));
        }
        self.owes_answer = false;
        self.failed_in_a_row = 0;
        let waited = self.silent_since;
        let taken = match &mut self.state {
            State::Accepted(opening) | State::Connected(opening) => {
                opening.held.hold(&key, &payload)
            }
            State::Start(_) | State::Media(_) => {
                let play = self.with_playback(now, |playback, mut out| {
                    playback.play(&key, payload, now, &mut out)
                });
                play.unwrap_or(Taken::OutOfTurn)
            }
            State::Stop(_) => return,
        };
        if waited.is_some() && self.silent_since.is_none() {
            let latency = waited.map(|since| now.millis_since(since));
            self.conversation.agent_audio(&key.item, now).latency_ms = latency;
        }
        match taken {
            Taken::Booked => {}
            Taken::Full => self.drop_agent_audio(bytes, "queue_full"),
            Taken::OutOfTurn => {
                self.violation(Peer::Model, "audio_after_part");
                self.drop_agent_audio(bytes, "out_of_turn");
            }
        }
    }

    fn drop_agent_audio(&mut self, bytes: u64, why: &'static str) {
        self.tally.dropped_bytes += bytes;
        self.report(Report::AgentAudioDropped { bytes, why });
    }

    fn on_audio_done(&mut self, key: &PartKey, now: Time) {
        let wanted = self.responses.verdict(&key.response) == Verdict::Play;
        if let Link::Ready(session) = &mut self.link
            && let Passed::Audio(rest) = session.guard.finish()
            && wanted
        {
            let bytes = rest.audio_bytes() as u64;
            self.book(key.clone(), rest, bytes, now);
        }
        match &mut self.state {
            State::Accepted(opening) | State::Connected(opening) => opening.held.finish_held(key),
            State::Start(_) | State::Media(_) => {
                self.with_playback(now, |playback, mut out| playback.finish(key, now, &mut out));
            }
            State::Stop(_) => {}
        }
    }

    fn on_item_done(&mut self, response: &ModelId, item: ItemDone, now: Time) {
        match item.kind {
            ItemKind::Message | ItemKind::Other => {}
            ItemKind::ToolCall {
                call,
                name,
                arguments,
                complete,
            } => {
                if !complete {
                    self.violation(Peer::Model, "incomplete_tool_call");
                    return;
                }
                match name.as_str() {
                    END_CALL => self.on_end_call(response, call, now),
                    TRANSFER_CALL => self.on_transfer_call(call, &arguments, now),
                    _ => {
                        // An unanswered call leaves the model waiting; it is told the truth and goes on talking.
                        let text = format!("there is no tool named {name}");
                        let output = serde_json::json!({ "error": text }).to_string();
                        self.give_output(call, output);
                        self.ask_for_answer(None);
                    }
                }
            }
        }
    }

    /// Answers a tool call: at once, or when the response that holds it is done. Earlier the server does not know it.
    pub(super) fn give_output(&mut self, call: ModelId, output: String) {
        let command = ModelCommand::ToolOutput { call, output };
        if self.responses.is_running() {
            self.outputs.push(command);
        } else {
            self.ask_model(command);
        }
    }

    fn on_transfer_call(&mut self, call: ModelId, arguments: &str, now: Time) {
        let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap_or_default();
        let target = arguments["target"].as_str().unwrap_or_default();
        if self
            .setup
            .agent
            .transfer_targets
            .iter()
            .any(|known| known == target)
        {
            self.transfer(target.to_owned(), Some(call), now);
            return;
        }
        self.violation(Peer::Model, "unknown_transfer_target");
        let known = self.setup.agent.transfer_targets.join(", ");
        let output = serde_json::json!({"error": format!("nobody by that name; known: {known}")})
            .to_string();
        self.give_output(call, output);
        self.ask_for_answer(None);
    }

    fn on_response_done(&mut self, done: ResponseDone, now: Time) {
        if let Some(usage) = done.usage {
            let dollars = cost::dollars(&self.setup.agent.model, &usage);
            self.tally.cost_usd += dollars;
            self.report(Report::Used { usage, dollars });
        }
        if let Some(playback) = self.state.playback_mut() {
            playback.finish_response(&done.id);
        }
        self.pump(now);
        // Of a response the caller interrupted, or that never began, nothing is missed.
        let wanted = self.responses.verdict(&done.id) == Verdict::Play;
        let spoke = done.spoken_items > 0 || self.responses.spoke(&done.id);
        let wish = self
            .responses
            .wish_of(&done.id)
            .unwrap_or(Wish { instructions: None });
        let next = self.responses.done(&done.id);
        for output in std::mem::take(&mut self.outputs) {
            self.ask_model(output);
        }
        if let Some(command) = next {
            self.ask_model(command);
        }
        match done.status {
            ResponseStatus::Completed if !spoke && done.tool_calls == 0 => {
                self.violation(Peer::Model, "empty_response");
                if wanted {
                    self.answer_again(wish, Duration::ZERO, now);
                }
            }
            ResponseStatus::Completed => self.failed_in_a_row = 0,
            ResponseStatus::Failed(error) => {
                let class = classify(&error);
                self.report(Report::ModelComplains(Box::new(error)));
                match class {
                    Class::Fatal => self.lose_model("refused", true, now),
                    Class::SessionOver => self.lose_model("session_over", false, now),
                    Class::Transient(wait) if wanted => self.answer_again(wish, wait, now),
                    Class::Benign | Class::AlreadyResponding | Class::Configuration if wanted => {
                        self.answer_again(wish, Duration::ZERO, now);
                    }
                    Class::Transient(_)
                    | Class::Benign
                    | Class::AlreadyResponding
                    | Class::Configuration => {}
                }
            }
            ResponseStatus::OutOfTokens if wanted => self.ask_for_answer(None),
            ResponseStatus::OutOfTokens
            | ResponseStatus::Interrupted
            | ResponseStatus::Cancelled
            | ResponseStatus::Filtered
            | ResponseStatus::Other => {}
        }
    }

    /// An answer failed: ask again after `wait`, a bounded number of times, then open another session.
    fn answer_again(&mut self, wish: Wish, wait: Duration, now: Time) {
        self.failed_in_a_row += 1;
        if self.failed_in_a_row > RETRIES {
            self.failed_in_a_row = 0;
            self.lose_model("answers_fail", false, now);
            return;
        }
        self.retry = Some(wish);
        self.timers.set(Timer::Retry, now + wait);
    }

    /// The caller speaks: whatever he has not heard is taken back.
    fn on_speech_started(&mut self, now: Time) {
        self.stay();
        self.caller_speaks = true;
        self.silent_since = None;
        self.retry = None;
        self.timers.stop(Timer::Retry);
        let server_cancels = match &self.link {
            Link::Ready(session) => session.interrupts,
            Link::Dialling { .. } | Link::Configuring(_) | Link::Waiting | Link::Lost => true,
        };
        if let Some(command) = self.responses.interrupt(server_cancels) {
            self.ask_model(command);
        }
        let Some(playback) = self.state.playback_mut() else {
            return;
        };
        if !playback.is_unheard(now) {
            return;
        }
        let interruption = playback.interrupt(now);
        if interruption.clear {
            self.clear_phone();
        }
        self.timers.stop(Timer::Playback);
        self.timers.stop(Timer::Acknowledge);
        self.tally.barge_ins += 1;
        let heard_ms = interruption
            .parts
            .iter()
            .rfind(|part| part.heard_ms > 0)
            .map_or(0, |part| part.heard_ms);
        self.report(Report::Interrupted { heard_ms });
        for part in &interruption.parts {
            self.responses.discard(&part.key.response);
            let of_item = |other: &&crate::playback::Settled| other.key.item == part.key.item;
            let item_heard = interruption
                .parts
                .iter()
                .filter(of_item)
                .any(|other| other.heard_ms > 0);
            if part.key.response.as_str() != LOCAL && part.cut {
                if item_heard {
                    let PartKey {
                        item, part: number, ..
                    } = part.key.clone();
                    self.ask_model(ModelCommand::Truncate {
                        item,
                        part: number,
                        heard_ms: part.heard_ms,
                    });
                } else if part.key.part == 0 {
                    self.ask_model(ModelCommand::Delete {
                        item: part.key.item.clone(),
                    });
                }
            }
            self.settle(part, now);
        }
    }

    // ---- limits and errors ----

    fn on_rate_limits(&mut self, limits: &[RateLimit]) {
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
            .responses
            .refused(&request, class == Class::AlreadyResponding);
        let benign = class == Class::Benign || class == Class::AlreadyResponding;
        if !benign {
            self.report(Report::ModelComplains(Box::new(error)));
        }
        match class {
            Class::Benign | Class::AlreadyResponding => {}
            Class::Configuration if about_session => self.ask_for_least(now),
            Class::Configuration => {
                self.violation(Peer::Model, "refused_event");
                if refused.is_some()
                    && let Some(command) = self.responses.ask_owed()
                {
                    self.ask_model(command);
                }
            }
            Class::Transient(wait) => {
                self.violation(Peer::Model, "server_error");
                if let Some(wish) = refused {
                    self.answer_again(wish, wait, now);
                }
            }
            Class::SessionOver => self.lose_model("session_over", false, now),
            Class::Fatal => self.lose_model("refused", true, now),
        }
    }
}
