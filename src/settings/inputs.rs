//! The file with the environment over it and the defaults under it: every key of the table is text, with the name of where
//! it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::env::{self, Env};
use super::error::SettingsError;
use super::file::File;
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

/// Everything said about the settings. What the environment says goes before the file, and that before the defaults.
pub(super) struct Inputs {
    pub(super) file_path: Option<PathBuf>,
    /// What the table's keys are, by their first variables.
    given: BTreeMap<&'static str, Given>,
    secrets: BTreeMap<&'static str, GivenSecret>,
    /// `PORT`, which replaces the port of `server.listen`.
    pub(super) port: Option<Given>,
    /// What is wrong so far.
    pub(super) problems: Problems,
    /// What only the file can say: agents, tools, fallback, transfer targets.
    pub(super) file: File,
}

impl Inputs {
    /// Merges a file with the environment.
    pub(super) fn merge(
        file: File,
        file_path: Option<&Path>,
        env: &dyn Env,
        mut problems: Problems,
    ) -> Self {
        env::refuse_unknown(env, &mut problems);
        let (mut given, mut secrets, mut port) = (BTreeMap::new(), BTreeMap::new(), None);
        for key in keys::DEFAULTS {
            if key.secret {
                let secret = pick_secret(key, file.secret(key.key), env, &mut problems);
                secrets.extend(secret.map(|secret| (id(key), secret)));
            } else {
                let found = pick(key, file.text(key.key), env, &mut problems);
                given.extend(found.map(|found| (id(key), found)));
            }
            if *key == keys::LISTEN {
                port = pick_port(env, &mut problems);
            }
        }
        Self {
            file_path: file_path.map(Path::to_owned),
            given,
            secrets,
            port,
            file,
            problems,
        }
    }

    /// What is said of a key, or what holds where nobody says anything.
    pub(super) fn given(&self, key: &Key) -> Option<&Given> {
        self.given.get(id(key))
    }

    /// The same of one that the table of defaults always fills in.
    pub(super) fn required(&self, key: &Key) -> Result<&Given, SettingsError> {
        self.given(key)
            .ok_or_else(|| SettingsError::missing(key.name(), "set it"))
    }

    /// The same of a secret.
    pub(super) fn secret(&self, key: &Key) -> Option<&GivenSecret> {
        self.secrets.get(id(key))
    }

    /// One line a key of the table: name, value, where it came from. Secrets are masked.
    pub(super) fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for key in keys::DEFAULTS {
            let port = self.port.as_ref().filter(|_| *key == keys::LISTEN);
            let said = self.given(key).into_iter().chain(port).map(Given::line);
            let masked = self.secret(key).map(GivenSecret::line);
            let before = lines.len();
            lines.extend(said.chain(masked));
            if lines.len() == before {
                lines.push(unset(key));
            }
        }
        lines
    }
}

/// Tells the table's keys apart: one of them has no place in the file.
fn id(key: &Key) -> &'static str {
    key.env.first().copied().unwrap_or(key.key)
}

/// The line of a key of which nothing is said.
fn unset(key: &Key) -> String {
    let words = match key.default {
        keys::Default::Computed(words) => words.replace('`', ""),
        keys::Default::Text(_) | keys::Default::Absent => "not set".to_owned(),
    };
    format!("{} = {words}", key.key)
}

impl GivenSecret {
    fn line(&self) -> String {
        format!("{} = •••••••• ({})", self.key.key, self.source)
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

    fn line(&self) -> String {
        let text = without_password(&self.text);
        format!("{} = {text} ({})", self.title(), self.source)
    }

    fn title(&self) -> &str {
        match &self.source {
            Source::Environment(variable) if variable == PORT => "server.listen port",
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

/// The variable that changes the port alone.
const PORT: &str = "PORT";

/// What `PORT` says, where the whole address is not said.
fn pick_port(env: &dyn Env, problems: &mut Problems) -> Option<Given> {
    let port = from_environment(&keys::LISTEN, PORT, env, problems);
    let listen = keys::LISTEN.env.first().copied().unwrap_or_default();
    port.filter(|_| !matches!(env::non_empty(env, listen), Ok(Some(_))))
}

fn from_environment(
    key: &Key,
    variable: &str,
    env: &dyn Env,
    problems: &mut Problems,
) -> Option<Given> {
    match env::non_empty(env, variable) {
        Ok(text) => text.map(|text| Given {
            key: *key,
            text,
            source: Source::Environment(variable.to_owned()),
        }),
        Err(error) => {
            problems.said(key.key);
            problems.add(error);
            None
        }
    }
}

fn pick(key: &Key, file: Option<String>, env: &dyn Env, problems: &mut Problems) -> Option<Given> {
    let mut variables = key.env.iter().filter(|variable| **variable != PORT);
    let said = variables.find_map(|variable| from_environment(key, variable, env, problems));
    if said.is_some() {
        return said;
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
