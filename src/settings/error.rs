//! What can be wrong with the configuration. Each message is one sentence: the key, the trouble, the way to mend it.

use std::path::PathBuf;

/// A configuration the service refuses to start with. The command line ends with exit code 64.
///
/// `key` fields hold the key with its environment name where it has one: `server.listen (SWITCHBOARD_LISTEN)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The named configuration file cannot be read.
    #[error("cannot read the configuration file {}: {cause}; name an existing file with --config or SWITCHBOARD_CONFIG", path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        cause: String,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML at line {line}: {cause}; mend that line", path.display())]
    FileSyntax {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The parser's words.
        cause: String,
    },
    /// A key in the file that means nothing.
    #[error("{} has the unknown key {key} at line {line}; {mend}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Full path of the key.
        key: String,
        /// What to do about it.
        mend: String,
    },
    /// A value of the wrong type in the file.
    #[error("{key} in {} at line {line} has the wrong type: {cause}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Full path of the key.
        key: String,
        /// What was expected; without the value where it could be a secret.
        cause: String,
    },
    /// An environment variable that begins with `SWITCHBOARD_` and means nothing.
    #[error("{name} is not a setting of switchboard; {mend}")]
    UnknownEnvironment {
        /// The variable.
        name: String,
        /// What to do about it.
        mend: String,
    },
    /// An environment variable that is not UTF-8.
    #[error("{name} holds text that is not UTF-8; set it again")]
    NotUnicode {
        /// The variable.
        name: String,
    },
    /// Both `NAME` and `NAME_FILE` are set.
    #[error("{name} and {name}_FILE are both set; unset one of them")]
    SecretTwice {
        /// The variable without `_FILE`.
        name: String,
    },
    /// The file named by `NAME_FILE` (or a `…_file` key) cannot be used.
    #[error("{key} names {}, which cannot be used: {cause}; name a readable file that holds it", path.display())]
    NamedFile {
        /// The variable or key.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// A required value is missing.
    #[error("{key} is missing; {mend}")]
    Missing {
        /// The key.
        key: String,
        /// What to do about it.
        mend: String,
    },
    /// A value that cannot be used. Never carries a secret's value.
    #[error("{key} {trouble}; {mend}")]
    Invalid {
        /// The key.
        key: String,
        /// What is wrong, beginning with a verb.
        trouble: String,
        /// What to do about it.
        mend: String,
    },
    /// A number off its range.
    #[error("{key} is {given}, which is out of range; use {least} to {most}")]
    OutOfRange {
        /// The key.
        key: String,
        /// What was given.
        given: String,
        /// Smallest allowed.
        least: String,
        /// Largest allowed.
        most: String,
    },
    /// Development mode on an address others can reach.
    #[error(
        "{key} is on, but {listener} is {address}, which others can reach; set it to 127.0.0.1 with a port, or switch dev off"
    )]
    DevNotOnLoopback {
        /// The dev key.
        key: String,
        /// The listener's key.
        listener: String,
        /// The listener's address.
        address: String,
    },
    /// A model that no longer answers.
    #[error("{key} names {model}, which is shut down; use {successor}")]
    ModelShutDown {
        /// The key.
        key: String,
        /// The model.
        model: String,
        /// What took its place.
        successor: String,
    },
    /// An option the model does not have.
    #[error("{key} is set, but the model {model} does not have it; remove it, or use {successor}")]
    ModelLacks {
        /// The key.
        key: String,
        /// The model.
        model: String,
        /// A model that has it.
        successor: String,
    },
    /// Two agents claim one number.
    #[error(
        "agents.{first}.numbers and agents.{second}.numbers both claim {number}; keep it with one of them"
    )]
    NumberClaimedTwice {
        /// The one agent.
        first: String,
        /// The other.
        second: String,
        /// The number, masked.
        number: String,
    },
    /// A name that is defined nowhere.
    #[error("{key} names {name:?}, which does not exist; {mend}")]
    UnknownName {
        /// The key.
        key: String,
        /// The name.
        name: String,
        /// What to do about it.
        mend: String,
    },
}

impl SettingsError {
    pub(crate) fn invalid(
        key: impl Into<String>,
        trouble: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            key: key.into(),
            trouble: trouble.into(),
            mend: mend.into(),
        }
    }

    pub(crate) fn missing(key: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Missing {
            key: key.into(),
            mend: mend.into(),
        }
    }
}
