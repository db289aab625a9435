//! The audio of one call, for those who listen to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use call_protocol::audio::payload::Payload;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use super::Lost;

/// Stretches of audio a listener may be behind: more than a second of both lanes.
const STRETCHES_KEPT: usize = 128;

/// Whose voice it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What the caller says, and what stands behind them.
    Caller,
    /// What the caller hears.
    Agent,
}

/// A stretch of one lane. Times are those of the call: since its first media socket was accepted.
#[derive(Clone, Debug)]
pub enum AudioEvent {
    /// Sound.
    Sound {
        /// Whose.
        lane: Lane,
        /// When its first sample is heard: for the agent by the playback clock, which may be later than now.
        at: Duration,
        /// µ-law, in the base64 in which it came.
        payload: Payload,
    },
    /// Nothing of the agent's that begins after this moment was heard, and what had begun ended here.
    Cut {
        /// The moment.
        at: Duration,
    },
}

/// The audio of one call. Clones are the same feed.
///
/// A call that nobody listens to pays one read of a number a frame.
#[derive(Clone, Debug, Default)]
pub struct AudioFeed {
    listeners: Arc<AtomicUsize>,
    /// Made for the first listener: its places would be felt with hundreds of calls.
    sender: Arc<OnceLock<Sender<AudioEvent>>>,
}

impl AudioFeed {
    /// All audio from now on.
    #[must_use]
    pub fn listen(&self) -> AudioSubscription {
        let sender = self.sender.get_or_init(|| channel(STRETCHES_KEPT).0);
        let receiver = sender.subscribe();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        AudioSubscription {
            receiver,
            listeners: self.listeners.clone(),
        }
    }

    /// How many listen.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.listeners.load(Ordering::Relaxed)
    }

    /// Gives it to those who listen; nothing is made for nobody.
    pub(crate) fn publish(&self, make: impl FnOnce() -> AudioEvent) {
        if self.listeners() > 0
            && let Some(sender) = self.sender.get()
        {
            // The last listener left meanwhile: nobody misses it.
            let _ = sender.send(make());
        }
    }
}

/// One who listens.
#[derive(Debug)]
pub struct AudioSubscription {
    receiver: Receiver<AudioEvent>,
    listeners: Arc<AtomicUsize>,
}

impl AudioSubscription {
    /// The next stretch, or how many were lost before it; `None` when the call is gone.
    pub async fn next(&mut self) -> Option<Result<AudioEvent, Lost>> {
        match self.receiver.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(lost)) => Some(Err(Lost(lost))),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Drop for AudioSubscription {
    fn drop(&mut self) {
        self.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(ms: u64) -> AudioEvent {
        let at = Duration::from_millis(ms);
        AudioEvent::Cut { at }
    }

    #[tokio::test]
    async fn nothing_is_made_for_a_call_that_nobody_listens_to() {
        let feed = AudioFeed::default();
        feed.publish(|| unreachable!("made for nobody"));
        let mut listener = feed.listen();
        feed.publish(|| cut(1));
        assert!(listener.next().await.unwrap().is_ok());
        drop(listener);
        assert_eq!(feed.listeners(), 0);
        feed.publish(|| unreachable!("made for one who left"));
    }

    #[tokio::test]
    async fn a_slow_listener_loses_the_oldest_and_is_told_how_much() {
        let feed = AudioFeed::default();
        let mut slow = feed.listen();
        for ms in 0..STRETCHES_KEPT as u64 + 3 {
            feed.publish(|| cut(ms));
        }
        assert_eq!(slow.next().await.unwrap().unwrap_err(), Lost(3));
        let Some(Ok(AudioEvent::Cut { at })) = slow.next().await else {
            panic!("a stretch was expected");
        };
        assert_eq!(at, Duration::from_millis(3));
        drop(feed);
        for _ in 4..STRETCHES_KEPT + 3 {
            assert!(slow.next().await.unwrap().is_ok());
        }
        assert!(slow.next().await.is_none(), "the call is gone");
    }
}
