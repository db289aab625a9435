//! Reaching into a live call from outside, as Twilio's REST API does.
//!
//! Source: <https://www.twilio.com/docs/voice/api/call-resource#update-a-call-resource>.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::webhook::Method;

/// What to do with a live call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Runs the TwiML found there, at once.
    Fetch {
        /// Where the TwiML is.
        url: String,
        /// How it is asked for.
        method: Method,
    },
    /// Runs this TwiML, at once.
    Twiml(String),
    /// Ends the call.
    Complete,
}

/// The call is over or never was (errors 21220 and 20404).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the call is not in progress")]
pub struct NotInProgress;

/// All live calls of a line and its clones.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    live: Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Update>>>>,
}

impl Exchange {
    /// Changes a live call. The running document is replaced; a stream ends with `stop`.
    ///
    /// # Errors
    /// [`NotInProgress`] for a SID that is not on the line.
    pub fn update(&self, call_sid: &str, update: Update) -> Result<(), NotInProgress> {
        let live = self.lock();
        let sender = live.get(call_sid).ok_or(NotInProgress)?;
        sender.send(update).map_err(|_| NotInProgress)
    }

    /// The SIDs on the line, in no order.
    #[must_use]
    pub fn live(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Puts a call on the line until the registration is dropped.
    pub(crate) fn register(&self, call_sid: &str) -> Registration {
        let (sender, updates) = mpsc::unbounded_channel();
        self.lock().insert(call_sid.to_owned(), sender);
        Registration {
            exchange: self.clone(),
            call_sid: call_sid.to_owned(),
            updates,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::UnboundedSender<Update>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place on the exchange.
#[derive(Debug)]
pub(crate) struct Registration {
    exchange: Exchange,
    call_sid: String,
    updates: mpsc::UnboundedReceiver<Update>,
}

impl Registration {
    /// The next update; waits for ever when there is none.
    pub(crate) async fn next(&mut self) -> Update {
        match self.updates.recv().await {
            Some(update) => update,
            // The exchange holds the sender while this exists.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.exchange.lock().remove(&self.call_sid);
    }
}
