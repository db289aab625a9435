//! The caller of the demo with faults: says what they are told to and lets others know what they hear.
//!
//! A list of steps would not do: when they go on depends on what became of a process or a session.

use std::time::{Duration, Instant};

use call_protocol::audio::FRAME_BYTES;
use switchboard_kit::speech;
use switchboard_kit::twilio::{Caller, CallerAction, Heard};
use tokio::sync::{mpsc, watch};

/// They hang up by themselves after that.
const LIMIT_MS: u64 = 88_000;

/// Loud audio that counts as the agent having said something.
const AGENT_SPOKE_MS: u64 = 100;

/// Longest wait for anything they wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the caller is told to do.
#[derive(Debug)]
enum Order {
    Say(&'static [u8]),
    HangUp,
}

/// What the caller hears and does at this moment of the call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// Milliseconds since the call began.
    pub(super) now_ms: u64,
    /// Milliseconds of the present stretch of sound; 0 in silence.
    speaking_ms: u64,
    /// Milliseconds since any sound.
    quiet_ms: u64,
    /// Milliseconds of sound in the whole call.
    loud_ms: u64,
    /// Clips the caller has said to the end.
    said: usize,
}

/// The caller on the line.
pub(super) struct OnThePhone {
    orders: mpsc::UnboundedReceiver<Order>,
    ear: watch::Sender<Moment>,
    saying: &'static [u8],
    said: usize,
}

impl Caller for OnThePhone {
    fn frame(
        &mut self,
        now_ms: u64,
        heard: &Heard<'_>,
        out: &mut [u8; FRAME_BYTES],
    ) -> CallerAction {
        if now_ms >= LIMIT_MS {
            return CallerAction::GiveUp(format!("the call took more than {LIMIT_MS} ms"));
        }
        let mut action = CallerAction::Speak;
        if self.saying.is_empty() {
            match self.orders.try_recv() {
                Ok(Order::Say(clip)) => self.saying = clip,
                Ok(Order::HangUp) => action = CallerAction::HangUp,
                Err(mpsc::error::TryRecvError::Empty) => {}
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    return CallerAction::GiveUp("it did not go on as it should".to_owned());
                }
            }
        }
        if !self.saying.is_empty() && heard.on_stream {
            let (frame, rest) = self.saying.split_at(self.saying.len().min(FRAME_BYTES));
            out[..frame.len()].copy_from_slice(frame);
            self.saying = rest;
            self.said += usize::from(rest.is_empty());
        }
        self.ear.send_replace(Moment {
            now_ms,
            speaking_ms: heard.speaking_ms,
            quiet_ms: heard.quiet_ms,
            loud_ms: heard.loud_ms,
            said: self.said,
        });
        action
    }
}

/// Tells the caller what to do and learns what they hear.
pub(super) struct Prompter {
    orders: mpsc::UnboundedSender<Order>,
    ear: watch::Receiver<Moment>,
    /// Silence after which the agent's turn is over.
    quiet_ms: u64,
    /// Clips ordered so far.
    ordered: usize,
    /// When the call began, once it has.
    began: Option<Instant>,
}

/// A caller, and their prompter; the agent's turn is over for them after that much silence.
pub(super) fn caller(quiet_ms: u64) -> (OnThePhone, Prompter) {
    let (orders, taken) = mpsc::unbounded_channel();
    let (ear, heard) = watch::channel(Moment::default());
    let caller = OnThePhone {
        orders: taken,
        ear,
        saying: &[],
        said: 0,
    };
    let prompter = Prompter {
        orders,
        ear: heard,
        quiet_ms,
        ordered: 0,
        began: None,
    };
    (caller, prompter)
}

impl Prompter {
    /// Milliseconds since the call began.
    pub(super) fn now_ms(&self) -> u64 {
        self.ms_of(Instant::now())
    }

    /// A moment in milliseconds since the call began.
    pub(super) fn ms_of(&self, moment: Instant) -> u64 {
        self.clock()(moment)
    }

    /// Tells the milliseconds since the call began; 0 if it never did.
    pub(super) fn clock(&self) -> impl Fn(Instant) -> u64 + use<> {
        let began = self.began;
        move |moment| {
            let since = began.map(|began| moment.saturating_duration_since(began));
            u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
        }
    }

    /// Says a clip to its end.
    pub(super) async fn say(&mut self, name: &str) -> Result<(), String> {
        let clip = speech::caller(name).ok_or_else(|| format!("no clip is called {name}"))?;
        self.order(Order::Say(clip.mulaw()))?;
        self.ordered += 1;
        let ordered = self.ordered;
        self.until("the words are said", |moment| moment.said >= ordered)
            .await
    }

    /// Waits until the agent has said something from now on, and has come to an end.
    pub(super) async fn listen(&mut self) -> Result<(), String> {
        let loud_ms = self.ear.borrow().loud_ms + AGENT_SPOKE_MS;
        let quiet_ms = self.quiet_ms;
        self.until("the agent has spoken", |moment| {
            moment.loud_ms >= loud_ms && moment.quiet_ms >= quiet_ms
        })
        .await
    }

    /// Waits until the agent has come to an end, which has spoken by that moment of the call.
    pub(super) async fn listen_after(&mut self, spoke_at_ms: u64) -> Result<(), String> {
        let quiet_ms = self.quiet_ms;
        self.until("the agent comes to an end", |moment| {
            moment.now_ms >= spoke_at_ms && moment.quiet_ms >= quiet_ms
        })
        .await
    }

    /// Waits until the agent has been speaking for so long.
    pub(super) async fn hear(&mut self, for_ms: u64) -> Result<(), String> {
        self.until("the agent speaks", |moment| moment.speaking_ms >= for_ms)
            .await
    }

    /// Lets so much of the call pass.
    pub(super) async fn pass(&mut self, ms: u64) -> Result<(), String> {
        let then = self.now_ms() + ms;
        self.until("time passes", |moment| moment.now_ms >= then)
            .await
    }

    pub(super) fn hang_up(&self) -> Result<(), String> {
        self.order(Order::HangUp)
    }

    fn order(&self, order: Order) -> Result<(), String> {
        let sent = self.orders.send(order);
        sent.map_err(|_| "the call ended too early".to_owned())
    }

    async fn until(&mut self, what: &str, so: impl FnMut(&Moment) -> bool) -> Result<(), String> {
        let waited = tokio::time::timeout(PATIENCE, self.ear.wait_for(so)).await;
        let moment = match waited {
            Ok(Ok(moment)) => *moment,
            Ok(Err(_)) => return Err(format!("the call ended before {what}")),
            Err(_) => return Err(format!("{} s passed before {what}", PATIENCE.as_secs())),
        };
        let since = Duration::from_millis(moment.now_ms);
        self.began.get_or_insert_with(|| Instant::now() - since);
        Ok(())
    }
}
