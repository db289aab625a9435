//! What the phone's messages mean for the call.

use std::time::Duration;

use super::{Connected, Heard, Marked, Misplaced, NoStart, Started};
use crate::audio::payload::Payload;
use crate::call::effect::{Effect, Peer, Report};
use crate::call::outcome::EndReason;
use crate::call::protection::GREETING;
use crate::call::state::StateName;
use crate::call::timers::Timer;
use crate::call::{ACKNOWLEDGE_TIMEOUT, Call, Greeting, MEDIA_TIMEOUT};
use crate::model::command::ModelCommand;
use crate::model::preroll::CATCH_UP_EVERY;
use crate::phone::StreamSid;
use crate::phone::event::{CallerAudio, PhoneEvent, StreamStart};
use crate::phone::gaps::{QUIET_LINE, silence};
use crate::phone::playback::{Outgoing, Playback};
use crate::time::Time;
use crate::wire::ReadError;

impl Call {
    pub(in crate::call) fn on_phone(&mut self, event: PhoneEvent, now: Time) {
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
        match self.phone.connected() {
            Connected::First => {
                self.report(Report::State(StateName::Connected));
                self.report(Report::Connected { protocol, version });
            }
            // What a new socket says first.
            Connected::InPlace => self.report(Report::Connected { protocol, version }),
            Connected::Again => self.violation(Peer::Phone, "connected_again"),
            Connected::AfterStop => self.violation(Peer::Phone, "after_stop"),
        }
    }

    fn on_start(&mut self, start: &StreamStart, now: Time) {
        if self.phone.is_fresh() {
            self.violation(Peer::Phone, "start_before_connected");
        }
        let (call, account) = (self.setup.call, self.setup.account);
        let started = match self.phone.check_start(start, call, account) {
            Ok(started) => started,
            Err(why) => return self.on_no_start(why, start, now),
        };
        if started.is_foreign_account {
            self.violation(Peer::Phone, "foreign_account");
        }
        let Started {
            stream,
            call,
            held,
            absence,
            ..
        } = started;
        let playback = if self.choose_agent(start, now) {
            Playback::default()
        } else {
            held
        };
        self.phone.begin(stream, call, playback, now);
        self.timers.stop(Timer::Start);
        self.timers.set(Timer::Media, now + MEDIA_TIMEOUT);
        self.watch_turns(now);
        self.report(Report::State(StateName::Start));
        let refused_parameters = start.refused_parameters;
        self.report(Report::Started {
            stream,
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

    /// A stream that cannot be followed ends the call, unless it is over.
    fn on_no_start(&mut self, why: NoStart, start: &StreamStart, now: Time) {
        let (kind, reason) = match why {
            NoStart::AfterStop => return self.violation(Peer::Phone, "after_stop"),
            NoStart::Second => ("second_start", EndReason::SecondStart),
            NoStart::BadIdentifiers => ("bad_identifiers", EndReason::BadIdentifiers),
            NoStart::ForeignCall => ("foreign_call", EndReason::ForeignCall),
            NoStart::UnsupportedFormat { is_foreign_account } => {
                if is_foreign_account {
                    self.violation(Peer::Phone, "foreign_account");
                }
                ("unsupported_format", EndReason::UnsupportedFormat)
            }
        };
        self.violation(Peer::Phone, kind);
        if reason == EndReason::UnsupportedFormat {
            let why = start.format.to_string();
            self.report(Report::StreamRefused { why });
        }
        self.end(reason, now);
    }

    fn on_caller_audio(&mut self, audio: CallerAudio, now: Time) {
        let Heard {
            is_first,
            has_gap,
            missing_ms,
        } = match self.phone.audio(&audio, now) {
            Ok(heard) => heard,
            Err(why) => {
                self.misplaced(why, "media_before_start");
                if why == Misplaced::BeforeStart {
                    self.end(EndReason::MediaBeforeStart, now);
                }
                return;
            }
        };
        if is_first {
            self.report(Report::State(StateName::Media));
            self.report(Report::FirstCallerAudio);
        }
        self.tally.sequence_gaps += u64::from(has_gap);
        self.tally.frames_from_caller += 1;
        self.timers.set(Timer::Media, now + MEDIA_TIMEOUT);
        self.timers.set(Timer::Gap, now + QUIET_LINE);
        self.fill(missing_ms);
        if self.model.is_ready() {
            self.model.keep_for_standby(&audio.payload);
            self.append(audio.payload);
        } else if self.model.is_lost() {
            let bytes = audio.payload.audio_bytes() as u64;
            self.tally.dropped_bytes += bytes;
            self.report(Report::CallerAudioDropped { bytes });
        } else {
            self.keep_for_later(&audio.payload);
        }
    }

    /// A message that is of no use where it came.
    fn misplaced(&mut self, why: Misplaced, before_start: &'static str) {
        let kind = match why {
            Misplaced::BeforeStart => before_start,
            Misplaced::ForeignStream => "foreign_stream",
            Misplaced::AfterStop => "after_stop",
        };
        self.violation(Peer::Phone, kind);
    }

    fn on_mark(&mut self, stream: Option<StreamSid>, name: &str, now: Time) {
        match self.phone.message(stream) {
            Ok(()) => {}
            // Twilio returns what was outstanding when the call ended.
            Err(Misplaced::AfterStop) => return,
            Err(why) => return self.misplaced(why, "mark_before_start"),
        }
        match self.phone.marked(name, now) {
            Marked::Unknown => self.violation(Peer::Phone, "unknown_mark"),
            Marked::Nothing => {}
            Marked::Heard(parts) => {
                for part in parts {
                    self.settle(&part, now);
                }
                self.pump(now);
            }
        }
    }

    fn on_key(&mut self, stream: Option<StreamSid>, digit: char, now: Time) {
        match self.phone.message(stream) {
            Ok(()) => self.take_key(digit, now),
            Err(why) => self.misplaced(why, "key_before_start"),
        }
    }

    fn on_stop(&mut self, stream: Option<StreamSid>, now: Time) {
        if let Err(why) = self.phone.stopped(stream) {
            self.misplaced(why, "stop_before_start");
            if why != Misplaced::BeforeStart {
                return;
            }
        }
        self.end(EndReason::CallerHungUp, now);
    }

    /// A message of Twilio's that could not be used; too many of them end the call.
    fn bad_from_phone(&mut self, error: ReadError, now: Time) {
        self.violation(Peer::Phone, error.label());
        if self.phone.unusable(now) {
            self.end(EndReason::TooManyBadMessages, now);
        }
    }

    // ---- the caller's voice ----

    /// Sends silence in the place of frames that are missing.
    fn fill(&mut self, missing_ms: u64) {
        if missing_ms == 0 || !self.model.is_ready() {
            return;
        }
        self.tally.filled_ms += missing_ms;
        for payload in silence(missing_ms) {
            self.append(payload);
        }
    }

    /// Sends caller audio to the session, behind what was said before.
    fn append(&mut self, payload: Payload) {
        if self.model.is_caught_up() {
            self.ask_model(ModelCommand::Append(payload));
        } else {
            self.keep_for_later(&payload);
        }
    }

    fn keep_for_later(&mut self, payload: &Payload) {
        let dropped = self.model.keep_for_later(payload);
        if dropped > 0 {
            self.tally.dropped_bytes += dropped;
            self.report(Report::CallerAudioDropped { bytes: dropped });
        }
    }

    /// Delivers what the caller said while there was no session, faster than they said it, until there is no more.
    pub(in crate::call) fn catch_up(&mut self, now: Time) {
        if !self.model.is_ready() {
            return;
        }
        if let Some(payload) = self.model.deliver() {
            self.ask_model(ModelCommand::Append(payload));
        }
        if !self.model.is_caught_up() {
            self.timers.set(Timer::CatchUp, now + CATCH_UP_EVERY);
        }
    }

    /// No frame came for a moment.
    pub(in crate::call) fn on_gap(&mut self, now: Time) {
        if !self.model.is_ready() {
            return;
        }
        let Some(missing_ms) = self.phone.quiet() else {
            return;
        };
        self.fill(missing_ms);
        self.timers
            .set(Timer::Gap, now + Duration::from_millis(missing_ms));
    }

    // ---- the agent's voice ----

    /// Runs `act` on the ledger of a live stream and carries out what it wants sent.
    pub(in crate::call) fn with_playback<T>(
        &mut self,
        now: Time,
        act: impl FnOnce(&mut Playback, &mut dyn FnMut(Outgoing)) -> T,
    ) -> Option<T> {
        let is_filler = self.is_filled();
        let (result, sent) = self.phone.send(is_filler, &mut self.effects, now, act)?;
        self.timers.set_or_stop(Timer::Playback, sent.next);
        let acknowledge_by = sent.acknowledge_by.map(|due| due + ACKNOWLEDGE_TIMEOUT);
        self.timers.set_or_stop(Timer::Acknowledge, acknowledge_by);
        if let Some(after_start_ms) = sent.first_after_ms {
            self.report(Report::FirstAgentAudio { after_start_ms });
            self.tell_if_resumed(true, after_start_ms);
        }
        self.tally.bytes_to_caller += sent.bytes;
        if sent.bytes > 0 && !is_filler {
            self.on_audio_left(now);
        }
        Some(result)
    }

    /// Sends what the lead allows.
    pub(in crate::call) fn pump(&mut self, now: Time) {
        self.with_playback(now, |playback, mut out| playback.send(now, &mut out));
    }

    pub(in crate::call) fn on_acknowledge_due(&mut self, now: Time) {
        let overdue = self.phone.overdue(now);
        if overdue.is_some_and(|late| late >= ACKNOWLEDGE_TIMEOUT) {
            self.end(EndReason::NotPlayed, now);
        }
    }

    /// Has Twilio throw away what it has not played.
    pub(in crate::call) fn clear_phone(&mut self) {
        if let Some(stream) = self.phone.stream() {
            let stream = stream.sid;
            self.effects.push_back(Effect::Clear { stream });
        }
    }
}
