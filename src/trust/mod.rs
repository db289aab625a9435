//! Whom the service believes now, and with which keys it speaks to others: the secrets that a reload renews.
//!
//! They are renewed as a whole, between two requests. What verifies accepts every secret of its kind, so that a new one
//! can be in force before the old one leaves; what signs takes the first.

mod bearer;
pub mod ticket;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use secrecy::SecretString;

use crate::settings::{Secrets, Settings, Trust};
use bearer::BearerToken;
use ticket::{MintError, TicketIssuer};

/// One reading of the secrets.
pub(crate) struct Keys {
    /// Twilio's; `None` in development, where everybody is believed.
    twilio: Option<Secrets>,
    /// The operator's; `None` likewise.
    admin: Option<Vec<BearerToken>>,
    /// Tickets for media sockets.
    pub(crate) issuer: TicketIssuer,
    /// The model server's.
    pub(crate) model: SecretString,
}

impl Keys {
    fn of(settings: &Settings, issuer: TicketIssuer) -> Self {
        let (twilio, admin) = match &settings.server.trust {
            Trust::Dev { .. } => (None, None),
            Trust::Verified {
                auth_tokens,
                admin_tokens,
                ..
            } => (
                Some(auth_tokens.clone()),
                Some(admin_tokens.iter().map(BearerToken::new).collect()),
            ),
        };
        Self {
            twilio,
            admin,
            issuer,
            model: settings.openai.api_key.clone(),
        }
    }

    /// What Twilio signs its requests with; `None` where everybody is believed.
    pub(crate) const fn of_twilio(&self) -> Option<&Secrets> {
        self.twilio.as_ref()
    }

    /// Whether `given` is one of the operator's tokens; `None` where nobody needs one. All are compared, so that the time
    /// tells nothing.
    pub(crate) fn is_operators(&self, given: &str) -> Option<bool> {
        let tokens = self.admin.as_ref()?;
        let matching = tokens.iter().filter(|token| token.matches(given));
        Some(matching.count() > 0)
    }
}

/// The secrets as they are now.
pub(crate) struct Keyring {
    now: RwLock<Arc<Keys>>,
}

impl Keyring {
    /// The secrets of the start.
    ///
    /// # Errors
    /// When the system gives no random bytes for development's own tickets.
    pub(crate) fn new(settings: &Settings) -> Result<Self, MintError> {
        let issuer = match &settings.server.trust {
            Trust::Dev { .. } => TicketIssuer::random()?,
            Trust::Verified { auth_tokens, .. } => TicketIssuer::from_auth_tokens(auth_tokens),
        };
        let keys = Keys::of(settings, issuer);
        Ok(Self {
            now: RwLock::new(Arc::new(keys)),
        })
    }

    /// The secrets as they are now. Ask again for every request.
    pub(crate) fn now(&self) -> Arc<Keys> {
        self.now
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes the secrets of `new` over, unless it has another mode than the `first` settings: that needs a restart.
    pub(crate) fn renew(&self, first: &Settings, new: &Settings, now: SystemTime) {
        if first.is_dev() != new.is_dev() {
            return;
        }
        let old = self.now();
        let issuer = match &new.server.trust {
            Trust::Dev { .. } => old.issuer.clone(),
            Trust::Verified { auth_tokens, .. } => {
                TicketIssuer::from_auth_tokens(auth_tokens).after(&old.issuer, now)
            }
        };
        let keys = Arc::new(Keys::of(new, issuer));
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}
