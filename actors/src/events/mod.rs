//! What happens in calls, told to whoever watches.
//!
//! One bounded broadcast a process. A call publishes and goes on: a subscriber that does not keep up loses the oldest
//! events, which are counted by its name in `switchboard_events_dropped_total`. Nothing is made while nobody subscribes.
//!
//! The audio of a call is not on it. It has a feed of its own ([`AudioFeed`]), so that one listener costs the other calls
//! nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use call_protocol::call::effect::Report;
use call_protocol::phone::{CallSid, StreamSid};
use prometheus::IntCounter;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, Sender, channel};

mod audio;

pub use audio::{AudioEvent, AudioFeed, AudioSubscription, Lane};

use crate::messages::CallKey;
use crate::metrics::Metrics;

/// Events a subscriber may be behind: about ten seconds of five hundred calls.
const EVENTS_KEPT: usize = 4_096;

/// One thing that happened in a call.
#[derive(Debug)]
pub struct CallEvent {
    /// The call's number in this process.
    pub call: CallKey,
    /// Twilio's name for it, once that is known.
    pub call_sid: Option<CallSid>,
    /// The media stream, once there is one.
    pub stream_sid: Option<StreamSid>,
    /// Wall-clock time.
    pub at: SystemTime,
    /// Time since the call's first media socket was accepted.
    pub since_accepted: Duration,
    /// Counts the events of this process, from 1, in the order in which subscribers get them.
    pub seq: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened in a call.
#[derive(Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// The call's machine tells it.
    Report(Report),
    /// The call was built anew after a fault, so many times by now.
    Restarted {
        /// Restarts of this call.
        restarts: u64,
    },
}

/// The broadcast of a process. Clones are the same one.
#[derive(Clone)]
pub struct EventBus {
    sender: Sender<Arc<CallEvent>>,
    /// The last event's number; held while it is sent, so that numbers come in order.
    last: Arc<Mutex<u64>>,
    metrics: Arc<Metrics>,
}

impl EventBus {
    /// A broadcast that counts what its subscribers lose in these metrics.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            sender: channel(EVENTS_KEPT).0,
            last: Arc::default(),
            metrics,
        }
    }

    /// Everything that is published from now on; what this subscriber loses is counted under its name.
    #[must_use]
    pub fn subscribe(&self, name: &str) -> Subscription {
        Subscription {
            receiver: self.sender.subscribe(),
            dropped: self.metrics.events_dropped(name),
        }
    }

    /// Gives everybody the event that `make` makes of its number; it is not made if there is nobody.
    pub(crate) fn publish(&self, make: impl FnOnce(u64) -> CallEvent) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let mut last = self.last();
        *last += 1;
        // Without a receiver by now: nobody misses it.
        let _ = self.sender.send(Arc::new(make(*last)));
    }

    /// A panic while an event is made leaves a number without an event, which harms nobody.
    fn last(&self) -> MutexGuard<'_, u64> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who watches.
#[derive(Debug)]
pub struct Subscription {
    receiver: Receiver<Arc<CallEvent>>,
    dropped: IntCounter,
}

impl Subscription {
    /// The next event, or how many were lost before it; `None` when the process publishes no more.
    pub async fn next(&mut self) -> Option<Result<Arc<CallEvent>, Lost>> {
        match self.receiver.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(lost)) => Some(Err(self.lost(lost))),
            Err(RecvError::Closed) => None,
        }
    }

    /// The same without waiting: `None` when nothing is there.
    pub fn try_next(&mut self) -> Option<Result<Arc<CallEvent>, Lost>> {
        match self.receiver.try_recv() {
            Ok(event) => Some(Ok(event)),
            Err(TryRecvError::Lagged(lost)) => Some(Err(self.lost(lost))),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    fn lost(&self, lost: u64) -> Lost {
        self.dropped.inc_by(lost);
        Lost(lost)
    }
}

/// Events that a subscriber was too slow for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost(pub u64);

#[cfg(test)]
mod tests {
    use call_protocol::call::state::StateName;

    use super::*;

    fn event(seq: u64) -> CallEvent {
        CallEvent {
            call: 7,
            call_sid: None,
            stream_sid: None,
            at: SystemTime::UNIX_EPOCH,
            since_accepted: Duration::ZERO,
            seq,
            kind: EventKind::Report(Report::State(StateName::Media)),
        }
    }

    fn bus() -> (EventBus, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new("test").unwrap());
        (EventBus::new(metrics.clone()), metrics)
    }

    #[test]
    fn nothing_is_made_while_nobody_subscribes() {
        let (bus, _) = bus();
        bus.publish(|_| unreachable!("made for nobody"));
        drop(bus.subscribe("log"));
        bus.publish(|_| unreachable!("made for one who left"));
    }

    #[tokio::test]
    async fn every_subscriber_gets_every_event_in_order() {
        let (bus, _) = bus();
        let mut subscriptions = [bus.subscribe("records"), bus.subscribe("events")];
        for _ in 0..3 {
            bus.publish(event);
        }
        for subscription in &mut subscriptions {
            for seq in 1..=3 {
                assert_eq!(subscription.next().await.unwrap().unwrap().seq, seq);
            }
            assert!(subscription.try_next().is_none());
        }
    }

    #[tokio::test]
    async fn a_subscriber_that_does_not_keep_up_loses_the_oldest_and_is_counted() {
        let (bus, metrics) = bus();
        let mut slow = bus.subscribe("records");
        let mut quick = bus.subscribe("events");
        for seq in 1..=EVENTS_KEPT as u64 + 5 {
            bus.publish(event);
            assert_eq!(quick.try_next().unwrap().unwrap().seq, seq);
        }
        assert_eq!(slow.next().await.unwrap().unwrap_err(), Lost(5));
        assert_eq!(slow.next().await.unwrap().unwrap().seq, 6);
        let scrape = metrics.render();
        let counted = |name: &str, lost: u64| {
            format!("switchboard_events_dropped_total{{subscriber=\"{name}\"}} {lost}")
        };
        assert!(scrape.contains(&counted("records", 5)), "{scrape}");
        assert!(scrape.contains(&counted("events", 0)), "{scrape}");
    }
}
