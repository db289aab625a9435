//! What a reload can change, and what it cannot.

use secrecy::{ExposeSecret as _, SecretString};

use super::{RestCredentials, RestLogin, Settings, Trust, keys};

impl Settings {
    /// Keys whose values differ and that only a restart changes. Agents, numbers, tools, the fallback, transfer
    /// targets, models and the length of calls are taken over by new calls.
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
                keys::TWILIO_AUTH_TOKEN.key,
                secrets(self).0 != secrets(new).0,
            ),
            (keys::ADMIN_TOKEN.key, secrets(self).1 != secrets(new).1),
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
            (keys::OPENAI_URL.key, self.openai.url != new.openai.url),
            (
                keys::OPENAI_API_KEY.key,
                plain(&self.openai.api_key) != plain(&new.openai.api_key),
            ),
            ("openai.dial", self.openai.dial != new.openai.dial),
            (
                keys::TWILIO_API_URL.key,
                self.twilio.api_url != new.twilio.api_url,
            ),
            (
                "twilio.stream_signature",
                self.twilio.stream_signature != new.twilio.stream_signature,
            ),
            (keys::TWILIO_ACCOUNT_SID.key, login(self) != login(new)),
            ("log", self.log != new.log),
        ];
        differs
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(key, _)| key)
            .collect()
    }
}

fn plain(secret: &SecretString) -> &str {
    secret.expose_secret()
}

fn secrets(settings: &Settings) -> (Option<&str>, Option<&str>) {
    match &settings.server.trust {
        Trust::Dev { .. } => (None, None),
        Trust::Verified {
            auth_token,
            admin_token,
            ..
        } => (Some(plain(auth_token)), Some(plain(admin_token))),
    }
}

fn login(settings: &Settings) -> Option<(&str, &str, &str)> {
    let RestCredentials { account_sid, login } = settings.twilio.rest.as_ref()?;
    Some(match login {
        RestLogin::AuthToken(token) => (account_sid, "", plain(token)),
        RestLogin::ApiKey { key, secret } => (account_sid, plain(key), plain(secret)),
    })
}
