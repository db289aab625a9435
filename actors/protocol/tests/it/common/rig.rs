//! The call between its two simulated peers, driven by the earliest next thing to happen.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use bytes::BytesMut;

use call_protocol::audio::AudioFormat;
use call_protocol::audio::payload::Payload;
use call_protocol::call::effect::Effect;
use call_protocol::call::event::Event;
use call_protocol::call::{Call, CallSetup};
use call_protocol::checkpoint::Checkpoint;
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::ModelEvent;
use call_protocol::model::session::SessionId;
use call_protocol::time::Time;

use super::events;
use super::phone::SimPhone;
use super::short::{Of, short};

/// How long the simulated model takes to open a socket and to take a configuration.
const MODEL_DELAY: Duration = Duration::from_millis(30);

/// The model makes speech five times faster than it is heard, in stretches of this length.
const DELTA_MS: u64 = 200;

enum What {
    Event(Event),
    Phone(ToPhone),
    Frame,
}

enum ToPhone {
    Audio(Vec<u8>),
    Mark(String),
    Clear,
}

struct Due {
    at: Time,
    order: u64,
    what: What,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

/// A call, its peers and the clock.
pub(crate) struct Rig {
    pub(crate) call: Call,
    pub(crate) now: Time,
    pub(crate) phone: SimPhone,
    /// Time a message takes between the service and Twilio, one way.
    pub(crate) latency: Duration,
    /// Whether the model opens and configures sessions by itself.
    pub(crate) obliging: bool,
    /// Whether the model's server says that it cuts running answers, if it says anything of it.
    pub(crate) interrupts: Option<bool>,
    /// Seconds that a session lives, if its server says so.
    pub(crate) lifetime: Option<u64>,
    /// Milliseconds of speech with which the model answers each request, if it does so by itself.
    pub(crate) talks: Option<u64>,
    spoken: u32,
    /// Every effect, with its time.
    pub(crate) log: Vec<(Time, Effect)>,
    /// Which session each of them is about.
    pub(crate) of: Vec<Of>,
    /// The sessions that are open, the one in use first.
    open: Vec<SessionId>,
    /// The session in use, or the last one.
    current: SessionId,
    taken: usize,
    agenda: BinaryHeap<Reverse<Due>>,
    order: u64,
    frames: Option<u8>,
}

impl Rig {
    /// A call just accepted; the model does nothing by itself.
    pub(crate) fn new(setup: CallSetup) -> Self {
        Self::of(Call::new(setup))
    }

    /// The same for a call that was made otherwise.
    pub(crate) fn of(call: Call) -> Self {
        let mut rig = Self {
            call,
            now: Time::ZERO,
            phone: SimPhone::default(),
            latency: Duration::ZERO,
            obliging: false,
            interrupts: None,
            lifetime: None,
            talks: None,
            spoken: 0,
            log: Vec::new(),
            of: Vec::new(),
            open: Vec::new(),
            current: SessionId::new(0),
            taken: 0,
            agenda: BinaryHeap::new(),
            order: 0,
            frames: None,
        };
        rig.drain();
        rig
    }

    /// A call in `media` with a ready session, the caller's frames flowing; its effects so far are taken.
    pub(crate) fn live(setup: CallSetup) -> Self {
        Self::live_with(setup, None)
    }

    /// The same with a server that says whether it cuts running answers.
    pub(crate) fn live_with(setup: CallSetup, interrupts: Option<bool>) -> Self {
        let mut rig = Self::new(setup);
        rig.interrupts = interrupts;
        rig.ready();
        rig.media();
        rig.take();
        rig
    }

    /// Brings the phone leg to `start`.
    pub(crate) fn started(&mut self) {
        self.event(events::connected());
        self.event(events::start());
    }

    /// Brings the phone leg to `media`; frames go on coming.
    pub(crate) fn media(&mut self) {
        self.started();
        self.caller_sends(Some(0xFF));
        self.pass(0);
    }

    /// Opens and configures the session.
    pub(crate) fn ready(&mut self) {
        for event in [
            events::opened(),
            events::session_created(),
            events::model(self.configured_at(self.now)),
        ] {
            self.event(event);
        }
    }

    /// The caller's frames, one each 20 ms, all their bytes this tag; or none any more.
    pub(crate) fn caller_sends(&mut self, tag: Option<u8>) {
        let running = self.frames.is_some();
        self.frames = tag;
        if !running && tag.is_some() {
            self.put(self.now, What::Frame);
        }
    }

    /// Something happens now.
    pub(crate) fn event(&mut self, event: Event) {
        self.handle(event);
        self.drain();
    }

    /// The same, and its effects wait. The call's driver knows which session spoke.
    pub(crate) fn handle(&mut self, mut event: Event) {
        if let Event::Model { session, .. } = &mut event {
            if *session == events::CURRENT {
                *session = self.current;
            } else if *session == events::STANDBY {
                *session = self.open.get(1).copied().unwrap_or(*session);
            }
        }
        self.call.handle(event, self.now);
    }

    /// Which session an effect is about, in the order of the effects.
    fn session_of(&mut self, effect: &Effect) -> Of {
        match effect {
            Effect::DialModel(id) => {
                self.open.push(*id);
                self.current = self.open[0];
                if self.open.len() > 1 {
                    Of::Standby
                } else {
                    Of::Current
                }
            }
            Effect::CloseModel(id) => {
                let place = self.open.iter().position(|open| open == id);
                let is_replaced = place == Some(0) && self.open.len() > 1;
                self.open.retain(|open| open != id);
                self.current = self.open.first().copied().unwrap_or(self.current);
                match place {
                    Some(1) => Of::Standby,
                    _ if is_replaced => Of::Replaced,
                    _ => Of::Current,
                }
            }
            Effect::ToModel(id, _) if self.open.get(1) == Some(id) => Of::Standby,
            _ => Of::Current,
        }
    }

    /// Something will happen, `after_ms` from now.
    pub(crate) fn later(&mut self, after_ms: u64, event: Event) {
        self.put(
            self.now + Duration::from_millis(after_ms),
            What::Event(event),
        );
    }

    /// The model says an item of a response, five times faster than real time. Gives the milliseconds that takes it.
    pub(crate) fn says(
        &mut self,
        response: &str,
        item: &str,
        tag: u8,
        ms: u64,
        after_ms: u64,
    ) -> u64 {
        let mut at = after_ms;
        for begun in (0..ms).step_by(DELTA_MS as usize) {
            let length = DELTA_MS.min(ms - begun);
            self.later(
                at,
                events::delta(response, item, events::voice(tag, length)),
            );
            at += DELTA_MS / 5;
        }
        self.later(at, events::audio_done(response, item));
        at - after_ms
    }

    /// A whole answer of one item, begun now.
    pub(crate) fn answers(&mut self, response: &str, item: &str, tag: u8, ms: u64) {
        self.event(events::response_started(response));
        let took = self.says(response, item, tag, ms, 0);
        self.later(took, events::response_done(response));
    }

    /// Answers a request, if the model does so by itself. Audio of the n-th such answer has the tag 200 + n.
    fn talk(&mut self) {
        let Some(ms) = self.talks else {
            return;
        };
        self.spoken += 1;
        let (response, item) = (
            format!("resp_own_{}", self.spoken),
            format!("item_own_{}", self.spoken),
        );
        let tag = 200 + (self.spoken % 50) as u8;
        let begins = MODEL_DELAY.as_millis() as u64;
        self.later(begins, events::response_started(&response));
        let took = self.says(&response, &item, tag, ms, begins);
        self.later(begins + took, events::response_done(&response));
    }

    /// The machine is built anew after a fault, on the sockets it had.
    pub(crate) fn rebuild(&mut self, keep_playback: bool) {
        let spare = Call::new(self.call.setup().clone());
        let call = std::mem::replace(&mut self.call, spare);
        self.call = call.rebuild(keep_playback, self.now);
        self.drain();
    }

    /// The machine is built anew from what was written down, on the phone's socket alone.
    pub(crate) fn revive(&mut self, checkpoint: &Checkpoint) {
        let remains = self.call.salvage().expect("a stream lives");
        self.call = Call::rebuild_from_checkpoint(remains, checkpoint, self.now);
        self.drain();
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.run_until(self.now + Duration::from_millis(ms));
    }

    /// Lets time pass until the call ends, at most `ms`.
    pub(crate) fn pass_until_over(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while !self.call.is_over() && self.step(end) {}
    }

    fn run_until(&mut self, end: Time) {
        let (mut steps, mut since) = (0, self.now);
        while self.step(end) {
            steps = if self.now > since { 0 } else { steps + 1 };
            since = self.now;
            assert!(
                steps < 100_000,
                "time does not pass: {:?}",
                self.call.poll_timeout()
            );
        }
        self.now = end;
    }

    /// The next thing that happens until `end`; false if nothing does.
    fn step(&mut self, end: Time) -> bool {
        let agenda = self.agenda.peek().map(|due| due.0.at);
        let echo = self.phone.next_mark();
        let timeout = self.call.poll_timeout();
        let next = [agenda, echo, timeout].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= end) else {
            return false;
        };
        self.now = self.now.max(next);
        if echo.is_some_and(|at| at <= next) {
            if let Some(name) = self.phone.take_mark() {
                self.put(
                    self.now + self.latency,
                    What::Event(events::mark(name.as_str())),
                );
            }
        } else if agenda.is_some_and(|at| at <= next) {
            if let Some(Reverse(due)) = self.agenda.pop() {
                self.carry_out(due.what);
            }
        } else {
            self.call.handle_timeout(self.now);
        }
        self.drain();
        true
    }

    fn carry_out(&mut self, what: What) {
        match what {
            What::Event(event) => self.handle(event),
            What::Phone(ToPhone::Audio(audio)) => self.phone.audio(audio, self.now),
            What::Phone(ToPhone::Mark(name)) => self.phone.mark(name, self.now),
            What::Phone(ToPhone::Clear) => self.phone.clear(self.now),
            What::Frame => {
                if let Some(tag) = self.frames {
                    self.call.handle(events::frame(tag), self.now);
                    self.put(self.now + Duration::from_millis(20), What::Frame);
                }
            }
        }
    }

    fn put(&mut self, at: Time, what: What) {
        self.order += 1;
        let order = self.order;
        self.agenda.push(Reverse(Due { at, order, what }));
    }

    fn drain(&mut self) {
        while let Some(effect) = self.call.poll_effect() {
            let arrives = self.now + self.latency;
            let of = self.session_of(&effect);
            match &effect {
                Effect::Play { payload, .. } => {
                    self.put(arrives, What::Phone(ToPhone::Audio(audio_of(payload))));
                }
                Effect::Mark { name, .. } => {
                    self.put(arrives, What::Phone(ToPhone::Mark(name.clone())));
                }
                Effect::Clear { .. } => self.put(arrives, What::Phone(ToPhone::Clear)),
                Effect::DialModel(session) if self.obliging => {
                    let (session, event) = (*session, ModelEvent::Opened);
                    let opened = Event::Model { session, event };
                    self.put(self.now + MODEL_DELAY, What::Event(opened));
                }
                Effect::ToModel(session, ModelCommand::Configure { .. }) if self.obliging => {
                    let (session, at) = (*session, self.now + MODEL_DELAY);
                    let created = events::session(AudioFormat::Pcm24k);
                    for event in [ModelEvent::SessionCreated(created), self.configured_at(at)] {
                        self.put(at, What::Event(Event::Model { session, event }));
                    }
                }
                Effect::ToModel(_, ModelCommand::Respond { .. }) => self.talk(),
                Effect::ToModel(..)
                | Effect::DialModel(_)
                | Effect::CloseModel(_)
                | Effect::ClosePhone { .. }
                | Effect::RunTool(_)
                | Effect::DialConsult(_)
                | Effect::EndConsult(_)
                | Effect::Checkpoint
                | Effect::Forget
                | Effect::Stopped(_)
                | Effect::Report(_) => {}
            }
            self.log.push((self.now, effect));
            self.of.push(of);
        }
    }

    /// The word of a session that is configured at this moment.
    pub(crate) fn configured_at(&self, at: Time) -> ModelEvent {
        let mut info = events::session(AudioFormat::Mulaw);
        info.interrupts = self.interrupts;
        let unix = (events::ACCEPTED_AT_MS + at.as_millis()) / 1_000;
        info.expires_at = self.lifetime.map(|seconds| unix + seconds);
        ModelEvent::SessionConfigured(info)
    }

    /// The effects since the last time, in short form.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let new = self.shorts().skip(self.taken);
        let new = new.map(|(_, effect)| effect).collect();
        self.taken = self.log.len();
        new
    }

    /// Those of the effects since the last time whose first word is one of these.
    pub(crate) fn take_of(&mut self, words: &[&str]) -> Vec<String> {
        let mut new = self.take();
        new.retain(|effect| {
            let word = effect.split(' ').next().unwrap_or_default();
            words.contains(&word)
        });
        new
    }

    /// The audio appended to the model's input so far, and how it was cut into messages.
    pub(crate) fn appended(&self) -> (Vec<u8>, usize) {
        let mut audio = Vec::new();
        let mut messages = 0;
        for (_, effect) in &self.log {
            if let Effect::ToModel(_, ModelCommand::Append(payload)) = effect {
                audio.extend(audio_of(payload));
                messages += 1;
            }
        }
        (audio, messages)
    }

    /// The audio sent to the caller so far.
    pub(crate) fn played(&self) -> Vec<u8> {
        let mut audio = Vec::new();
        for (_, effect) in &self.log {
            if let Effect::Play { payload, .. } = effect {
                audio.extend(audio_of(payload));
            }
        }
        audio
    }

    /// When an effect of this short form, or beginning like this, came first.
    pub(crate) fn time_of(&self, beginning: &str) -> Option<Time> {
        let found = |(at, effect): (Time, String)| effect.starts_with(beginning).then_some(at);
        self.shorts().find_map(found)
    }

    /// Every effect in short form, with its time.
    pub(crate) fn shorts(&self) -> impl Iterator<Item = (Time, String)> {
        let all = self.log.iter().zip(&self.of);
        all.map(|((at, effect), of)| (*at, short(effect, *of)))
    }
}

/// The audio in a payload.
pub(crate) fn audio_of(payload: &Payload) -> Vec<u8> {
    let mut audio = BytesMut::new();
    payload.decode_into(&mut audio);
    audio.to_vec()
}
