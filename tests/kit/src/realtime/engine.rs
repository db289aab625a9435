//! A session without its socket: client events and time go in, server events come out.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{Answer, Cancel, Finished};
use super::check::ApiError;
use super::config::Config;
use super::conversation::{Item, Sound};
use super::echo::Echo;
use super::fault_injector::{FaultInjector, Quirks};
use super::faults::Fault;
use super::input::InputBuffer;
use super::inspect::SessionLog;
use super::mcp::{Answered, Ask, Server};
use super::plan::{Pace, Terms};
use super::prepared::Prepared;
use super::schema::Model;
use super::script_cursor::{Cause, Resume, ScriptCursor, Source};
use super::send_queue::{Outgoing, Place};
use super::session_io::SessionIo;
use super::sound::Format;

/// Pause between the deltas of a response that goes on after its cancellation.
const LATE_DELTA_EVERY: Duration = Duration::from_millis(20);

/// What all sessions of a server have in common.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) script: Arc<Prepared>,
    pub(crate) resume: Resume,
    pub(crate) carried: Arc<AtomicUsize>,
    pub(crate) pace: Pace,
    pub(crate) transcription_delay: Duration,
    pub(crate) min_speech_ms: u64,
    pub(crate) seed: u64,
}

/// Something that has been decided and comes later.
#[derive(Debug)]
pub(crate) enum Later {
    Transcript {
        item_id: String,
        text: String,
        audio_ms: u64,
    },
    Audio {
        response_id: String,
        item_id: String,
        output_index: usize,
        audio: Bytes,
    },
}

/// One session.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) settings: Arc<Settings>,
    pub(crate) stage: SessionIo,
    pub(crate) config: Config,
    pub(crate) input: InputBuffer,
    pub(crate) prompter: ScriptCursor,
    pub(crate) answers: Vec<Answer>,
    pub(crate) echo: Option<Echo>,
    pub(crate) quirks: Quirks,
    pub(crate) armed: Vec<FaultInjector>,
    pub(crate) later: Vec<(Instant, Later)>,
    pub(crate) idle_at: Option<Instant>,
    /// When everything said so far would have been played in real time.
    playing_until: Instant,
    conversation_id: String,
}

impl Engine {
    pub(crate) fn new(
        settings: Arc<Settings>,
        model: Model,
        faults: Vec<Fault>,
        log: Arc<SessionLog>,
        unix_now: u64,
        now: Instant,
    ) -> Self {
        // Ids differ from session to session and are the same on every run.
        let seed = settings.seed ^ (log.number() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut stage = SessionIo::new(seed, log);
        let mut lifetime = Duration::from_secs(3_600);
        for fault in &faults {
            if let Fault::Expire { after_ms } = fault {
                lifetime = Duration::from_millis(*after_ms);
            }
        }
        let session_id = stage.outbox.mint.id("sess");
        let conversation_id = stage.outbox.mint.id("conv");
        stage.model.clone_from(&model.name);
        let config = Config::new(model, &session_id, unix_now + lifetime.as_secs());
        let input = InputBuffer::new(&config, settings.min_speech_ms);
        let prompter = ScriptCursor::new(
            settings.script.clone(),
            settings.resume,
            settings.carried.clone(),
        );
        let mut engine = Self {
            settings,
            stage,
            config,
            input,
            prompter,
            answers: Vec::new(),
            echo: None,
            quirks: Quirks::default(),
            armed: vec![FaultInjector::end_of_session(now + lifetime)],
            later: Vec::new(),
            idle_at: None,
            playing_until: now,
            conversation_id,
        };
        for fault in faults {
            engine.inject(fault, now);
        }
        engine.took_configuration();
        let created = json!({"session": engine.config.to_json()});
        engine.stage.outbox.emit("session.created", created);
        engine
    }

    /// Makes the accepted configuration count.
    pub(crate) fn took_configuration(&mut self) {
        self.input
            .configure(&self.config, self.settings.min_speech_ms);
        self.stage.input_format = self.config.input_format();
        self.stage.instructions_length = self.config.instructions_length();
        let config = self.config.to_json();
        self.stage.log.update(|state| state.config = config);
    }

    /// When [`Engine::tick`] is due next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let answers = self.answers.iter().filter_map(Answer::deadline);
        let later = self.later.iter().map(|(at, _)| *at);
        let armed = self.armed.iter().filter_map(FaultInjector::at);
        answers.chain(later).chain(armed).chain(self.idle_at).min()
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.play_answers(now);
        while let Some(index) = self.later.iter().position(|(at, _)| *at <= now) {
            let (_, later) = self.later.remove(index);
            self.come_true(later);
        }
        if self.idle_at.is_some_and(|at| at <= now) {
            self.idle_at = None;
            self.idle(now);
        }
        self.strike_due(now);
    }

    /// The next thing for the socket's task to do.
    pub(crate) fn next(&mut self) -> Option<Outgoing> {
        let outgoing = self.stage.outbox.pop()?;
        if let Outgoing::Event { audio, .. } = &outgoing {
            self.strike_counted(*audio);
        }
        Some(outgoing)
    }

    /// Asks the servers of tools in the configuration what they have.
    pub(crate) fn list_tools(&mut self) {
        self.stage.served.clear();
        let config = self.config.to_json();
        let tools = config["tools"].as_array();
        for server in tools.into_iter().flatten().filter_map(Server::read) {
            let item_id = self.stage.outbox.mint.id("mcpl");
            let begun = json!({"item_id": item_id});
            self.stage.outbox.emit("mcp_list_tools.in_progress", begun);
            let ask = Ask::List { item_id, server };
            self.stage.outbox.push(Outgoing::Ask(ask));
        }
    }

    /// A server of tools has answered.
    pub(crate) fn tools_answered(&mut self, answered: Answered, now: Instant) {
        match answered {
            Answered::Listed {
                item_id,
                server,
                tools: Ok(tools),
            } => {
                for tool in &tools {
                    let name = tool["name"].as_str().unwrap_or_default().to_owned();
                    self.stage.served.insert(name, server.clone());
                }
                let listed = tools.iter().map(|tool| {
                    json!({"name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"]})
                });
                let json = json!({"id": item_id, "type": "mcp_list_tools", "server_label": server.label,
                    "tools": listed.collect::<Vec<_>>()});
                self.stage.conversation.append(Item {
                    id: item_id.clone(),
                    json,
                    sound: Sound::None,
                });
                self.stage.emit_whole(&item_id);
                let done = json!({"item_id": item_id});
                self.stage.outbox.emit("mcp_list_tools.completed", done);
            }
            Answered::Listed {
                item_id,
                tools: Err(error),
                ..
            } => {
                log::info!(error = error.as_str(); "a server of tools is not reached");
                let failed = json!({"item_id": item_id});
                self.stage.outbox.emit("mcp_list_tools.failed", failed);
            }
            Answered::Called { item_id, output } => {
                let stage = &mut self.stage;
                for answer in &mut self.answers {
                    if answer.served(&item_id, &output, stage, now) {
                        self.prompter.tool_output();
                        return;
                    }
                }
            }
        }
    }

    fn play_answers(&mut self, now: Instant) {
        let mut index = 0;
        while index < self.answers.len() {
            match self.answers[index].play(&mut self.stage, now) {
                None => index += 1,
                Some(finished) => {
                    let answer = self.answers.remove(index);
                    self.finished(&answer, &finished, now);
                }
            }
        }
    }

    pub(crate) fn finished(&mut self, answer: &Answer, finished: &Finished, now: Instant) {
        if !finished.in_conversation {
            return;
        }
        let playing = Duration::from_millis(finished.audio_ms);
        self.playing_until = now + playing;
        if finished.came_to_nothing && matches!(answer.source, Source::Turn(_) | Source::Otherwise)
        {
            self.prompter.owed();
        }
        let idle = self
            .input
            .detection
            .and_then(|detection| detection.idle_timeout_ms);
        self.idle_at = idle.map(|ms| now + playing + Duration::from_millis(ms));
    }

    /// Somebody answers in the conversation right now.
    pub(crate) fn active_response(&self) -> Option<&str> {
        let mut answers = self.answers.iter();
        let answer = answers.find(|answer| answer.in_conversation());
        let echo = self.echo.as_ref().map(|echo| echo.response_id());
        answer.map(|answer| answer.id.as_str()).or(echo)
    }

    /// Audio of an answer is still being made, or would still be audible.
    pub(crate) fn is_speaking(&self, now: Instant) -> bool {
        self.active_response().is_some() || self.playing_until > now
    }

    /// Starts a response, with what the session says about it.
    pub(crate) fn respond(&mut self, cause: Cause, now: Instant) -> Result<(), ApiError> {
        let terms = self.terms();
        self.respond_with(cause, terms, now)
    }

    /// The session's own terms for a response.
    pub(crate) fn terms(&self) -> Terms {
        let format = self.config.output_format();
        Terms {
            conversation_id: Some(self.conversation_id.clone()),
            output_modalities: self.config.output_modalities(),
            max_output_tokens: self.config.max_output_tokens(),
            format,
            voice: self.config.voice(),
            metadata: Value::Null,
            wire_format: if self.quirks.wrong_audio {
                Format::Pcm
            } else {
                format
            },
        }
    }

    pub(crate) fn respond_with(
        &mut self,
        cause: Cause,
        terms: Terms,
        now: Instant,
    ) -> Result<(), ApiError> {
        if terms.conversation_id.is_some()
            && let Some(active) = self.active_response()
        {
            return Err(ApiError::new(
                "conversation_already_has_active_response",
                format!(
                    "Conversation already has an active response in progress: {active}. Wait until the response is finished before creating a new one."
                ),
            ));
        }
        let (source, prompt) = self.prompter.next(cause);
        let conversation = &self.stage.conversation;
        let line = prompt.line(&|tool| conversation.last_output(tool));
        let ending = match self.quirks.next_failure() {
            Some(failure) => failure,
            None => {
                self.prompter.taken(source);
                if line.tools.is_empty() && !prompt.tools.is_empty() {
                    self.prompter.called_nothing();
                }
                line.ending.clone()
            }
        };
        if terms.conversation_id.is_some() {
            self.idle_at = None;
        }
        let pace = self.settings.pace;
        let answer = Answer::begin(&line, source, ending, terms, pace, &mut self.stage, now);
        self.answers.push(answer);
        let position = self.prompter.position();
        self.stage.log.update(|state| state.position = position);
        self.play_answers(now);
        Ok(())
    }

    /// Ends the response that is active in the conversation, if there is one.
    pub(crate) fn cancel_active(&mut self, why: Cancel, now: Instant) -> bool {
        if self.echo.is_some() {
            self.cancel_echo(why, now);
            return true;
        }
        let active = self.answers.iter().position(Answer::in_conversation);
        let Some(index) = active else {
            return false;
        };
        self.cancel(index, why, now);
        true
    }

    pub(crate) fn cancel(&mut self, index: usize, why: Cancel, now: Instant) {
        let mut answer = self.answers.remove(index);
        let mut finished = answer.cancel(why, &mut self.stage, now);
        let late = std::mem::take(&mut finished.withheld);
        let mut at = now;
        for (item_id, output_index, audio) in late.into_iter().take(self.quirks.late_deltas) {
            at += LATE_DELTA_EVERY;
            let response_id = answer.id.clone();
            self.later.push((
                at,
                Later::Audio {
                    response_id,
                    item_id,
                    output_index,
                    audio,
                },
            ));
        }
        self.finished(&answer, &finished, now);
    }

    fn come_true(&mut self, later: Later) {
        match later {
            Later::Transcript {
                item_id,
                text,
                audio_ms,
            } => self.transcribed(&item_id, &text, audio_ms),
            Later::Audio {
                response_id,
                item_id,
                output_index,
                audio,
            } => {
                let place = Place {
                    response_id: &response_id,
                    item_id: &item_id,
                    output_index,
                };
                self.stage.outbox.emit_audio(place, &audio);
            }
        }
    }
}
