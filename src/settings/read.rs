//! Readers of single values, shared by all rules: text in, a checked value or a sentence out.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use super::error::SettingsError;
use super::inputs::Given;
use switchboard_base::number::PhoneNumber;

/// The smallest sum that can be counted: a hundredth of a cent.
const LEAST_DOLLARS: f64 = 0.0001;

/// The largest sum of a budget.
const MOST_DOLLARS: f64 = 1_000_000.0;

/// A number in the file, within bounds.
pub(super) fn ranged<T>(key: &str, given: i64, least: T, most: T) -> Result<T, SettingsError>
where
    T: TryFrom<i64> + PartialOrd + Display + Copy,
{
    match T::try_from(given) {
        Ok(value) if value >= least && value <= most => Ok(value),
        _ => Err(SettingsError::OutOfRange {
            key: key.to_owned(),
            given: given.to_string(),
            least: least.to_string(),
            most: most.to_string(),
        }),
    }
}

/// A merged number, within bounds.
pub(super) fn number_in<T>(given: &Given, least: T, most: T) -> Result<T, SettingsError>
where
    T: TryFrom<i64> + PartialOrd + Display + Copy,
{
    let value = i64::from_str(&given.text).map_err(|_| {
        SettingsError::invalid(
            given.name(),
            format!("is {:?}, not a whole number", given.text),
            format!("use {least} to {most}"),
        )
    })?;
    ranged(&given.name(), value, least, most)
}

/// A sum of US dollars that somebody means.
pub(super) fn dollars(key: &str, given: Option<f64>) -> Result<Option<f64>, SettingsError> {
    match given {
        Some(sum) if !(LEAST_DOLLARS..=MOST_DOLLARS).contains(&sum) => Err(SettingsError::invalid(
            key,
            format!("is {sum}"),
            format!(
                "use {LEAST_DOLLARS} to {MOST_DOLLARS} US dollars, or leave it out for no limit"
            ),
        )),
        given => Ok(given),
    }
}

/// A merged switch.
pub(super) fn switch(given: &Given) -> Result<bool, SettingsError> {
    match given.text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        other => Err(SettingsError::invalid(
            given.name(),
            format!("is {other:?}"),
            "use 1 or 0",
        )),
    }
}

/// A phone number in E.164 form.
pub(super) fn number(key: &str, given: &str) -> Result<PhoneNumber, SettingsError> {
    PhoneNumber::parse(given).map_err(|error| {
        SettingsError::invalid(
            key,
            error.to_string(),
            "write it with + and the country code, like +15550100",
        )
    })
}

/// Text that says something and is not endless.
pub(super) fn text(
    key: &str,
    given: &str,
    most_chars: usize,
    hint: &str,
) -> Result<String, SettingsError> {
    let text = given.trim();
    if text.is_empty() {
        return Err(SettingsError::invalid(key, "is empty", hint));
    }
    if text.chars().count() > most_chars {
        return Err(SettingsError::invalid(
            key,
            format!("is longer than {most_chars} characters"),
            "shorten it",
        ));
    }
    Ok(text.to_owned())
}

/// A name that can stand in a log field, a metric label and a function call.
pub(super) fn name(key: &str, given: &str) -> Result<(), SettingsError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&given.len()) && given.bytes().all(fits) {
        return Ok(());
    }
    Err(SettingsError::invalid(
        key,
        "has a name that is too long or has other characters than letters, digits, _ and -",
        "rename it",
    ))
}

/// One of a few words.
pub(super) fn one_of<T>(
    key: &str,
    given: &str,
    names: &[&'static str],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, SettingsError> {
    parse(given).ok_or_else(|| {
        let hint = match switchboard_base::nearest(given, names.iter().copied()) {
            Some(near) => format!("did you mean {near}? ({})", names.join(", ")),
            None => format!("use one of {}", names.join(", ")),
        };
        SettingsError::invalid(key, format!("is {given:?}"), hint)
    })
}

/// A recording that can be played: it is read as calls will read it.
pub(super) fn clip(key: &str, path: PathBuf) -> Result<PathBuf, SettingsError> {
    let path = file(key, path)?;
    match super::clip::sound(&path) {
        Ok(_) => Ok(path),
        Err(problem) => Err(SettingsError::invalid(
            key,
            format!("names {}, which {problem}", path.display()),
            "give a WAV file",
        )),
    }
}

/// Finds out now rather than at the first call that a file is not there.
fn file(key: &str, path: PathBuf) -> Result<PathBuf, SettingsError> {
    match std::fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(path),
        Ok(_) => Err(SettingsError::NamedFile {
            key: key.to_owned(),
            path,
            cause: "it is not a file".to_owned(),
        }),
        Err(error) => Err(SettingsError::NamedFile {
            key: key.to_owned(),
            path,
            cause: error.to_string(),
        }),
    }
}
