//! What the actors of one call share: counters and a tap, nothing that decides.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Addr;
use bytes::Bytes;
use call_protocol::audio::FRAME_BYTES;
use call_protocol::audio::payload::Payload;
use call_protocol::call::AgentProfile;
use call_protocol::call::choice::Choice;
use call_protocol::latency::{Histogram, Meter};
use call_protocol::phone::AccountSid;
use call_protocol::phone::event::PhoneEvent;
use serde::Serialize;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::ConsultLegs;
use crate::admission::AdmissionControl;
use crate::down::DownGuard;
use crate::events::{AudioFeed, EventBus};
use crate::messages::{CallInfo, CallKey};
use crate::metrics::Metrics;
use crate::openai::{Dialler, ModelLine};
use crate::registry::Registry;
use crate::store::CallStore;
use crate::tools::ToolBox;

/// What is held while a socket has no `start`, and dropped with it.
pub type PendingStream = Box<dyn Any + Send>;

/// All that a call is started with.
pub struct CallSeed {
    /// The call's place in the registry; a seed that comes to nothing gives it back.
    pub place: DownGuard,
    /// Who calls; `None` for a socket without a ticket.
    pub info: Option<CallInfo>,
    /// The Twilio account of the settings.
    pub account: Option<AccountSid>,
    /// Who answers.
    pub agent: Arc<AgentProfile>,
    /// Agents the stream itself may choose, by name.
    pub choices: Arc<BTreeMap<String, Choice>>,
    /// The URLs of their model sockets.
    pub other_urls: BTreeMap<String, Arc<str>>,
    /// The longest the call may last.
    pub max_length: Duration,
    /// The URL of a model socket, with the model in it.
    pub model_url: Arc<str>,
    /// A model session dialled when the webhook came, perhaps on another thread.
    pub early: Option<ModelLine>,
    /// Counts the socket among those without a `start`, until it is dropped.
    pub pending_stream: Option<PendingStream>,
    /// Opens model sockets from this thread.
    pub dialler: Dialler,
    /// Runs tools.
    pub tools: Arc<ToolBox>,
    /// Calls people for the caller, who stays meanwhile; `None`: nobody can.
    pub consult_legs: Option<ConsultLegs>,
    /// Where the call makes itself known.
    pub registry: Addr<Registry>,
    /// Where its checkpoints go.
    pub store: Arc<dyn CallStore>,
    /// Counters.
    pub shared: Shared,
}

/// Counters and a tap of one call, shared by its actors without a lock.
#[derive(Clone)]
pub struct Shared {
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// Told what the model's server says of its limits.
    pub admission: Arc<AdmissionControl>,
    /// Whether what was said may be logged.
    pub(crate) transcripts: bool,
    bridge: Arc<[Meter; 2]>,
    pub(crate) events: EventBus,
    pub(crate) audio: AudioFeed,
    tap: Option<Tap>,
    accepted: Instant,
}

/// Where a call's messages are copied to, for a record of the call.
pub type Tap = Sender<TapLine>;

/// Which socket, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// From Twilio.
    PhoneIn,
    /// To Twilio.
    PhoneOut,
    /// From the model.
    ModelIn,
    /// To the model.
    ModelOut,
}

/// One message of a call.
#[derive(Clone, Debug)]
pub struct TapLine {
    /// When, since the media socket was accepted.
    pub at: Duration,
    /// Where.
    pub wire: Wire,
    /// The message as it stood on the wire.
    pub text: Bytes,
}

impl Shared {
    /// Counters for a new call.
    #[must_use]
    pub fn new(
        metrics: Arc<Metrics>,
        admission: Arc<AdmissionControl>,
        events: EventBus,
        tap: Option<Tap>,
    ) -> Self {
        Self {
            events,
            audio: AudioFeed::default(),
            metrics,
            admission,
            transcripts: false,
            bridge: Arc::default(),
            tap,
            accepted: Instant::now(),
        }
    }

    /// The same, and what was said is logged if that is wanted.
    #[must_use]
    pub fn logging_words(mut self, wanted: bool) -> Self {
        self.transcripts = wanted;
        self
    }

    /// When the media socket was accepted.
    #[must_use]
    pub const fn accepted(&self) -> Instant {
        self.accepted
    }

    pub(crate) fn tap(&self, wire: Wire, text: &Bytes) {
        if let Some(tap) = &self.tap {
            let sent = tap.try_send(TapLine {
                at: self.accepted.elapsed(),
                wire,
                text: text.clone(),
            });
            // A reader that does not keep up loses lines; the call does not wait for it. One that is gone loses none.
            if matches!(sent, Err(TrySendError::Full(_))) {
                self.metrics.tap_overflow.inc();
            }
        }
    }

    /// Audio was handed to Twilio's socket; `since` is when the model's audio was read from the other.
    pub(crate) fn played(&self, payload: &Payload, since: Option<Instant>) {
        let frames = payload.audio_bytes().div_ceil(FRAME_BYTES);
        self.metrics
            .frames_to_caller
            .forwarded
            .inc_by(frames as u64);
        if let Some(since) = since {
            let added = since.elapsed();
            self.metrics.bridge_to_caller.observe(added.as_secs_f64());
            self.bridge[TO_CALLER].record(micros(added));
        }
    }

    /// What Twilio sent reached no call any more.
    pub(crate) fn lost_with(&self, event: &PhoneEvent) {
        if matches!(event, PhoneEvent::Audio(_)) {
            self.metrics.frames_from_caller.dropped.inc();
        }
    }

    /// Caller audio was handed to the model's socket; `since` is when it was read from Twilio's.
    pub(crate) fn appended(&self, since: Instant) {
        let added = since.elapsed();
        self.metrics.frames_from_caller.forwarded.inc();
        self.metrics.bridge_from_caller.observe(added.as_secs_f64());
        self.bridge[FROM_CALLER].record(micros(added));
    }

    /// A `clear` was handed to Twilio's socket; `since` is when the event that asked for it was read.
    pub(crate) fn cleared(&self, since: Instant) {
        let took = since.elapsed();
        self.metrics.bridge_clear.observe(took.as_secs_f64());
    }

    /// What the bridge adds to a frame, from and to the caller.
    pub(crate) fn bridge(&self) -> Bridge {
        let [from_caller, to_caller] = [FROM_CALLER, TO_CALLER].map(|way| self.bridge[way].read());
        Bridge {
            both: from_caller.clone().with(&to_caller).into(),
            from_caller: from_caller.into(),
            to_caller: to_caller.into(),
        }
    }
}

/// Ways through the bridge.
const FROM_CALLER: usize = 0;
const TO_CALLER: usize = 1;

/// What the bridge adds to a frame, by the way it goes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bridge {
    /// Both ways together.
    #[serde(skip)]
    pub both: BridgeLatency,
    /// From Twilio's socket to the model's.
    pub from_caller: BridgeLatency,
    /// From the model's socket to Twilio's.
    pub to_caller: BridgeLatency,
}

/// Microseconds, as far as anything was measured.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct BridgeLatency {
    /// Half were faster.
    pub p50: Option<u64>,
    /// All but one in a hundred were faster.
    pub p99: Option<u64>,
}

impl From<Histogram> for BridgeLatency {
    fn from(added: Histogram) -> Self {
        Self {
            p50: added.quantile(0.5),
            p99: added.quantile(0.99),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What a log line about a call carries.
#[derive(Clone, Debug)]
pub(crate) struct LogContext {
    pub(crate) key: CallKey,
    pub(crate) call: Option<call_protocol::phone::CallSid>,
    pub(crate) stream: Option<call_protocol::phone::StreamSid>,
}

impl LogContext {
    pub(crate) fn of(seed: &CallSeed) -> Self {
        Self {
            key: seed.place.key(),
            call: seed.info.as_ref().map(|info| info.call),
            stream: None,
        }
    }

    /// Of a socket that comes to a call that lives.
    pub(crate) const fn of_key(key: CallKey) -> Self {
        Self {
            key,
            call: None,
            stream: None,
        }
    }

    /// The call's SID, or a dash before it is known.
    pub(crate) fn call(&self) -> &str {
        self.call.as_ref().map_or("-", |call| call.as_str())
    }

    /// The stream's SID, or a dash before it is known.
    pub(crate) fn stream(&self) -> &str {
        self.stream.as_ref().map_or("-", |stream| stream.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_the_reader_of_a_tap_is_too_slow_for_are_counted() {
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let (tap, mut lines) = tokio::sync::mpsc::channel(2);
        let shared = Shared::new(
            metrics.clone(),
            Arc::default(),
            EventBus::new(metrics.clone()),
            Some(tap),
        );
        for _ in 0..5 {
            shared.tap(Wire::PhoneIn, &Bytes::from_static(b"{}"));
        }
        assert_eq!(metrics.tap_overflow.get(), 3);
        lines.close();
        while lines.recv().await.is_some() {}
        shared.tap(Wire::PhoneIn, &Bytes::from_static(b"{}"));
        assert_eq!(metrics.tap_overflow.get(), 3, "nobody reads any more");
    }
}
