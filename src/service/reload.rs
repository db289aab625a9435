//! New settings for a service that is up.

use std::sync::PoisonError;

use actix_web::web;

use super::state::AppState;
use crate::agents::routing::AnsweringError;
use crate::settings::{Changes, Settings};

/// Gives a service new settings, from any thread.
#[derive(Clone)]
pub struct ConfigReloader(pub(super) web::Data<AppState>);

impl ConfigReloader {
    /// New calls live under these settings from now on, live ones keep theirs. Secrets hold for all,
    /// at once. Gives what differs from the last reading. It reads files and may open the appointment book: call it off the threads that carry audio.
    ///
    /// # Errors
    /// Settings that cannot be used change nothing.
    pub fn renew(&self, settings: Settings) -> Result<Changes, AnsweringError> {
        self.0.renew(&settings)?;
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.0.settings.changes(&last, &settings);
        *last = settings;
        Ok(changes)
    }
}
