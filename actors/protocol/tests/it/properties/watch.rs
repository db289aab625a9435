//! A call that is watched while it is played with: every effect is held against the promises.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use call_protocol::audio::{AudioFormat, encode_sample};
use call_protocol::call::effect::{Effect, Report};
use call_protocol::call::event::Event;
use call_protocol::call::outcome::EndReason;
use call_protocol::call::{ADOPT_WITHIN, CallSetup, Greeting, PARK_AFTER, Silence};
use call_protocol::checkpoint::Checkpoint;
use call_protocol::conversation::Speaker;
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::{ModelEvent, ResponseStatus};
use call_protocol::model::preroll::KEPT_MS;
use call_protocol::phone::playback::LEAD_MS;
use call_protocol::time::Time;
use call_protocol::tool::ToolResult;
use call_protocol::wire::ReadError;

use super::sockets::event_of;
use super::steps::{Opening, Step};
use super::tools::{ToolBook, tool};
use crate::common::events::{
    agent_words, call_sid, caller_turn, caller_words, complaint, connected, done_as, error,
    hang_up, id, model, opened, phone_vanished, response_started_as, setup_with, speech_started,
    speech_stopped, start, stream_sid, tool_finished, tool_item, voice,
};
use crate::common::phone::SimPhone;
use crate::common::rig::{Rig, audio_of};
use crate::common::short::Of;

/// The byte that audio of an unannounced response is made of.
const GHOST: u8 = 255;

/// The byte that the filler is made of; no response is.
const FILLER: u8 = 253;

/// What was seen of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) played: u64,
    pub(crate) appended: u64,
    pub(crate) marks: u64,
    pub(crate) clears: u64,
    pub(crate) responds: u64,
    stopped: u64,
    closed_phone: u64,
}

/// A call under watch.
pub(crate) struct Watched {
    rig: Rig,
    seen: Seen,
    read: usize,
    /// Responses of this session, as the server announced them.
    responses: Vec<u32>,
    announced: u32,
    /// The response that runs.
    running: Option<u32>,
    /// Our request the server has not answered.
    asked: Option<String>,
    /// When it was asked for.
    asked_at: Time,
    /// People called.
    people: u32,
    /// When the effect that is looked at was wanted.
    at: Time,
    /// Responses the caller has spoken over.
    dead: BTreeSet<u8>,
    ready: bool,
    started: bool,
    /// Whether there was ever a stream.
    began: bool,
    last_mark: (u32, u64),
    tools: ToolBook,
    /// Whether linear audio was found, and what is played is transcoded.
    transcoding: bool,
    /// Whether an agent's turn was cut since the last step, and whether because somebody wanted it.
    cut: bool,
    interrupted: bool,
    /// Whether everything said was also said to be over: no session was lost, no response unannounced.
    whole: bool,
    /// Whether an answer ran at the last step: one that never ends is not waited for.
    was_running: bool,
    /// Whether every mark that came back, or did not, was Twilio's own doing.
    honest: bool,
}

fn tag_of(response: u32) -> u8 {
    (response % 250) as u8 + 1
}

fn setup(opening: Opening) -> CallSetup {
    let greeting = if opening.greets {
        let instructions = "Greet.".to_owned();
        Greeting::Model { instructions }
    } else {
        Greeting::Wait
    };
    let mut setup = setup_with(greeting, true);
    setup.call = Some(call_sid());
    let agent = Arc::make_mut(&mut setup.agent);
    agent.keys.insert('0', "front_desk".to_owned());
    agent.transfer_targets.push("front_desk".to_owned());
    agent.calls_ahead = (!opening.greets).then_some(Duration::from_secs(5));
    agent.filler = Some(voice(FILLER, 700));
    if opening.impatient {
        setup.max_length = Duration::from_secs(95);
        agent.longest_monologue = Duration::from_secs(5);
        agent.answer_within = Duration::from_secs(2);
        agent.silence = Some(Silence {
            after: Duration::from_millis(700),
            instructions: "Ask.".to_owned(),
            attempts: 2,
        });
    }
    setup
}

impl Watched {
    pub(crate) fn new(opening: Opening) -> Self {
        let mut rig = Rig::new(setup(opening));
        rig.latency = Duration::from_millis(opening.latency_ms);
        rig.obliging = opening.usual;
        rig.interrupts = Some(opening.server_interrupts);
        // Sessions of a few seconds: the next one is opened and taken in the middle of whatever happens.
        rig.lifetime = opening.impatient.then_some(6);
        let mut watched = Self {
            rig,
            seen: Seen::default(),
            read: 0,
            responses: Vec::new(),
            announced: 0,
            running: None,
            asked: None,
            asked_at: Time::ZERO,
            people: 0,
            at: Time::ZERO,
            dead: BTreeSet::new(),
            ready: false,
            started: false,
            began: false,
            last_mark: (0, 0),
            tools: ToolBook::default(),
            transcoding: false,
            cut: false,
            interrupted: false,
            whole: true,
            was_running: false,
            honest: true,
        };
        if opening.usual {
            watched.rig.event(opened());
            watched.rig.media();
        }
        watched.check();
        watched
    }

    pub(crate) const fn seen(&self) -> Seen {
        self.seen
    }

    pub(crate) fn take_step(&mut self, step: &Step) {
        self.honest &= !matches!(step, Step::Deaf(true) | Step::MarkLie(_));
        // Nobody says that the audio of such a response is over.
        self.whole &= !matches!(step, Step::GhostAudio(_));
        match step {
            Step::Pass(ms) => self.rig.pass(*ms),
            Step::FramesFlow(flow) => self.rig.caller_sends(flow.then_some(0xFE)),
            Step::Deaf(deaf) => self.rig.phone.deaf = *deaf,
            Step::PhoneReplaced { after_ms } => self.replace_phone(*after_ms),
            _ => {
                let event = event_of(step).or_else(|| self.conversation_event(step));
                if let Some(event) = event {
                    self.rig.event(event);
                }
            }
        }
        self.check();
    }

    /// The media socket breaks; another one takes its place, if it comes in time.
    fn replace_phone(&mut self, after_ms: Option<u64>) {
        let flowed = self.started;
        self.rig.caller_sends(None);
        self.rig.event(phone_vanished());
        self.check();
        self.rig.phone = SimPhone::default();
        let Some(after_ms) = after_ms.filter(|_| flowed && !self.rig.call.is_over()) else {
            return;
        };
        self.rig.pass(after_ms);
        self.check();
        let away = Duration::from_millis(after_ms);
        let ended = self.rig.call.snapshot(self.rig.now).ended;
        if away >= ADOPT_WITHIN {
            assert!(ended.is_some(), "the grace is two seconds");
        } else {
            assert_ne!(
                ended,
                Some(EndReason::PhoneLost),
                "the grace is two seconds"
            );
        }
        assert!(!self.ready || away < PARK_AFTER, "a model without a caller");
        self.rig.event(connected());
        self.rig.event(start());
        self.rig.caller_sends(Some(0xFE));
    }

    /// The end, if it has not come yet, and what holds after it.
    pub(crate) fn hang_up(&mut self) {
        if self.tools.awaits_end() && !self.rig.call.is_over() {
            self.rig.caller_sends(Some(0xFE));
            self.rig.pass_until_over(80_000);
            self.check();
        }
        self.rig.event(hang_up());
        self.check();
        self.rig.pass(10_000);
        self.rig.event(connected());
        self.rig.event(speech_started());
        self.check();
        assert_eq!(self.seen.stopped, 1, "one last word about a call");
        assert_eq!(self.seen.closed_phone, 1);
        assert_eq!(self.rig.call.poll_timeout(), None);
    }

    /// The response announced so many before the last one.
    fn response(&self, back: usize) -> Option<u32> {
        self.responses.iter().rev().nth(back).copied()
    }

    /// What the session says about the conversation; the books of the server's side are kept on the way.
    fn conversation_event(&mut self, step: &Step) -> Option<Event> {
        let item_of = |response: u32, item: u8| id(&format!("item_{response}_{item}"));
        Some(match step {
            Step::SpeechStarted => {
                if self.ready {
                    self.dead.extend(self.responses.iter().copied().map(tag_of));
                }
                speech_started()
            }
            Step::SpeechStopped => speech_stopped(),
            Step::CallerTurn(item) => {
                self.tools.caller_turn();
                caller_turn(&format!("item_c{item}"))
            }
            Step::ToolDone { back, result } => {
                let result = ToolResult::ALL[usize::from(*result)];
                let number = self.tools.finish(*back, result)?;
                tool_finished(number, result, "{}")
            }
            Step::CallerWords(item) => caller_words(&format!("item_c{item}"), "Hello."),
            Step::AgentWords(item) => agent_words(&format!("item_0_{item}"), "Good day."),
            Step::ResponseStarted { linear } => {
                self.announced += 1;
                let response = self.announced;
                if self.ready {
                    self.responses.push(response);
                    self.running = Some(response);
                    self.asked = None;
                }
                let format = linear.then_some(AudioFormat::Pcm24k);
                response_started_as(&format!("resp_{response}"), format)
            }
            Step::Audio {
                back,
                item,
                part,
                bytes,
            } => {
                let response = self.response(*back)?;
                let audio = vec![tag_of(response); *bytes];
                model(ModelEvent::Audio {
                    response: id(&format!("resp_{response}")),
                    item: item_of(response, *item),
                    part: *part,
                    payload: call_protocol::audio::payload::Payload::from_audio(&audio),
                })
            }
            Step::GhostAudio(bytes) => model(ModelEvent::Audio {
                response: id("resp_ghost"),
                item: id("item_ghost"),
                part: 0,
                payload: call_protocol::audio::payload::Payload::from_audio(&vec![GHOST; *bytes]),
            }),
            Step::AudioDone { back, item, part } => {
                let response = self.response(*back)?;
                model(ModelEvent::AudioDone {
                    response: id(&format!("resp_{response}")),
                    item: item_of(response, *item),
                    part: *part,
                })
            }
            Step::ToolCall {
                back,
                call,
                tool: number,
                complete,
            } => {
                let response = self.response(*back)?;
                let call = format!("call_{call}");
                let (name, arguments) = tool(*number);
                if *complete && self.ready && !self.rig.call.is_over() {
                    self.tools.make(&call, response, *number, self.rig.now);
                }
                tool_item(
                    &format!("resp_{response}"),
                    &call,
                    name,
                    arguments,
                    *complete,
                )
            }
            Step::ResponseDone {
                back,
                status,
                spoken,
            } => {
                let response = self.response(*back)?;
                if self.running == Some(response) {
                    self.running = None;
                }
                let limit = complaint("rate_limit_exceeded", "try again in 300ms", None);
                let status = match status {
                    0 => ResponseStatus::Completed,
                    1 => ResponseStatus::Interrupted,
                    2 => ResponseStatus::Cancelled,
                    3 => ResponseStatus::OutOfTokens,
                    4 => ResponseStatus::Filtered,
                    5 => ResponseStatus::Failed(limit),
                    _ => ResponseStatus::Other,
                };
                done_as(&format!("resp_{response}"), status, u32::from(*spoken))
            }
            Step::Error { code, ours } => {
                let request = self.asked.clone().filter(|_| *ours && self.ready);
                if request.is_some() {
                    self.asked = None;
                }
                let code = match code {
                    0 => "conversation_already_has_active_response",
                    1 => "response_cancel_not_active",
                    2 => "rate_limit_exceeded",
                    3 => "invalid_value",
                    4 => "server_error",
                    _ => "session_expired",
                };
                error(complaint(code, "try again in 40ms", request.as_deref()))
            }
            Step::ModelUnusable => model(ModelEvent::Unusable(ReadError::Malformed)),
            _ => return None,
        })
    }

    /// Holds everything new against the promises, and lets a timer that is due come due.
    fn check(&mut self) {
        self.rig.pass(0);
        self.rig.call.handle_timeout(self.rig.now);
        self.rig.pass(0);
        let due = self.rig.call.poll_timeout();
        assert!(
            due.is_none_or(|due| due > self.rig.now),
            "a deadline that has passed"
        );
        self.was_running = self.running.is_some();
        let log = std::mem::take(&mut self.rig.log);
        let of = std::mem::take(&mut self.rig.of);
        for ((at, effect), of) in log.iter().zip(&of).skip(self.read) {
            self.at = *at;
            self.check_effect(effect, *of);
        }
        self.read = log.len();
        (self.rig.log, self.rig.of) = (log, of);
        (self.cut, self.interrupted) = (false, false);
        self.check_books();
        if self.ready && !self.rig.call.is_over() {
            self.tools.check(self.running, self.rig.now);
        }
        // At any moment another process could go on from what would be written now.
        let checkpoint = self.rig.call.checkpoint(self.rig.now);
        let document = checkpoint.clone().encode().expect("it fits");
        assert_eq!(Checkpoint::decode(&document), Ok(checkpoint));
    }

    fn check_effect(&mut self, effect: &Effect, of: Of) {
        if self.seen.stopped > 0 {
            let late = matches!(effect, Effect::Report(Report::Violation { .. }));
            assert!(late, "after the end: {effect:?}");
        }
        match effect {
            Effect::Play {
                stream, payload, ..
            } => {
                assert!(self.started, "audio before start");
                assert_eq!(*stream, stream_sid());
                let audio = audio_of(payload);
                self.seen.played += audio.len() as u64;
                self.check_alive(&audio);
            }
            Effect::Mark { stream, name } => {
                let number = name.strip_prefix('m').and_then(|name| {
                    let (stream, number) = name.split_once('-')?;
                    Some((stream.parse().ok()?, number.parse().ok()?))
                });
                let number: (u32, u64) = number.expect("a mark of this machine");
                assert_eq!(*stream, stream_sid());
                assert!(number > self.last_mark, "a mark used twice");
                self.last_mark = number;
                self.seen.marks += 1;
            }
            Effect::Clear { stream } => {
                assert!(self.started);
                assert_eq!(*stream, stream_sid());
                self.seen.clears += 1;
            }
            Effect::CloseModel(_) if of == Of::Replaced => {
                self.lose_session();
                self.ready = true;
                self.seen.appended = 0;
            }
            Effect::CloseModel(_) if of == Of::Current => self.lose_session(),
            Effect::DialConsult(person) => {
                self.people += 1;
                assert_eq!(person.attempt, self.people, "each wish once");
            }
            Effect::EndConsult(_) => assert!(self.people > 0, "nobody was called"),
            Effect::RunTool(run) => self.tools.begin(run),
            Effect::ClosePhone { .. } => self.seen.closed_phone += 1,
            Effect::ToModel(_, command) if of == Of::Current => self.check_command(command),
            Effect::Report(Report::ModelReady { .. }) => {
                self.ready = true;
                self.seen.appended = 0;
            }
            Effect::Report(Report::Started { .. }) => {
                self.started = true;
                self.began = true;
            }
            Effect::Report(Report::PhoneAway) => {
                self.started = false;
                self.seen.played = 0;
                // What was being said is called off, by nobody's wish.
                self.whole = false;
                self.dead.extend(self.responses.iter().copied().map(tag_of));
            }
            Effect::Stopped(summary) => {
                self.seen.stopped += 1;
                self.check_last_word(summary.reason);
            }
            // What a lost session had begun to say is cut, though not by the call's end.
            Effect::Report(Report::ModelLost { .. }) => self.whole = false,
            Effect::Report(Report::Transcoding) => self.transcoding = true,
            Effect::Report(Report::Interrupted { .. }) => self.interrupted = true,
            Effect::Report(Report::Turn(turn)) => {
                if turn.item.as_str().starts_with("keys-") {
                    self.tools.caller_turn();
                }
                self.cut |= turn.cut && turn.who == Speaker::Agent;
            }
            Effect::Checkpoint => assert!(self.began, "a checkpoint of nothing"),
            Effect::Forget => assert_eq!(self.seen.stopped, 0, "the last word comes last"),
            Effect::Report(_)
            | Effect::DialModel(_)
            | Effect::CloseModel(_)
            | Effect::ToModel(..) => {}
        }
    }

    /// Nothing the caller has spoken over is played.
    fn check_alive(&self, audio: &[u8]) {
        if !self.transcoding {
            let dead = audio.iter().find(|tag| self.dead.contains(tag));
            assert_eq!(dead, None, "audio the caller has spoken over");
            return;
        }
        // Each response is one level, which the filter takes a few samples to reach.
        for tag in &self.dead {
            let level = encode_sample(i16::from_le_bytes([*tag, *tag]));
            let mut stretches = audio.chunk_by(|a, b| a == b);
            let dead = stretches.any(|stretch| stretch[0] == level && stretch.len() > 30);
            assert!(!dead, "transcoded audio the caller has spoken over");
        }
    }

    /// A call that ends for its own reasons does not do so in the middle of a word.
    fn check_last_word(&self, reason: EndReason) {
        let of_itself = matches!(
            reason,
            EndReason::AgentHungUp
                | EndReason::Transferred
                | EndReason::CallerSilent
                | EndReason::NobodyThere
        );
        let in_a_word = self.cut && !self.interrupted && !self.was_running && self.whole;
        assert!(
            !(of_itself && in_a_word && self.honest),
            "{reason} in the middle of a word"
        );
    }

    fn lose_session(&mut self) {
        self.tools.forget();
        self.transcoding = false;
        self.ready = false;
        self.asked = None;
        self.running = None;
        self.responses.clear();
    }

    fn check_command(&mut self, command: &ModelCommand) {
        if let ModelCommand::Configure { .. } = command {
            assert!(!self.ready);
            return;
        }
        assert!(self.ready, "{command:?} to a session that is not ready");
        match command {
            ModelCommand::Respond { request, .. } => {
                // A model that has not answered for too long is asked again.
                let is_silent = self.at.since(self.asked_at) >= Duration::from_secs(2);
                assert!(
                    self.asked.is_none() || is_silent,
                    "a request while another is unanswered"
                );
                self.asked_at = self.at;
                assert_eq!(self.running, None, "a request while an answer runs");
                self.asked = Some(request.clone());
                self.seen.responds += 1;
            }
            ModelCommand::Append(payload) => {
                let bytes = payload.audio_bytes();
                self.seen.appended += bytes as u64;
                assert!(bytes as u64 <= KEPT_MS * 8);
            }
            ModelCommand::Cancel { response } => {
                let running = self.running.map(|running| format!("resp_{running}"));
                assert_eq!(Some(response.as_str()), running.as_deref());
            }
            ModelCommand::ToolOutput { call, .. } => {
                self.tools.answer(call.as_str(), self.running);
            }
            ModelCommand::Configure { .. }
            | ModelCommand::FindTurns { .. }
            | ModelCommand::Truncate { .. }
            | ModelCommand::Delete { .. }
            | ModelCommand::Refuse { .. }
            | ModelCommand::Tell { .. } => {}
        }
    }

    fn check_books(&self) {
        if self.rig.call.is_over() || !self.started {
            return;
        }
        let books = self.rig.call.detail(self.rig.now).playback;
        let sum = books.heard + books.flushed + books.outstanding;
        // Each figure is rounded down to a millisecond.
        assert!(books.sent.abs_diff(sum) <= 2, "{books:?}");
        assert_eq!(books.sent, self.seen.played / 8);
        // A mark that comes back late says that less was heard than the clock had it; a phone that keeps or invents
        // marks may say anything.
        let late = 2 * self.rig.latency.as_millis() as u64 + 1;
        assert!(
            !self.honest || books.outstanding <= LEAD_MS + late,
            "{books:?}"
        );
    }
}
