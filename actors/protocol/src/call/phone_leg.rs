//! The phone leg: what Twilio's messages mean in each state.

use std::time::Duration;

use super::effect::{Effect, Peer, Report};
use super::outcome::EndReason;
use super::protection::GREETING;
use super::state::{State, StateName, Stream};
use super::timers::Timer;
use super::{Call, Greeting, MEDIA_TIMEOUT};
use crate::audio::payload::Payload;
use crate::model::command::ModelCommand;
use crate::model::preroll::CATCH_UP_EVERY;
use crate::phone::StreamSid;
use crate::phone::event::{CallerAudio, PhoneEvent, StreamStart};
use crate::phone::gaps::{CallerClock, QUIET_LINE, silence};
use crate::phone::playback::{MarkMeaning, Playback};
use crate::time::Time;
use crate::wire::ReadError;

impl Call {
    pub(super) fn on_phone(&mut self, event: PhoneEvent, now: Time) {
        match event {
            PhoneEvent::Audio(audio) => self.on_caller_audio(audio, now),
            PhoneEvent::Mark { stream, name } => self.on_mark(stream, &name, now),
            PhoneEvent::Connected { protocol, version } => self.on_connected(protocol, version),
            PhoneEvent::Start(start) => self.on_start(&start, now),
            PhoneEvent::Key { stream, digit } => self.on_key(stream, digit, now),
            PhoneEvent::Stop { stream } => self.on_stop(stream, now),
            PhoneEvent::Unknown { .. } => self.violation(Peer::Phone, "unknown_event"),
            PhoneEvent::Unusable(error) => self.bad_from_phone(error, now),
            PhoneEvent::Rejected(fault) => {
                self.violation(Peer::Phone, fault.label());
                self.end(EndReason::SocketFault(fault), now);
            }
            PhoneEvent::Closed { code } => self.on_phone_closed(code, now),
        }
    }

    fn on_connected(&mut self, protocol: String, version: String) {
        match &mut self.state {
            State::Accepted(opening) => {
                self.state = State::Connected(std::mem::take(opening));
                self.report(Report::State(StateName::Connected));
                self.report(Report::Connected { protocol, version });
            }
            // What a new socket says first.
            State::Away(_) => self.report(Report::Connected { protocol, version }),
            State::Connected(_) | State::Start(_) | State::Media(_) => {
                self.violation(Peer::Phone, "connected_again");
            }
            State::Stop(_) => self.violation(Peer::Phone, "after_stop"),
        }
    }

    fn on_start(&mut self, start: &StreamStart, now: Time) {
        let mut expected = self.setup.call;
        let mut absence = None;
        let playback = match &mut self.state {
            State::Connected(opening) => std::mem::take(&mut opening.held),
            State::Away(away) => {
                expected = Some(away.call);
                absence = Some((away.until, away.owes_word));
                std::mem::take(&mut away.held)
            }
            State::Accepted(opening) => {
                let held = std::mem::take(&mut opening.held);
                self.violation(Peer::Phone, "start_before_connected");
                held
            }
            State::Start(_) | State::Media(_) => {
                self.violation(Peer::Phone, "second_start");
                self.end(EndReason::SecondStart, now);
                return;
            }
            State::Stop(_) => {
                self.violation(Peer::Phone, "after_stop");
                return;
            }
        };
        let (Some(sid), Some(call), Some(account)) = (start.stream, start.call, start.account)
        else {
            self.violation(Peer::Phone, "bad_identifiers");
            self.end(EndReason::BadIdentifiers, now);
            return;
        };
        if expected.is_some_and(|expected| expected != call) {
            self.violation(Peer::Phone, "foreign_call");
            self.end(EndReason::ForeignCall, now);
            return;
        }
        // The call is one we were asked about; a subaccount of ours may have it.
        if self.setup.account.is_some_and(|ours| ours != account) {
            self.violation(Peer::Phone, "foreign_account");
        }
        if !start.format.is_supported() {
            self.violation(Peer::Phone, "unsupported_format");
            let why = start.format.to_string();
            self.report(Report::StreamRefused { why });
            self.end(EndReason::UnsupportedFormat, now);
            return;
        }
        let playback = if self.choose_agent(start, now) {
            Playback::default()
        } else {
            playback
        };
        self.state = State::Start(Stream {
            sid,
            call,
            playback,
            since: now,
            sequence: None,
            clock: CallerClock::default(),
            agent_heard: false,
        });
        self.timers.stop(Timer::Start);
        self.timers.set(Timer::Media, now + MEDIA_TIMEOUT);
        self.watch_turns(now);
        self.report(Report::State(StateName::Start));
        let refused_parameters = start.refused_parameters;
        self.report(Report::Started {
            stream: sid,
            call,
            refused_parameters,
        });
        self.keep();
        if let Some((until, owes_word)) = absence {
            self.come_back(until, owes_word, now);
            self.pump(now);
            return;
        }
        let agent = self.setup.agent.clone();
        let greeted = self.is_back_from_transfer()
            || (self.resumes() > 0 && self.conversation.agent_was_heard());
        if let Greeting::Clip { audio, text } = &agent.greeting
            && !greeted
        {
            self.play_clip(GREETING, audio, text, now);
            self.tell_of_clip(text);
        }
        self.pump(now);
    }

    fn on_caller_audio(&mut self, audio: CallerAudio, now: Time) {
        let stream = match &mut self.state {
            State::Media(stream) => stream,
            State::Start(stream) if audio.stream == Some(stream.sid) => {
                self.enter_media();
                return self.on_caller_audio(audio, now);
            }
            State::Start(_) => {
                self.violation(Peer::Phone, "foreign_stream");
                return;
            }
            State::Accepted(_) | State::Connected(_) | State::Away(_) => {
                self.violation(Peer::Phone, "media_before_start");
                self.end(EndReason::MediaBeforeStart, now);
                return;
            }
            State::Stop(_) => {
                self.violation(Peer::Phone, "after_stop");
                return;
            }
        };
        if audio.stream != Some(stream.sid) {
            self.violation(Peer::Phone, "foreign_stream");
            return;
        }
        if let Some(sequence) = audio.sequence {
            let gap = stream
                .sequence
                .is_some_and(|last| sequence > last.saturating_add(1));
            stream.sequence = Some(sequence);
            if gap {
                self.tally.sequence_gaps += 1;
            }
        }
        let missing_ms = stream
            .clock
            .frame(audio.timestamp_ms, audio.payload.audio_bytes());
        self.tally.frames_from_caller += 1;
        self.timers.set(Timer::Media, now + MEDIA_TIMEOUT);
        self.timers.set(Timer::Gap, now + QUIET_LINE);
        self.fill(missing_ms);
        self.utterance.frame(&audio.payload, now);
        if self.leg.is_ready() {
            self.leg.keep_for_standby(&audio.payload);
            self.append(audio.payload);
        } else if self.leg.is_lost() {
            let bytes = audio.payload.audio_bytes() as u64;
            self.tally.dropped_bytes += bytes;
            self.report(Report::CallerAudioDropped { bytes });
        } else {
            self.keep_for_later(&audio.payload);
        }
    }

    /// The first frame of the caller moves the call from `start` to `media`.
    fn enter_media(&mut self) {
        let placeholder = State::Accepted(super::state::Opening::default());
        match std::mem::replace(&mut self.state, placeholder) {
            State::Start(stream) => {
                self.state = State::Media(stream);
                self.report(Report::State(StateName::Media));
                self.report(Report::FirstCallerAudio);
            }
            other @ (State::Accepted(_)
            | State::Connected(_)
            | State::Away(_)
            | State::Media(_)
            | State::Stop(_)) => self.state = other,
        }
    }

    fn on_mark(&mut self, stream: Option<StreamSid>, name: &str, now: Time) {
        let live = match &mut self.state {
            State::Start(live) | State::Media(live) => live,
            State::Accepted(_) | State::Connected(_) | State::Away(_) => {
                self.violation(Peer::Phone, "mark_before_start");
                return;
            }
            // Twilio returns what was outstanding when the call ended.
            State::Stop(_) => return,
        };
        if stream != Some(live.sid) {
            self.violation(Peer::Phone, "foreign_stream");
            return;
        }
        live.count_message();
        let number = match read_mark(name) {
            // Sent before the machine was built anew.
            Some((epoch, _)) if epoch < self.epoch => return,
            Some((epoch, number)) if epoch == self.epoch => number,
            Some(_) | None => 0,
        };
        let mut heard = Vec::new();
        match live
            .playback
            .mark_back(number, now, &mut |part| heard.push(part))
        {
            MarkMeaning::Unknown => self.violation(Peer::Phone, "unknown_mark"),
            MarkMeaning::Flushed => {}
            MarkMeaning::Heard => {
                for part in heard {
                    self.settle(&part, now);
                }
                self.pump(now);
            }
        }
    }

    fn on_key(&mut self, stream: Option<StreamSid>, digit: char, now: Time) {
        let live = match &mut self.state {
            State::Start(live) | State::Media(live) => live,
            State::Accepted(_) | State::Connected(_) | State::Away(_) => {
                self.violation(Peer::Phone, "key_before_start");
                return;
            }
            State::Stop(_) => {
                self.violation(Peer::Phone, "after_stop");
                return;
            }
        };
        if stream != Some(live.sid) {
            self.violation(Peer::Phone, "foreign_stream");
            return;
        }
        live.count_message();
        self.take_key(digit, now);
    }

    /// Sends silence in the place of frames that are missing.
    fn fill(&mut self, missing_ms: u64) {
        if missing_ms == 0 || !self.leg.is_ready() {
            return;
        }
        self.tally.filled_ms += missing_ms;
        for payload in silence(missing_ms) {
            self.append(payload);
        }
    }

    /// Sends caller audio to the session, behind what was said before.
    fn append(&mut self, payload: Payload) {
        if self.preroll.is_empty() {
            self.ask_model(ModelCommand::Append(payload));
        } else {
            self.keep_for_later(&payload);
        }
    }

    fn keep_for_later(&mut self, payload: &Payload) {
        let dropped = self.preroll.hold(payload);
        if dropped > 0 {
            self.tally.dropped_bytes += dropped;
            self.report(Report::CallerAudioDropped { bytes: dropped });
        }
    }

    /// Delivers what the caller said while there was no session, faster than they said it, until there is no more.
    pub(super) fn catch_up(&mut self, now: Time) {
        if !self.leg.is_ready() {
            return;
        }
        if let Some(payload) = self.preroll.deliver() {
            self.ask_model(ModelCommand::Append(payload));
        }
        if !self.preroll.is_empty() {
            self.timers.set(Timer::CatchUp, now + CATCH_UP_EVERY);
        }
    }

    /// No frame came for a moment.
    pub(super) fn on_gap(&mut self, now: Time) {
        let Some(stream) = self.state.stream_mut().filter(|_| self.leg.is_ready()) else {
            return;
        };
        let missing_ms = stream.clock.quiet();
        self.fill(missing_ms);
        self.timers
            .set(Timer::Gap, now + Duration::from_millis(missing_ms));
    }

    fn on_stop(&mut self, stream: Option<StreamSid>, now: Time) {
        let known = match &self.state {
            State::Start(live) | State::Media(live) => Some(live.sid),
            State::Accepted(_) | State::Connected(_) | State::Away(_) => {
                self.violation(Peer::Phone, "stop_before_start");
                None
            }
            State::Stop(_) => {
                self.violation(Peer::Phone, "after_stop");
                return;
            }
        };
        if known.is_some() && stream.is_some() && stream != known {
            self.violation(Peer::Phone, "foreign_stream");
            return;
        }
        self.end(EndReason::CallerHungUp, now);
    }

    /// Has Twilio throw away what it has not played.
    pub(super) fn clear_phone(&mut self) {
        if let Some(stream) = self.state.stream() {
            let stream = stream.sid;
            self.effects.push_back(Effect::Clear { stream });
        }
    }
}

impl Call {
    /// A message of Twilio's that could not be used; too many of them end the call.
    fn bad_from_phone(&mut self, error: ReadError, now: Time) {
        self.violation(Peer::Phone, error.label());
        if self.phone_errors.record(now) {
            self.end(EndReason::TooManyBadMessages, now);
        }
    }
}

/// The name of a mark on the wire.
pub(super) fn mark_name(epoch: u32, number: u64) -> String {
    format!("m{epoch}-{number}")
}

fn read_mark(name: &str) -> Option<(u32, u64)> {
    let (epoch, number) = name.strip_prefix('m')?.split_once('-')?;
    Some((epoch.parse().ok()?, number.parse().ok()?))
}
