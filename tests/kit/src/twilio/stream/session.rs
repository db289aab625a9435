//! The open media socket: its clock, the caller's frames out, marks back at their time.

use std::time::Duration;

use call_protocol::audio::{FRAME_BYTES, FRAME_MS, SILENCE, bytes_to_ms};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::super::activity::Edge;
use super::super::call::{Flow, Leg};
use super::super::caller::{Caller, CallerAction, Heard};
use super::super::event::Happening;
use super::super::message::Envelope;
use super::super::outcome::{CallEnd, Span, StreamEnd, StreamOutcome};
use super::super::playback::Playback;
use super::super::socket::MediaSocket;
use super::super::timeline::Timeline;
use super::super::twiml::Stream;
use super::samples;

const FRAME_SAMPLES: u64 = FRAME_BYTES as u64;

/// How the stream ended and what the call does then.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) end: StreamEnd,
    pub(super) then: Flow,
}

impl Finish {
    /// What follows `<Connect>` runs.
    pub(super) const fn falls_through(end: StreamEnd) -> Self {
        Self {
            end,
            then: Flow::Continue,
        }
    }

    pub(super) const fn ends_call(end: StreamEnd, call: CallEnd) -> Self {
        Self {
            end,
            then: Flow::End(call),
        }
    }
}

pub(super) struct Session<'s, 'l, C> {
    pub(super) leg: &'s mut Leg<'l, C>,
    pub(super) noun: &'s Stream,
    pub(super) envelope: Envelope,
    pub(super) record: StreamOutcome,
    /// Nothing is sent.
    pub(super) stalled: bool,
    /// Nothing is read before this moment.
    pub(super) deaf_until: Option<Instant>,
    /// Frames still to be lost.
    pub(super) frames_to_lose: u32,
    /// A `stream-error` callback was sent already.
    pub(super) error_reported: bool,
    socket: MediaSocket,
    /// Sample 0: when `start` was sent.
    started: Instant,
    /// Frames of the caller so far.
    frames: u64,
    pub(super) playback: Playback,
    said: Timeline,
    pub(super) heard: Timeline,
    pub(super) decoded: Vec<u8>,
}

impl<'s, 'l, C: Caller> Session<'s, 'l, C> {
    pub(super) fn new(
        leg: &'s mut Leg<'l, C>,
        noun: &'s Stream,
        socket: MediaSocket,
        envelope: Envelope,
        record: StreamOutcome,
    ) -> Self {
        let records = leg.line.record;
        Self {
            leg,
            noun,
            envelope,
            record,
            stalled: false,
            deaf_until: None,
            frames_to_lose: 0,
            error_reported: false,
            socket,
            started: Instant::now(),
            frames: 0,
            playback: Playback::default(),
            said: Timeline::new(records),
            heard: Timeline::new(records),
            decoded: Vec::new(),
        }
    }

    pub(super) fn begin_clock(&mut self) {
        self.started = Instant::now();
        self.record.started_ms = self.leg.now_ms();
    }

    pub(super) async fn run(mut self) -> (StreamOutcome, Finish) {
        let finish = self.run_to_the_end().await;
        self.close(finish).await
    }

    async fn run_to_the_end(&mut self) -> Finish {
        let sleep = sleep_until(self.started);
        tokio::pin!(sleep);
        loop {
            sleep.as_mut().reset(self.next_wake());
            let reads = self.deaf_until.is_none();
            tokio::select! {
                biased;
                update = self.leg.registration.next() => {
                    return Finish { end: StreamEnd::Stopped, then: update.into() };
                }
                () = &mut sleep => {}
                message = self.socket.next(), if reads => {
                    if let Some(end) = self.receive(message) {
                        return Finish::falls_through(end);
                    }
                }
            }
            if let Some(finish) = self.catch_up().await {
                return finish;
            }
        }
    }

    fn next_wake(&self) -> Instant {
        let mut wake = self.moment(self.frames * FRAME_SAMPLES);
        if let (Some(due), false) = (self.playback.next_mark_at(), self.stalled) {
            wake = wake.min(self.moment(due));
        }
        wake
    }

    fn moment(&self, sample: u64) -> Instant {
        self.started + Duration::from_micros(sample * 125)
    }

    pub(super) fn now_sample(&self) -> u64 {
        samples(self.started.elapsed())
    }

    /// Does everything that is due by now.
    async fn catch_up(&mut self) -> Option<Finish> {
        self.echo_due_marks();
        let now = Instant::now();
        if self.deaf_until.is_some_and(|until| until <= now) {
            self.deaf_until = None;
        }
        while self.moment(self.frames * FRAME_SAMPLES) <= now {
            if now >= self.leg.deadline {
                return Some(Finish::ends_call(StreamEnd::Stopped, CallEnd::TimeLimit));
            }
            if let Some(finish) = self.frame().await {
                return Some(finish);
            }
        }
        None
    }

    /// The next 20 ms of the call.
    async fn frame(&mut self) -> Option<Finish> {
        let sample = self.frames * FRAME_SAMPLES;
        let now_ms = self.record.started_ms + self.frames * FRAME_MS;
        self.frames += 1;

        let mut heard = [SILENCE; FRAME_BYTES];
        if let Some(last) = sample.checked_sub(FRAME_SAMPLES) {
            self.heard.frame(last, &mut heard);
        }
        let edge = self
            .leg
            .agent
            .frame(now_ms.saturating_sub(FRAME_MS), &heard);
        self.note_agent_speech(edge);

        let mut said = [SILENCE; FRAME_BYTES];
        let heard = Heard {
            frame: &heard,
            speaking_ms: self.leg.agent.speaking_ms(now_ms),
            quiet_ms: self.leg.agent.quiet_ms(now_ms),
            loud_ms: self.leg.agent.loud_ms(),
            on_stream: true,
        };
        let action = self.leg.caller.frame(now_ms, &heard, &mut said);
        let edge = self.leg.mouth.frame(now_ms, &said);
        self.note_caller_speech(edge);
        self.said.lay(sample, &said);
        self.said.forget(sample);
        self.heard.forget(sample);

        match action {
            CallerAction::Speak => {}
            CallerAction::Key(key) => {
                let text = self.envelope.dtmf(key);
                self.send(Message::text(text));
                self.leg.tell(Happening::KeyPressed { key });
            }
            CallerAction::HangUp => {
                return Some(Finish::ends_call(
                    StreamEnd::CallerHungUp,
                    CallEnd::CallerHungUp,
                ));
            }
            CallerAction::GiveUp(why) => {
                return Some(Finish::ends_call(
                    StreamEnd::CallerHungUp,
                    CallEnd::CallerGaveUp { why },
                ));
            }
            CallerAction::Fault(fault) => {
                if let Some(finish) = self.inject(fault) {
                    return Some(finish);
                }
            }
        }
        self.send_frame(sample, &said).await;
        None
    }

    async fn send_frame(&mut self, sample: u64, said: &[u8]) {
        if self.stalled {
            return;
        }
        if self.frames_to_lose > 0 {
            self.frames_to_lose -= 1;
            return;
        }
        let timestamp_ms = self.timestamp_ms(sample);
        let text = self.envelope.media(timestamp_ms, said);
        match self.socket.send_if_ready(text).await {
            Ok(true) => self.record.frames_sent += 1,
            Ok(false) => {
                self.record.frames_dropped += 1;
                if self.record.frames_dropped == 1 {
                    self.warn(31_930, "the service does not read the caller's audio");
                }
            }
            // Reading tells how the socket ended.
            Err(_) => {}
        }
    }

    pub(super) fn timestamp_ms(&self, sample: u64) -> u64 {
        self.leg.line.first_timestamp_ms + bytes_to_ms(sample)
    }

    /// Sends anything but a caller's frame. A failure shows when the socket is read.
    pub(super) fn send(&mut self, message: Message) {
        if !self.stalled {
            let _ = self.socket.send(message);
        }
    }

    fn note_agent_speech(&mut self, edge: Option<Edge>) {
        match edge {
            Some(Edge::Started { .. }) => self.leg.tell(Happening::AgentStartedSpeaking),
            Some(Edge::Stopped { since_ms, at_ms }) => {
                let spoke_ms = at_ms.saturating_sub(since_ms);
                self.leg.tell(Happening::AgentStoppedSpeaking { spoke_ms });
                let span = self.span(since_ms, at_ms);
                self.record.agent_speech.push(span);
            }
            None => {}
        }
    }

    fn note_caller_speech(&mut self, edge: Option<Edge>) {
        match edge {
            Some(Edge::Started { .. }) => self.leg.tell(Happening::CallerStartedSpeaking),
            Some(Edge::Stopped { since_ms, at_ms }) => {
                let spoke_ms = at_ms.saturating_sub(since_ms);
                self.leg.tell(Happening::CallerStoppedSpeaking { spoke_ms });
                let span = self.span(since_ms, at_ms);
                self.record.caller_speech.push(span);
            }
            None => {}
        }
    }

    fn span(&self, from_ms: u64, to_ms: u64) -> Span {
        Span {
            from_ms: from_ms.saturating_sub(self.record.started_ms),
            to_ms: to_ms.saturating_sub(self.record.started_ms),
        }
    }

    async fn close(mut self, finish: Finish) -> (StreamOutcome, Finish) {
        let now = self.now_sample();
        let edge = self.leg.agent.silence();
        self.note_agent_speech(edge);
        let edge = self.leg.mouth.silence();
        self.note_caller_speech(edge);
        if let Some((code, text)) = finish.end.error() {
            self.warn(code, &text);
        }
        match &finish.end {
            StreamEnd::CallerHungUp | StreamEnd::Stopped => {
                self.stalled = false;
                let text = self
                    .envelope
                    .stop(&self.leg.line.account.sid, &self.leg.sid);
                self.send(Message::text(text));
                self.socket.close().await;
            }
            StreamEnd::ServerClosed { .. } => self.socket.drain().await,
            StreamEnd::Dropped
            | StreamEnd::ServerDropped { .. }
            | StreamEnd::ProtocolError { .. }
            | StreamEnd::HandshakeFailed { .. } => drop(self.socket),
        }
        let mut record = self.record;
        if !self.error_reported {
            self.leg
                .stream_over(self.noun, &record.stream_sid, &finish.end);
        }
        record.duration_ms = bytes_to_ms(now);
        record.said = self.said.finish(now);
        record.heard = self.heard.finish(now);
        record.end = finish.end.clone();
        (record, finish)
    }
}
