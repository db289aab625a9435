//! The call machine: an event and the time go in, effects and a next deadline come out.
//!
//! The rule of use: after each [`Call::handle`] or [`Call::handle_timeout`], drain [`Call::poll_effect`], then ask
//! [`Call::poll_timeout`] when to come back.
#![warn(clippy::wildcard_enum_match_arm)]

mod absence;
mod agent_audio;
mod answers;
pub mod choice;
mod closing;
pub mod consult;
mod context_notes;
mod dtmf;
pub mod effect;
mod error_budget;
pub mod event;
mod filler;
mod floor;
mod interruption;
mod model_leg;
pub mod operator;
pub mod outcome;
mod phone_leg;
mod protection;
mod rebuild;
mod resume;
mod rollover;
mod server_tools;
mod setup;
mod silence;
pub mod snapshot;
pub mod state;
pub mod timers;
mod tool_filler;
mod tool_outcomes;
mod tool_runs;
mod tools;
mod utterance;

pub use filler::FILLER_AFTER;
use phone_leg::mark_name;
pub use protection::Protected;
pub use rebuild::Salvage;
pub use setup::{AgentProfile, CallSetup, Greeting, LONGEST_MONOLOGUE, Silence};
pub use tools::{END_CALL, TRANSFER_CALL};

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::audio::payload::Payload;
use crate::conversation::Conversation;
use crate::ids::{ModelId, PartKey};
use crate::latency::Histogram;
use crate::model::command::ModelCommand;
use crate::model::link::{Backoff, Link};
use crate::model::openai::refused::Part;
use crate::model::preroll::Preroll;
use crate::phone::event::PhoneEvent;
use crate::phone::playback::{Outgoing, Playback, Settled};
use crate::time::Time;
pub use absence::{ADOPT_WITHIN, PARK_AFTER};

use effect::{Effect, Peer, Report, Summary};
use event::Event;
use outcome::EndReason;
use state::{Ended, Opening, State, StateName};
use timers::{Timer, Timers};

/// `start` must come this soon after the socket; Twilio sends it within a tenth of a second.
pub const START_TIMEOUT: Duration = Duration::from_secs(5);

/// A phone leg that sends no audio for this long is gone: Twilio sends a frame every 20 ms, also in silence.
pub const MEDIA_TIMEOUT: Duration = Duration::from_secs(5);

/// Audio that must have been heard this long ago and was not acknowledged: the phone leg plays nothing.
pub const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Response id of audio that did not come from the model: clips.
const LOCAL: &str = "local";

/// A phone call.
#[derive(Debug)]
pub struct Call {
    setup: CallSetup,
    state: State,
    link: Link,
    backoff: Backoff,
    sessions: u32,
    /// How often the ledger was begun anew; part of every mark's name, so that an old mark is not taken for a new one.
    epoch: u32,
    /// Parts of the configuration that a server refused; no session of this call is asked for them again.
    left_out: Vec<Part>,
    protection: protection::Protection,
    floor: floor::Floor,
    utterance: utterance::Utterance,
    preroll: Preroll,
    conversation: Conversation,
    timers: Timers,
    effects: VecDeque<Effect>,
    phone_errors: error_budget::ErrorBudget,
    model_errors: error_budget::ErrorBudget,
    wait: filler::Wait,
    rollover: rollover::Rollover,
    tools: tools::ToolCalls,
    runs: tool_runs::ToolRuns,
    server_tools: server_tools::ServerTools,
    closing: closing::Closing,
    /// Those who are called while the caller stays.
    consult_legs: consult::ConsultLegs,
    /// What every session is told besides the conversation.
    notes: context_notes::Notes,
    sayings: operator::OperatorSpeech,
    asked_if_there: u8,
    /// Keys pressed and not told yet.
    keys: String,
    key_presses: u32,
    /// What was before this media socket.
    past: resume::Past,
    /// Something happened that a checkpoint should hold.
    unsaved: bool,
    tally: Tally,
    turn_latency: Histogram,
}

/// What is counted in a call.
#[derive(Clone, Debug, Default)]
struct Tally {
    frames_from_caller: u64,
    bytes_to_caller: u64,
    dropped_bytes: u64,
    barge_ins: u64,
    reconnects: u64,
    sequence_gaps: u64,
    filled_ms: u64,
    cost_usd: f64,
    violations: BTreeMap<(&'static str, &'static str), u64>,
}

impl Call {
    /// A call whose media socket was accepted at [`Time::ZERO`]. The model is dialled at once, before `start`.
    #[must_use]
    pub fn new(setup: CallSetup) -> Self {
        let mut call = Self::bare(setup);
        call.timers.set(Timer::Start, Time::ZERO + START_TIMEOUT);
        call.watch_length();
        call.dial(Time::ZERO);
        call
    }

    /// A call in which nothing is under way.
    fn bare(setup: CallSetup) -> Self {
        Self {
            state: State::Accepted(Opening::default()),
            link: Link::Waiting,
            backoff: Backoff::new(setup.seed),
            sessions: 0,
            epoch: 0,
            left_out: Vec::new(),
            protection: protection::Protection::default(),
            floor: floor::Floor::default(),
            utterance: utterance::Utterance::default(),
            preroll: Preroll::default(),
            conversation: Conversation::default(),
            timers: Timers::default(),
            effects: VecDeque::new(),
            phone_errors: error_budget::ErrorBudget::default(),
            model_errors: error_budget::ErrorBudget::default(),
            wait: filler::Wait::default(),
            rollover: rollover::Rollover::default(),
            tools: tools::ToolCalls::default(),
            runs: tool_runs::ToolRuns::default(),
            server_tools: server_tools::ServerTools::default(),
            closing: closing::Closing::default(),
            consult_legs: consult::ConsultLegs::default(),
            notes: context_notes::Notes::default(),
            sayings: operator::OperatorSpeech::default(),
            asked_if_there: 0,
            keys: String::new(),
            key_presses: 0,
            past: resume::Past::default(),
            unsaved: false,
            tally: Tally::default(),
            turn_latency: Histogram::default(),
            setup,
        }
    }

    /// Something happened.
    pub fn handle(&mut self, event: Event, now: Time) {
        // A frame of the caller changes nothing about who is to speak.
        let frame = matches!(event, Event::Phone(PhoneEvent::Audio(_)));
        match event {
            Event::Phone(event) => self.on_phone(event, now),
            Event::Model(event) => self.on_model(event, now),
            Event::Next(event) if self.is_over() => drop(event),
            Event::Next(event) => self.on_next(event, now),
            Event::Operator(wish) => self.on_operator(wish, now),
            Event::Tool(finished) => self.on_tool_finished(*finished, now),
        }
        if !frame {
            self.after_step(now);
            self.save();
        }
    }

    /// The deadline that [`poll_timeout`](Self::poll_timeout) gave has come; early calls do no harm.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Start => self.on_start_due(now),
                Timer::Park => self.park_model(now),
                Timer::Media => self.end(EndReason::PhoneStalled, now),
                Timer::Length => self.on_too_long(now),
                Timer::WrapUp => self.on_wrap_up(),
                Timer::Goodbye => self.on_goodbye(now),
                Timer::Leave => self.on_farewell_due(now),
                Timer::Silence => self.on_silence(now),
                Timer::NoTurn => self.on_no_turn(now),
                Timer::Keys => self.on_keys_due(now),
                Timer::Gap => self.on_gap(now),
                Timer::CatchUp => self.catch_up(now),
                Timer::Wait => self.play_filler(now),
                Timer::Answer => self.on_answer_due(now),
                Timer::NextSession => self.on_next_session_due(now),
                Timer::TakeNext => self.on_take_next_due(now),
                Timer::Return => self.on_return_due(now),
                Timer::Tool => self.on_tool_due(now),
                Timer::ToolFiller => self.on_tool_filler_due(now),
                Timer::Consult => self.on_person_due(),
                Timer::Dial => self.on_dial_timeout(now),
                Timer::Configure => self.on_configure_timeout(now),
                Timer::Redial => self.dial(now),
                Timer::Retry => self.on_retry(),
                Timer::Playback => self.pump(now),
                Timer::Acknowledge => self.on_acknowledge_due(now),
            }
        }
        self.after_step(now);
        self.save();
    }

    /// The next thing to be carried out.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// What the call is made of.
    #[must_use]
    pub const fn setup(&self) -> &CallSetup {
        &self.setup
    }

    /// Where the call is.
    #[must_use]
    pub const fn state(&self) -> StateName {
        self.state.name()
    }

    /// Whether the media socket is lost, and another one may take its place.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self.state, State::Away(_))
    }

    /// Whether the call is over.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Stop(_))
    }

    /// Ends the call, once.
    pub fn end(&mut self, reason: EndReason, now: Time) {
        if self.is_over() {
            return;
        }
        self.forget_filler();
        if let Some(playback) = self.state.playback_mut() {
            let rest = playback.interrupt(now).parts;
            for part in rest {
                self.settle(&part, now);
            }
        }
        for turn in self.conversation.finish() {
            self.report(Report::Turn(Box::new(turn)));
        }
        self.tell_if_resuming_failed(reason, now);
        let stream = self.state.known().map(|(_, stream)| stream);
        self.state = State::Stop(Ended {
            reason,
            at: now,
            stream,
        });
        self.let_person_go(reason);
        self.timers.stop_all();
        self.floor.give_up_retry();
        self.preroll = Preroll::default();
        self.link = Link::Lost;
        self.drop_next();
        self.conclude();
    }

    /// The effects that end a call. After a fault they are given again, as nobody knows which of them were carried out; the
    /// driver must be able to carry them out twice.
    pub fn conclude(&mut self) {
        let State::Stop(Ended { reason, at, stream }) = self.state else {
            return;
        };
        self.save_last(reason, stream.is_some());
        self.effects.push_back(Effect::CloseModel);
        self.effects.push_back(Effect::ClosePhone {
            code: reason.close_code(),
        });
        self.report(Report::State(StateName::Stop));
        let summary = Summary {
            reason,
            duration_ms: at.as_millis(),
            frames_from_caller: self.tally.frames_from_caller,
            frames_to_caller: self.tally.frames_to_caller(),
            turns: self.conversation.count(),
            cost_usd: self.tally.cost_usd,
            transfer_to: self
                .closing
                .destination()
                .filter(|_| reason == EndReason::Transferred)
                .map(|to| to.label().to_owned()),
        };
        self.report(Report::Stopped(Box::new(summary)));
    }

    fn report(&mut self, report: Report) {
        if matches!(report, Report::Turn(_)) {
            self.keep();
        }
        self.effects.push_back(Effect::Report(report));
    }

    fn ask_model(&mut self, mut command: ModelCommand) {
        if let ModelCommand::Respond { instructions, .. } = &mut command {
            // Its silence counts from here.
            self.timers.stop(Timer::Answer);
            if let Some(words) = instructions {
                // For their answer they take the place of the session's, and so bring them along.
                *words = format!("{}\n\n{words}", self.setup.agent.session.instructions);
            }
        }
        self.effects.push_back(Effect::ToModel(command));
    }

    fn violation(&mut self, peer: Peer, kind: &'static str) {
        *self
            .tally
            .violations
            .entry((peer.label(), kind))
            .or_default() += 1;
        self.report(Report::Violation { peer, kind });
    }

    /// Runs `act` on the ledger of a live stream and carries out what it wants sent.
    fn with_playback<T>(
        &mut self,
        now: Time,
        act: impl FnOnce(&mut Playback, &mut dyn FnMut(Outgoing)) -> T,
    ) -> Option<T> {
        let epoch = self.epoch;
        let is_filler = self.is_filled();
        let effects = &mut self.effects;
        let stream = self.state.stream_mut()?;
        let sid = stream.sid;
        let mut sent = 0u64;
        let result = act(&mut stream.playback, &mut |outgoing| {
            effects.push_back(match outgoing {
                Outgoing::Audio { payload, begins } => {
                    sent += payload.audio_bytes() as u64;
                    Effect::Play {
                        stream: sid,
                        payload,
                        begins,
                    }
                }
                Outgoing::Mark(number) => Effect::Mark {
                    stream: sid,
                    name: mark_name(epoch, number),
                },
            });
        });
        let (next_send, overdue_at) = (
            stream.playback.next_send(now),
            stream.playback.acknowledge_by(),
        );
        let first = sent > 0 && !is_filler && !stream.agent_heard;
        stream.agent_heard |= first;
        let since = stream.since;
        self.timers.set_or_stop(Timer::Playback, next_send);
        self.timers.set_or_stop(
            Timer::Acknowledge,
            overdue_at.map(|due| due + ACKNOWLEDGE_TIMEOUT),
        );
        if first {
            let after_start_ms = now.millis_since(since);
            self.report(Report::FirstAgentAudio { after_start_ms });
            self.tell_if_resumed(true, after_start_ms);
        }
        if sent > 0 {
            self.tally.bytes_to_caller += sent;
        }
        if sent > 0 && !is_filler {
            self.on_audio_left(now);
        }
        Some(result)
    }

    /// Sends what the lead allows.
    fn pump(&mut self, now: Time) {
        self.with_playback(now, |playback, mut out| playback.send(now, &mut out));
    }

    fn on_acknowledge_due(&mut self, now: Time) {
        let overdue = self
            .state
            .stream()
            .and_then(|stream| stream.playback.overdue(now));
        if overdue.is_some_and(|late| late >= ACKNOWLEDGE_TIMEOUT) {
            self.end(EndReason::NotPlayed, now);
        }
    }

    /// The first audio of an answer left: the caller's wait is over.
    fn on_audio_left(&mut self, now: Time) {
        let Some(since) = self.floor.audio_left() else {
            return;
        };
        let latency_us = u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX);
        self.turn_latency.record(latency_us);
        self.report(Report::Answered { latency_us });
    }

    /// A part of the agent's speech is over: heard or cut.
    fn settle(&mut self, settled: &Settled, now: Time) {
        if filler::is_filler(&settled.key) {
            self.on_filler_heard(now);
            return;
        }
        self.tools_told(settled);
        let turn = self.conversation.settle(settled, now);
        self.report(Report::Turn(Box::new(turn)));
    }

    /// Plays a clip in the agent's name.
    fn play_clip(&mut self, item: &str, audio: &Payload, text: &str, now: Time) {
        let key = PartKey {
            response: ModelId::new(LOCAL),
            item: ModelId::new(item),
            part: 0,
        };
        self.stop_filler(now);
        self.conversation.agent_words(&key.item, 0, text, now);
        let audio = audio.clone();
        self.with_playback(now, |playback, mut out| {
            playback.play(&key, audio, now, &mut out);
            playback.finish(&key, now, &mut out);
        });
    }
}

impl Tally {
    const fn frames_to_caller(&self) -> u64 {
        self.bytes_to_caller
            .div_ceil(crate::audio::FRAME_BYTES as u64)
    }
}
