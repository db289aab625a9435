//! What a reload can change, and what it cannot.

use secrecy::{ExposeSecret as _, SecretString};

use super::{RestCredentials, RestLogin, Settings, Trust, keys};

/// What differs between two readings of the settings, by the names of its keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Secrets that hold from now on.
    pub renewed: Vec<&'static str>,
    /// What only a restart changes.
    pub needs_restart: Vec<&'static str>,
}

impl Settings {
    /// What of `new` is another thing than in the `last` reading; of that which only a restart changes, what is not as
    /// in these settings, those of the start.
    #[must_use]
    pub fn changes(&self, last: &Self, new: &Self) -> Changes {
        let since_last = last.needs_restart(new);
        let mut needs_restart = self.needs_restart(new);
        needs_restart.retain(|key| since_last.contains(key));
        let renewed = [
            (
                keys::TWILIO_AUTH_TOKEN.key,
                auth_token(last) != auth_token(new),
            ),
            (
                keys::TWILIO_AUTH_TOKEN_SECONDARY.key,
                auth_tokens(last).get(1..) != auth_tokens(new).get(1..),
            ),
            (
                keys::ADMIN_TOKEN.key,
                admin_tokens(last) != admin_tokens(new),
            ),
            (
                keys::OPENAI_API_KEY.key,
                plain(&last.openai.api_key) != plain(&new.openai.api_key),
            ),
            (
                keys::TWILIO_API_KEY.key,
                self.is_of_one_account(new) && api_key(last) != api_key(new),
            ),
        ];
        // Another mode needs a restart, and its secrets wait for it.
        let renewed = renewed
            .into_iter()
            .filter(|_| self.is_dev() == new.is_dev());
        Changes {
            renewed: told(renewed),
            needs_restart,
        }
    }

    /// Whether Twilio's REST API is asked about one account at one place, by whichever credentials.
    pub(crate) fn is_of_one_account(&self, new: &Self) -> bool {
        account(self) == account(new) && self.twilio.api_url == new.twilio.api_url
    }

    /// Keys whose values differ and that only a restart changes. Agents, numbers, tools, the fallback, transfer
    /// targets, models and the length of calls are taken over by new calls, secrets by all.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            (keys::LISTEN.key, self.server.listen != new.server.listen),
            (keys::WORKERS.key, self.server.workers != new.server.workers),
            (
                "server.fleet_url",
                self.server.fleet_url != new.server.fleet_url,
            ),
            (keys::DEV.key, self.is_dev() != new.is_dev()),
            (keys::PUBLIC_URL.key, self.public_url() != new.public_url()),
            (
                keys::ADMIN_LISTEN.key,
                self.admin_listen != new.admin_listen,
            ),
            (keys::DATA_DIR.key, self.data.dir != new.data.dir),
            (keys::STORE.key, self.data.store != new.data.store),
            (
                keys::MAX_CALLS.key,
                self.limits.max_calls != new.limits.max_calls,
            ),
            (
                keys::DRAIN_SECONDS.key,
                self.limits.drain != new.limits.drain,
            ),
            (
                "limits.max_day_cost_usd",
                self.limits.max_day_cost_usd != new.limits.max_day_cost_usd,
            ),
            (
                "limits.minutes_per_day",
                self.callers.minutes_per_day != new.callers.minutes_per_day,
            ),
            (keys::OPENAI_URL.key, self.openai.url != new.openai.url),
            ("openai.dial", self.openai.dial != new.openai.dial),
            (
                keys::TWILIO_API_URL.key,
                self.twilio.api_url != new.twilio.api_url,
            ),
            (
                "twilio.stream_signature",
                self.twilio.stream_signature != new.twilio.stream_signature,
            ),
            (keys::TWILIO_ACCOUNT_SID.key, account(self) != account(new)),
            ("log", self.log != new.log),
        ];
        told(differs.into_iter())
    }
}

fn plain(secret: &SecretString) -> &str {
    secret.expose_secret()
}

fn told(differs: impl Iterator<Item = (&'static str, bool)>) -> Vec<&'static str> {
    let differing = differs.filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}

fn auth_tokens(settings: &Settings) -> Vec<&str> {
    match &settings.server.trust {
        Trust::Dev { .. } => Vec::new(),
        Trust::Verified { auth_tokens, .. } => auth_tokens.iter().map(plain).collect(),
    }
}

fn auth_token(settings: &Settings) -> Option<&str> {
    auth_tokens(settings).first().copied()
}

fn admin_tokens(settings: &Settings) -> Vec<&str> {
    match &settings.server.trust {
        Trust::Dev { .. } => Vec::new(),
        Trust::Verified { admin_tokens, .. } => admin_tokens.iter().map(plain).collect(),
    }
}

fn account(settings: &Settings) -> Option<&str> {
    let RestCredentials { account_sid, .. } = settings.twilio.rest.as_ref()?;
    Some(account_sid)
}

fn api_key(settings: &Settings) -> Option<(&str, &str)> {
    match &settings.twilio.rest.as_ref()?.login {
        RestLogin::AuthToken(_) => None,
        RestLogin::ApiKey { key, secret } => Some((plain(key), plain(secret))),
    }
}
