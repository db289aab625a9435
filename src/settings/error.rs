//! What can be wrong with the configuration. Each message is one sentence: the key, the problem, a hint.

use std::fmt;
use std::path::{Path, PathBuf};

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
    #[error("{} has the unknown key {key} at line {line}; {hint}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Full path of the key.
        key: String,
        /// What to do about it.
        hint: String,
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
    #[error("{name} is not a setting of switchboard; {hint}")]
    UnknownEnvironment {
        /// The variable.
        name: String,
        /// What to do about it.
        hint: String,
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
    #[error(
        "{key} names {}, which cannot be used: {cause}; name a readable file that holds it",
        NotAKey(path)
    )]
    NamedFile {
        /// The variable or key.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// A required value is missing.
    #[error("{key} is missing; {hint}")]
    Missing {
        key: String,
        /// What to do about it.
        hint: String,
    },
    /// A value that cannot be used. Never carries a secret's value.
    #[error("{key} {problem}; {hint}")]
    Invalid {
        key: String,
        /// What is wrong, beginning with a verb.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// A number off its range.
    #[error("{key} is {given}, which is out of range; use {least} to {most}")]
    OutOfRange {
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
        key: String,
        model: String,
        /// What took its place.
        successor: String,
    },
    /// An option the model does not have.
    #[error("{key} is set, but the model {model} does not have it; remove it, or use {successor}")]
    ModelLacks {
        key: String,
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
    #[error("{key} names {name:?}, which does not exist; {hint}")]
    UnknownName {
        key: String,
        name: String,
        /// What to do about it.
        hint: String,
    },
}

/// A file's name for a message, unless it looks like the secret itself, put where the name of its file belongs.
struct NotAKey<'a>(&'a Path);

impl fmt::Display for NotAKey<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.exists() || !looks_like_a_key(&self.0.to_string_lossy()) {
            return self.0.display().fmt(out);
        }
        out.write_str("something that looks like the key itself and is not shown")
    }
}

/// Whether a part of it begins as the keys of OpenAI, Twilio or Standard Webhooks do, or is a long run of letters and
/// digits without the marks that names of files have between their words.
fn looks_like_a_key(text: &str) -> bool {
    const PREFIXES: [&str; 3] = ["sk-", "whsec_", "Bearer "];
    text.split('/').any(|part| {
        let longest = part
            .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '='))
            .max_by_key(|run| run.len())
            .unwrap_or_default();
        let digits = longest.bytes().filter(u8::is_ascii_digit).count();
        let is_random = longest.len() >= 16 && digits > 0 && digits < longest.len();
        PREFIXES.iter().any(|prefix| part.starts_with(prefix)) || is_random || longest.len() >= 32
    })
}

impl SettingsError {
    pub(crate) fn invalid(
        key: impl Into<String>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            key: key.into(),
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn missing(key: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Missing {
            key: key.into(),
            hint: hint.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str) -> String {
        SettingsError::NamedFile {
            key: "OPENAI_API_KEY_FILE".to_owned(),
            path: path.into(),
            cause: "No such file or directory (os error 2)".to_owned(),
        }
        .to_string()
    }

    #[test]
    fn a_key_in_the_place_of_its_files_name_is_not_repeated() {
        for key in [
            "sk-proj-abc_DEF-123",
            "sk-short",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "0123456789abcdef0123456789abcdef",
            "/9j4AAQSkZJRgABAQAAAQ/ABcdefghij",
            "a1B2c3D4e5F6g7H8+i9J0/K==",
            "AC00000000000000000000000000000001",
            "abcdefghijklmnopqrstuvwxyzabcdef",
            "relative/sk-proj-1",
        ] {
            let sentence = told(key);
            assert!(!sentence.contains(key), "{sentence}");
            assert!(sentence.contains("OPENAI_API_KEY_FILE"), "{sentence}");
            assert!(sentence.contains("looks like the key itself"), "{sentence}");
        }
    }

    #[test]
    fn a_name_is_told() {
        for name in [
            "/run/secrets/openai_api_key",
            "secrets/admin_token.txt",
            "./twilio-auth-token-of-2026",
            "/etc/switchboard/tls/fullchain.pem",
            "missing",
        ] {
            assert!(told(name).contains(name), "{name}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_told_whatever_its_name() {
        let folder = std::env::temp_dir().join("0123456789abcdef0123456789abcdef");
        std::fs::create_dir_all(&folder).unwrap();
        let name = folder.display().to_string();
        assert!(told(&name).contains(&name));
        std::fs::remove_dir(&folder).unwrap();
    }
}
