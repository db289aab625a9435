//! Environments and short ways to accept and refuse.

use std::collections::BTreeMap;
use std::path::Path;

use switchboard::settings::{Settings, SettingsError};

pub(crate) type Map = BTreeMap<String, String>;

pub(crate) fn env(pairs: &[(&str, &str)]) -> Map {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

pub(crate) const REQUIRED: &[(&str, &str)] = &[
    ("SWITCHBOARD_PUBLIC_URL", "https://voice.example.com"),
    ("SWITCHBOARD_ADMIN_TOKEN", "canary-admin-token-1"),
    ("TWILIO_AUTH_TOKEN", "canary-auth-token"),
    ("OPENAI_API_KEY", "canary-openai-key"),
];

/// The required variables with some changed; an empty text unsets one.
pub(crate) fn with(changes: &[(&str, &str)]) -> Map {
    let mut map = env(REQUIRED);
    map.extend(env(changes));
    map
}

pub(crate) fn dev() -> Map {
    env(&[
        ("SWITCHBOARD_DEV", "1"),
        ("SWITCHBOARD_LISTEN", "127.0.0.1:0"),
        ("SWITCHBOARD_ADMIN_LISTEN", "127.0.0.1:0"),
        ("OPENAI_REALTIME_URL", "ws://127.0.0.1:9999/v1/realtime"),
    ])
}

pub(crate) fn read(toml: &str, env: &Map) -> Result<Settings, SettingsError> {
    Settings::from_toml(toml, Path::new("spa/switchboard.toml"), env)
}

pub(crate) fn accepted(toml: &str, env: &Map) -> Settings {
    match read(toml, env) {
        Ok(settings) => settings,
        Err(error) => panic!("refused: {error}"),
    }
}

/// The sentence for a refused configuration. Every one must be a single line that never carries a secret.
pub(crate) fn refusal(toml: &str, env: &Map) -> String {
    let Err(error) = read(toml, env) else {
        panic!("accepted: {toml}")
    };
    let sentence = error.to_string();
    assert!(!sentence.contains('\n'), "{sentence}");
    assert!(!sentence.contains("canary"), "{sentence}");
    sentence
}

pub(crate) fn agent(lines: &str) -> String {
    format!("[agents.spa]\ninstructions = \"You answer.\"\n{lines}\n")
}
