//! The environment, behind a small trait so that tests pass a map and never touch the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::error::SettingsError;
use super::keys::{self, Key};
use super::problems::Problems;

/// Where settings variables come from.
pub trait Env {
    /// The text of a variable; `None` when unset, an error when it is not UTF-8.
    fn get(&self, name: &str) -> Result<Option<String>, SettingsError>;
    /// The names of all variables that are set (those that are UTF-8).
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn get(&self, name: &str) -> Result<Option<String>, SettingsError> {
        match std::env::var(name) {
            Ok(text) => Ok(Some(text)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(SettingsError::NotUnicode {
                name: name.to_owned(),
            }),
        }
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .collect()
    }
}

impl Env for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Result<Option<String>, SettingsError> {
        Ok(BTreeMap::get(self, name).cloned())
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// A variable's text, where an empty one counts as unset (compose files pass `NAME=` for what nobody set).
pub(super) fn non_empty(env: &dyn Env, name: &str) -> Result<Option<String>, SettingsError> {
    Ok(env
        .get(name)?
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty()))
}

/// A secret and the variable it came from: `NAME`, or the contents of the file named by `NAME_FILE`.
pub(super) fn secret(
    env: &dyn Env,
    key: &Key,
) -> Result<Option<(SecretString, String)>, SettingsError> {
    for name in key.env {
        let file_variable = format!("{name}_FILE");
        let inline = non_empty(env, name)?;
        let file = non_empty(env, &file_variable)?.map(PathBuf::from);
        match (inline, file) {
            (Some(_), Some(_)) => {
                return Err(SettingsError::SecretTwice {
                    name: (*name).to_owned(),
                });
            }
            (Some(text), None) => return Ok(Some((text.into(), (*name).to_owned()))),
            (None, Some(path)) => {
                return Ok(Some((secret_file(&file_variable, &path)?, file_variable)));
            }
            (None, None) => {}
        }
    }
    Ok(None)
}

/// A secret out of a file: its text without surrounding white space, which editors and `echo` leave behind.
pub(super) fn secret_file(key: &str, path: &Path) -> Result<SecretString, SettingsError> {
    let problem = |cause: String| SettingsError::NamedFile {
        key: key.to_owned(),
        path: path.to_owned(),
        cause,
    };
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(problem("it is empty".to_owned()));
    }
    Ok(text.to_owned().into())
}

/// Complains of every `SWITCHBOARD_…` variable that means nothing: it is a typing mistake that would go unnoticed.
pub(super) fn refuse_unknown(env: &dyn Env, problems: &mut Problems) {
    let mut known = vec![keys::CONFIG_ENV.to_owned()];
    for key in keys::DEFAULTS {
        for name in key.env {
            known.push((*name).to_owned());
            if key.secret {
                known.push(format!("{name}_FILE"));
            }
        }
    }
    for name in env.names() {
        if !name.starts_with("SWITCHBOARD_") || known.contains(&name) || is_service_link(&name, env)
        {
            continue;
        }
        let near = switchboard_base::nearest(&name, known.iter().map(String::as_str));
        if let Some(key) =
            near.and_then(|near| keys::DEFAULTS.iter().find(|key| key.env.contains(&near)))
        {
            problems.said(key.key);
        }
        let hint = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "unset it".to_owned(),
        };
        problems.add(SettingsError::UnknownEnvironment { name, hint });
    }
}

/// Kubernetes puts `SWITCHBOARD_SERVICE_HOST`, `SWITCHBOARD_PORT=tcp://…` and the like into every pod beside a
/// Service of our name (kubernetes.io/docs/concepts/services-networking/service, "Environment variables").
fn is_service_link(name: &str, env: &dyn Env) -> bool {
    let is_address = || matches!(env.get(name), Ok(Some(text)) if text.contains("://"));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || ["_TCP", "_UDP", "_SCTP"]
            .iter()
            .any(|protocol| name.contains("_PORT_") && name.contains(protocol))
        || (name.ends_with("_PORT") && is_address())
}
