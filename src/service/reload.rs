//! New settings for a service that is up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use switchboard_actors::twilio::rest::Rest;

use crate::agents::routing::{AnsweringError, ConfigHistory};
use crate::settings::{Changes, Settings};
use crate::trust::Keyring;

/// Gives a service new settings, from any thread.
#[derive(Clone)]
pub struct ConfigReloader(pub(super) Arc<Reloaded>);

/// What a reload changes.
pub(super) struct Reloaded {
    pub(super) agents: Arc<ConfigHistory>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) rest: Option<Arc<Rest>>,
    /// The settings of the start.
    pub(super) first: Settings,
    /// The settings as they were read last, for telling what the next reading changes.
    pub(super) last: Mutex<Settings>,
}

impl ConfigReloader {
    /// New calls live under these settings from now on, live ones keep theirs. Secrets hold for all,
    /// at once. Gives what differs from the last reading. It reads files and may open the appointment book: call it off the threads that carry audio.
    ///
    /// # Errors
    /// Settings that cannot be used change nothing.
    pub fn renew(&self, settings: Settings) -> Result<Changes, AnsweringError> {
        let Reloaded {
            agents,
            keyring,
            rest,
            first,
            last,
        } = &*self.0;
        agents.renew(settings.clone(), first)?;
        keyring.renew(first, &settings, SystemTime::now());
        let login = settings.twilio.rest.as_ref();
        if let (Some(rest), Some(login), true) = (rest, login, first.is_of_one_account(&settings)) {
            rest.log_in(login.basic());
        }
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = first.changes(&last, &settings);
        *last = settings;
        Ok(changes)
    }
}
