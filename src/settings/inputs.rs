//! Second stage: file, environment and defaults merged. Every scalar is text with the name of where it came from.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::env::{self, Env};
use super::fragments::File;
use super::keys::{self, Key};
use super::problems::Problems;

/// A value as text, with the table's key and where the text was found.
pub(super) struct Given {
    pub(super) key: Key,
    pub(super) text: String,
    pub(super) source: Source,
}

/// A secret and where it was found.
pub(super) struct GivenSecret {
    pub(super) key: Key,
    pub(super) text: SecretString,
    pub(super) source: Source,
}

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Default,
    File,
    Environment(String),
}

/// Everything said about the settings, from all places.
pub(super) struct Inputs {
    pub(super) file_path: Option<PathBuf>,
    pub(super) listen: Option<Given>,
    /// `PORT`, which replaces the port of `listen`.
    pub(super) port: Option<Given>,
    pub(super) public_url: Option<Given>,
    pub(super) workers: Option<Given>,
    pub(super) data_dir: Option<Given>,
    pub(super) store: Option<Given>,
    pub(super) admin_listen: Option<Given>,
    pub(super) admin_token: Option<GivenSecret>,
    pub(super) max_calls: Option<Given>,
    pub(super) max_call_seconds: Option<Given>,
    pub(super) drain_seconds: Option<Given>,
    pub(super) dev: Option<Given>,
    pub(super) openai_api_key: Option<GivenSecret>,
    pub(super) openai_url: Option<Given>,
    pub(super) openai_model: Option<Given>,
    pub(super) account_sid: Option<Given>,
    pub(super) auth_token: Option<GivenSecret>,
    pub(super) auth_token_secondary: Option<GivenSecret>,
    pub(super) api_key: Option<GivenSecret>,
    pub(super) api_secret: Option<GivenSecret>,
    pub(super) api_url: Option<Given>,
    pub(super) log_filter: Option<Given>,
    pub(super) log_format: Option<Given>,
    /// What is wrong so far.
    pub(super) problems: Problems,
    /// What only the file can say: agents, tools, fallback, transfer targets.
    pub(super) file: File,
}

impl Inputs {
    /// Merges a file with the environment.
    pub(super) fn merge(
        mut file: File,
        file_path: Option<&Path>,
        env: &dyn Env,
        mut problems: Problems,
    ) -> Self {
        env::refuse_unknown(env, &mut problems);
        let found = &mut problems;
        let number = |value: Option<i64>| value.map(|value| value.to_string());
        Self {
            file_path: file_path.map(Path::to_owned),
            listen: text(
                &keys::LISTEN,
                &["SWITCHBOARD_LISTEN"],
                file.server.listen.take(),
                env,
                found,
            ),
            port: text(
                &Key {
                    default: keys::Default::Absent,
                    ..keys::LISTEN
                },
                &["PORT"],
                None,
                env,
                found,
            )
            .filter(|_| !matches!(env::non_empty(env, "SWITCHBOARD_LISTEN"), Ok(Some(_)))),
            public_url: pick(&keys::PUBLIC_URL, file.server.public_url.take(), env, found),
            workers: pick(&keys::WORKERS, number(file.server.workers), env, found),
            data_dir: pick(&keys::DATA_DIR, file.data.dir.take(), env, found),
            store: pick(&keys::STORE, file.data.store.take(), env, found),
            admin_listen: pick(&keys::ADMIN_LISTEN, file.admin.listen.take(), env, found),
            admin_token: pick_secret(&keys::ADMIN_TOKEN, file.admin.token.take(), env, found),
            max_calls: pick(&keys::MAX_CALLS, number(file.limits.max_calls), env, found),
            max_call_seconds: pick(
                &keys::MAX_CALL_SECONDS,
                number(file.limits.max_call_seconds),
                env,
                found,
            ),
            drain_seconds: pick(
                &keys::DRAIN_SECONDS,
                number(file.limits.drain_seconds),
                env,
                found,
            ),
            dev: pick(
                &keys::DEV,
                file.server.dev.map(|dev| dev.to_string()),
                env,
                found,
            ),
            openai_api_key: pick_secret(
                &keys::OPENAI_API_KEY,
                file.openai.api_key.take(),
                env,
                found,
            ),
            openai_url: pick(&keys::OPENAI_URL, file.openai.url.take(), env, found),
            openai_model: pick(&keys::OPENAI_MODEL, file.openai.model.take(), env, found),
            account_sid: pick(
                &keys::TWILIO_ACCOUNT_SID,
                file.twilio.account_sid.take(),
                env,
                found,
            ),
            auth_token: pick_secret(
                &keys::TWILIO_AUTH_TOKEN,
                file.twilio.auth_token.take(),
                env,
                found,
            ),
            auth_token_secondary: pick_secret(
                &keys::TWILIO_AUTH_TOKEN_SECONDARY,
                file.twilio.auth_token_secondary.take(),
                env,
                found,
            ),
            api_key: pick_secret(
                &keys::TWILIO_API_KEY,
                file.twilio.api_key.take(),
                env,
                found,
            ),
            api_secret: pick_secret(
                &keys::TWILIO_API_SECRET,
                file.twilio.api_secret.take(),
                env,
                found,
            ),
            api_url: pick(
                &keys::TWILIO_API_URL,
                file.twilio.api_url.take(),
                env,
                found,
            ),
            log_filter: pick(&keys::RUST_LOG, None, env, found),
            log_format: pick(&keys::LOG_FORMAT, file.log.format.take(), env, found),
            file,
            problems,
        }
    }

    /// One line a key of the table: name, value, where it came from. Secrets are masked.
    pub(super) fn summary(&self) -> Vec<String> {
        let plain = [
            &self.listen,
            &self.port,
            &self.public_url,
            &self.workers,
            &self.data_dir,
            &self.store,
            &self.admin_listen,
            &self.max_calls,
            &self.max_call_seconds,
            &self.drain_seconds,
            &self.dev,
            &self.openai_url,
            &self.openai_model,
            &self.account_sid,
            &self.api_url,
            &self.log_filter,
            &self.log_format,
        ];
        let secret = [
            &self.admin_token,
            &self.openai_api_key,
            &self.auth_token,
            &self.auth_token_secondary,
            &self.api_key,
            &self.api_secret,
        ];
        let mut lines = Vec::new();
        for key in keys::DEFAULTS {
            let mut shown = false;
            for given in plain
                .iter()
                .filter_map(|given| given.as_ref())
                .filter(|given| given.key.key == key.key)
            {
                lines.push(format!(
                    "{} = {} ({})",
                    given.title(),
                    without_password(&given.text),
                    given.source
                ));
                shown = true;
            }
            for given in secret
                .iter()
                .filter_map(|given| given.as_ref())
                .filter(|given| given.key.key == key.key)
            {
                lines.push(format!("{} = •••••••• ({})", key.key, given.source));
                shown = true;
            }
            if !shown {
                let words = match key.default {
                    keys::Default::Computed(words) => words.replace('`', ""),
                    _ => "not set".to_owned(),
                };
                lines.push(format!("{} = {words}", key.key));
            }
        }
        lines
    }
}

impl Given {
    /// The name for messages: the variable when the environment said it, else the key with its variable.
    pub(super) fn name(&self) -> String {
        match &self.source {
            Source::Environment(variable) if self.key.key.is_empty() => variable.clone(),
            Source::Environment(variable) => format!("{} ({variable})", self.key.key),
            _ => self.key.name(),
        }
    }

    fn title(&self) -> &str {
        match &self.source {
            Source::Environment(variable) if variable == "PORT" => "server.listen port",
            _ if self.key.key.is_empty() => self.key.env.first().copied().unwrap_or_default(),
            _ => self.key.key,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File => out.write_str("file"),
            Self::Environment(variable) => out.write_str(variable),
        }
    }
}

fn pick(key: &Key, file: Option<String>, env: &dyn Env, problems: &mut Problems) -> Option<Given> {
    text(key, key.env, file, env, problems)
}

fn text(
    key: &Key,
    variables: &[&str],
    file: Option<String>,
    env: &dyn Env,
    problems: &mut Problems,
) -> Option<Given> {
    for variable in variables {
        match env::non_empty(env, variable) {
            Ok(Some(text)) => {
                return Some(Given {
                    key: *key,
                    text,
                    source: Source::Environment((*variable).to_owned()),
                });
            }
            Ok(None) => {}
            Err(error) => {
                problems.said(key.key);
                problems.add(error);
            }
        }
    }
    if let Some(text) = file {
        return Some(Given {
            key: *key,
            text: text.trim().to_owned(),
            source: Source::File,
        });
    }
    match key.default {
        keys::Default::Text(text) => Some(Given {
            key: *key,
            text: text.to_owned(),
            source: Source::Default,
        }),
        keys::Default::Computed(_) | keys::Default::Absent => None,
    }
}

fn pick_secret(
    key: &Key,
    file: Option<SecretString>,
    env: &dyn Env,
    problems: &mut Problems,
) -> Option<GivenSecret> {
    match env::secret(env, key) {
        Ok(Some((text, variable))) => Some(GivenSecret {
            key: *key,
            text,
            source: Source::Environment(variable),
        }),
        Ok(None) => file.map(|text| GivenSecret {
            key: *key,
            text,
            source: Source::File,
        }),
        Err(error) => {
            problems.said(key.key);
            problems.add(error);
            None
        }
    }
}

/// A store's or a model's URL may carry a password or a key in its query.
fn without_password(text: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else {
        return text.to_owned();
    };
    let has_password = url.password().is_some();
    if !has_password && url.query().is_none() {
        return text.to_owned();
    }
    if has_password && url.set_password(Some("masked")).is_err() {
        return "••••••••".to_owned();
    }
    if url.query().is_some() {
        url.set_query(Some("masked"));
    }
    url.to_string()
}
