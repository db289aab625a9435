//! Reading the repository's files, and what the settings say of a variable.

use std::path::Path;

use switchboard::settings::keys;

/// The text of a file of the repository.
pub(crate) fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the settings say of an environment variable.
pub(crate) struct Variable {
    /// It holds a secret itself, rather than the name of a file with one.
    pub(crate) is_secret: bool,
}

/// A variable the settings read; anything else has no place in a container's environment.
pub(crate) fn variable(name: &str) -> Variable {
    if name == keys::CONFIG_ENV {
        return Variable { is_secret: false };
    }
    for key in keys::DEFAULTS {
        if key.env.contains(&name) {
            return Variable {
                is_secret: key.secret,
            };
        }
        let file_of = name.strip_suffix("_FILE");
        if key.secret && file_of.is_some_and(|secret| key.env.contains(&secret)) {
            return Variable { is_secret: false };
        }
    }
    panic!("no setting is called {name}");
}

/// The default of a setting, a number.
pub(crate) fn default_seconds(key: &keys::Key) -> u64 {
    match key.default {
        keys::Default::Text(text) => text.parse().unwrap(),
        keys::Default::Computed(_) | keys::Default::Absent => panic!("{} has none", key.name()),
    }
}

/// A duration of Compose or Caddy in seconds, such as `630s` or `2m`.
pub(crate) fn seconds(text: &str) -> u64 {
    let (digits, unit) = text.split_at(text.len() - 1);
    let number: u64 = digits.parse().unwrap_or_else(|_| panic!("{text:?}"));
    match unit {
        "s" => number,
        "m" => number * 60,
        "h" => number * 3_600,
        _ => panic!("{text:?} has no unit"),
    }
}
