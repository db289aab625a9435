//! Everything that is wrong with the configuration, found in one go.

use std::fmt;

use super::error::SettingsError;

/// What is wrong with the configuration: one thing at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsErrors {
    first: SettingsError,
    more: Vec<SettingsError>,
}

impl SettingsErrors {
    /// All, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &SettingsError> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// The first, where there is room for one sentence.
    #[must_use]
    pub fn into_first(self) -> SettingsError {
        self.first
    }
}

impl From<SettingsError> for SettingsErrors {
    fn from(first: SettingsError) -> Self {
        Self {
            first,
            more: Vec::new(),
        }
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.first)?;
        for error in &self.more {
            write!(out, "\n{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsErrors {}

/// What was found so far.
#[derive(Default)]
pub(super) struct Problems {
    found: Vec<SettingsError>,
    /// Keys for which something was said that cannot be read: they are not missing besides.
    said: Vec<String>,
}

impl Problems {
    pub(super) fn add(&mut self, error: SettingsError) {
        if let SettingsError::Missing { key, .. } = &error {
            // `openai.api_key (OPENAI_API_KEY)` is known by its first word.
            let name = key.split(' ').next().unwrap_or_default();
            if self.said.iter().any(|said| said == name || said == key) {
                return;
            }
        }
        self.found.push(error);
    }

    /// The value; what is wrong with it is kept here instead.
    pub(super) fn keep<T>(&mut self, read: Result<T, SettingsError>) -> Option<T> {
        read.map_err(|error| self.add(error)).ok()
    }

    /// Something was said for the key, whatever became of it.
    pub(super) fn said(&mut self, key: &str) {
        self.said.push(key.to_owned());
    }

    /// The first, if there is one.
    pub(super) fn first(&self) -> Option<&SettingsError> {
        self.found.first()
    }

    /// What was made of the configuration, if nothing is wrong with it.
    pub(super) fn end<T>(self, made: Option<T>) -> Result<T, SettingsErrors> {
        let mut found = self.found.into_iter();
        match (found.next(), made) {
            (None, Some(made)) => Ok(made),
            (Some(first), _) => Err(SettingsErrors {
                first,
                more: found.collect(),
            }),
            // Whatever is not made was complained of; this sentence is for the mistake of ours that it would be.
            (None, None) => {
                Err(SettingsError::missing("the configuration", "report this as a bug").into())
            }
        }
    }
}
