//! `[tools.NAME]` with `kind = "builtin"`: a tool of this process, by its name, and what the file says of it.
//!
//! Which tools the process brings along besides its own is known when it starts, and so is whether a name is one.

use std::time::Duration;

use super::agents::CALL_TOOLS;
use super::error::SettingsError;
use super::{file, read, tools};

pub(super) const KIND: &str = "builtin";

/// A tool of this process, with what the file says in the place of its own words.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltIn {
    /// Its name, as the process and the agents' lists use it.
    pub name: String,
    /// What the model is told it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Option<serde_json::Value>,
    /// It changes something: run exactly once, journalled.
    pub effects: Option<bool>,
    /// How long the model waits for it.
    pub timeout: Option<Duration>,
}

pub(super) fn read(name: &str, given: &file::Tool) -> Result<BuiltIn, SettingsError> {
    let key = |field: &str| format!("tools.{name}.{field}");
    read::name(&format!("tools.{name}"), name)?;
    let of_others = [
        ("url", given.url.is_some()),
        ("secret", given.secret.is_some()),
        ("secret_file", given.secret_file.is_some()),
        ("headers", !given.headers.is_empty()),
        ("allow_private", given.allow_private.is_some()),
        ("idempotent", given.idempotent.is_some()),
        ("redirect_hosts", !given.redirect_hosts.is_empty()),
    ];
    if let Some((field, _)) = of_others.iter().find(|(_, is_set)| *is_set) {
        return Err(SettingsError::invalid(
            key(field),
            "is set, but a builtin tool runs in this process",
            "remove it, or use kind = \"http\"",
        ));
    }
    let of_a_run = [
        ("parameters", given.parameters.is_some()),
        ("effects", given.effects.is_some()),
        ("timeout_ms", given.timeout_ms.is_some()),
    ];
    let is_set = of_a_run.iter().find(|(_, is_set)| *is_set);
    if let Some((field, _)) = is_set.filter(|_| CALL_TOOLS.contains(&name)) {
        return Err(SettingsError::invalid(
            key(field),
            format!("is set, but {name} is carried out by the call itself"),
            "remove it; its description can be yours",
        ));
    }
    Ok(BuiltIn {
        name: name.to_owned(),
        description: tools::description(&key("description"), given)?,
        parameters: tools::parameters(&key("parameters"), given)?,
        effects: given.effects,
        timeout: tools::timeout(&key("timeout_ms"), given)?,
    })
}
