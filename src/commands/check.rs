//! `switchboard check`: shows the validated configuration, then tries what it names, a line a step.
//!
//! Every step that fails says why, with a hint. Texts that came from outside are printed without control
//! characters and without our key.

mod client;
mod model;
mod openings;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use awc::Client;
use awc::http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};

use crate::cli::Exit;
use crate::settings::{Agent, RestCredentials, RestLogin, Settings, Trust};
use crate::telemetry::printable;

pub use openings::problems;

/// How long one question may take before it counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(10);
/// An account or health answer is a few hundred bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed(String),
    Failed { cause: String, hint: String },
    Skipped(String),
}

impl Outcome {
    fn failed(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed {
            cause: cause.into(),
            hint: hint.into(),
        }
    }
}

/// Writes the report and says whether every step that was tried succeeded.
///
/// # Errors
/// When `out` cannot be written.
pub async fn run(settings: &Settings, offline: bool, out: &mut dyn Write) -> io::Result<Exit> {
    run_within(settings, offline, PATIENCE, out).await
}

async fn run_within(
    settings: &Settings,
    offline: bool,
    patience: Duration,
    out: &mut dyn Write,
) -> io::Result<Exit> {
    write!(out, "{}", settings.masked_summary())?;
    for warning in &settings.warnings {
        writeln!(out, "! {warning}")?;
    }
    let mut report = Report {
        out,
        failures: 0,
        settings,
    };
    report.step("configuration", Outcome::Passed("valid".to_owned()))?;
    if offline {
        for name in ["model", "Twilio account", "public URL"] {
            report.step(name, Outcome::Skipped("--offline".to_owned()))?;
        }
        return Ok(Exit::Done);
    }
    let client = match client::build(patience) {
        Ok(client) => client,
        Err(error) => {
            report.step(
                "TLS",
                Outcome::failed(error.to_string(), "report this as a bug"),
            )?;
            return Ok(Exit::Failed);
        }
    };
    for (model, agents) in agents_by_model(settings) {
        let steps = model::try_agents(&client, settings, (model, &agents), patience).await;
        for (name, outcome) in steps {
            report.step(&name, outcome)?;
        }
    }
    report.step("Twilio account", account(&client, settings).await)?;
    report.step("public URL", health(&client, settings).await)?;
    Ok(if report.failures == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

struct Report<'a> {
    out: &'a mut dyn Write,
    failures: usize,
    settings: &'a Settings,
}

impl Report<'_> {
    fn step(&mut self, name: &str, outcome: Outcome) -> io::Result<()> {
        let line = match outcome {
            Outcome::Passed(what) => format!("✓ {name}: {what}"),
            Outcome::Skipped(why) => format!("– {name}: skipped ({why})"),
            Outcome::Failed { cause, hint } => {
                self.failures += 1;
                format!("✗ {name}: {cause}; {hint}")
            }
        };
        writeln!(self.out, "{}", self.without_secrets(&printable(&line)))?;
        self.out.flush()
    }

    /// Servers quote what they were sent.
    fn without_secrets(&self, line: &str) -> String {
        let mut secrets: Vec<&SecretString> = vec![&self.settings.openai.api_key];
        if let Trust::Verified {
            auth_tokens,
            admin_tokens,
            ..
        } = &self.settings.server.trust
        {
            secrets.extend(auth_tokens.iter().chain(admin_tokens.iter()));
        }
        match self.settings.twilio.rest.as_ref().map(|rest| &rest.login) {
            Some(RestLogin::AuthToken(token)) => secrets.push(token),
            Some(RestLogin::ApiKey { key, secret }) => secrets.extend([key, secret]),
            None => {}
        }
        // The model is told them, for the servers it calls itself.
        for tool in self.settings.tools.values() {
            secrets.extend(&tool.secret);
            secrets.extend(tool.headers.iter().map(|(_, value)| value));
        }
        let mut line = line.to_owned();
        for secret in secrets {
            // A key like "x" or "dev", allowed for emulators, is no secret and would tear words apart.
            if secret.expose_secret().len() >= 8 {
                line = line.replace(secret.expose_secret(), "••••••••");
            }
        }
        line
    }
}

/// The agents of every model that is used, the default agent before others.
fn agents_by_model(settings: &Settings) -> BTreeMap<&str, Vec<&Agent>> {
    let mut by_model: BTreeMap<&str, Vec<&Agent>> = BTreeMap::new();
    let default = settings.default_agent();
    let others = settings.agents().values();
    let others = others.filter(|agent| agent.name != default.name);
    for agent in std::iter::once(default).chain(others) {
        by_model.entry(&agent.model.name).or_default().push(agent);
    }
    by_model
}

/// The credentials that can read the account: the auth token wherever there is one, since API keys cannot.
fn account_login(settings: &Settings, rest: &RestCredentials) -> RestCredentials {
    match &settings.server.trust {
        Trust::Verified { auth_tokens, .. } => RestCredentials {
            account_sid: rest.account_sid.clone(),
            login: RestLogin::AuthToken(auth_tokens.first().clone()),
        },
        Trust::Dev { .. } => rest.clone(),
    }
}

async fn account(client: &Client, settings: &Settings) -> Outcome {
    let Some(rest) = &settings.twilio.rest else {
        return Outcome::Skipped(
            "no twilio.account_sid (TWILIO_ACCOUNT_SID) with a token or API key".to_owned(),
        );
    };
    let login = account_login(settings, rest);
    let base = settings.twilio.api_url.as_str().trim_end_matches('/');
    let address = format!("{base}/2010-04-01/Accounts/{}.json", login.account_sid);
    let (user, password) = login.basic();
    let answer = client
        .get(&address)
        .insert_header(("Accept", "application/json"))
        .basic_auth(user, password)
        .send();
    let mut answer = match answer.await {
        Ok(answer) => answer,
        Err(error) => {
            return Outcome::failed(
                error.to_string(),
                "check twilio.api_url (TWILIO_API_URL) and the network",
            );
        }
    };
    let is_refused = matches!(
        answer.status(),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    );
    match &login.login {
        RestLogin::ApiKey { .. } if is_refused => {
            return Outcome::Skipped(format!(
                "Twilio answered {}: an API key cannot read the account, so this says nothing about the key; \
                 only the auth token can",
                answer.status().as_u16()
            ));
        }
        RestLogin::AuthToken(_) if is_refused => {
            return Outcome::failed(
                format!("Twilio answered {}", answer.status().as_u16()),
                "check twilio.account_sid (TWILIO_ACCOUNT_SID) and twilio.auth_token (TWILIO_AUTH_TOKEN); \
                 signatures need the primary token of that account",
            );
        }
        _ => {}
    }
    if answer.status() != StatusCode::OK {
        return Outcome::failed(
            format!("Twilio answered {}", answer.status().as_u16()),
            "check twilio.api_url (TWILIO_API_URL), or try again later",
        );
    }
    let body = match answer.body().limit(MAX_ANSWER_BYTES).await {
        Ok(body) => body,
        Err(error) => return Outcome::failed(error.to_string(), "try again"),
    };
    let account: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| {
        account
            .get(name)
            .and_then(serde_json::Value::as_str)
            .unwrap_or("unknown")
    };
    if account.get("sid").and_then(serde_json::Value::as_str) != Some(login.account_sid.as_str()) {
        return Outcome::failed(
            "the answer is not about the account",
            "check that twilio.api_url (TWILIO_API_URL) is Twilio's",
        );
    }
    if text("status") != "active" {
        return Outcome::failed(
            format!("the account is {}", text("status")),
            "reactivate it in the Twilio console",
        );
    }
    Outcome::Passed(format!("{} is active", text("friendly_name")))
}

async fn health(client: &Client, settings: &Settings) -> Outcome {
    let Some(public_url) = settings.public_url() else {
        return Outcome::Skipped(
            "dev without server.public_url (SWITCHBOARD_PUBLIC_URL)".to_owned(),
        );
    };
    let address = public_url.join("/healthz");
    match client.get(&address).send().await {
        Ok(answer) if answer.status() == StatusCode::OK => {
            Outcome::Passed(format!("{address} answered 200"))
        }
        Ok(answer) => Outcome::failed(
            format!("{address} answered {}", answer.status().as_u16()),
            "check that server.public_url (SWITCHBOARD_PUBLIC_URL) and the proxy lead to the running service",
        ),
        Err(error) => Outcome::failed(
            format!("{address}: {error}"),
            "start the service, and check DNS, the certificate and the proxy of server.public_url (SWITCHBOARD_PUBLIC_URL)",
        ),
    }
}

#[cfg(test)]
mod tests;
