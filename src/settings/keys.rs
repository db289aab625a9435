//! The one table of settings: names, defaults, meanings. Code, `switchboard check` and the README read it from here.

use std::fmt::Write as _;

use call_protocol::model::openai::models;

/// One setting that the environment can override.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Environment variables, the first one wins.
    pub env: &'static [&'static str],
    /// Path in the configuration file, empty for what only the environment sets.
    pub key: &'static str,
    /// What holds when nobody says anything.
    pub default: Default,
    /// One line for people.
    pub doc: &'static str,
    /// Secrets are also read from the file named by `NAME_FILE`, and are never shown.
    pub secret: bool,
}

/// What holds when neither the file nor the environment names a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This text, read like any other value.
    Text(&'static str),
    /// Found at start; the words say where.
    Computed(&'static str),
    /// Nothing.
    Absent,
}

const fn key(
    env: &'static [&'static str],
    key: &'static str,
    default: Default,
    doc: &'static str,
) -> Key {
    Key {
        env,
        key,
        default,
        doc,
        secret: false,
    }
}

const fn secret(env: &'static [&'static str], key: &'static str, doc: &'static str) -> Key {
    Key {
        env,
        key,
        default: Default::Absent,
        doc,
        secret: true,
    }
}

/// Where Twilio reaches the service.
pub const LISTEN: Key = key(
    &["SWITCHBOARD_LISTEN", "PORT"],
    "server.listen",
    Default::Text("0.0.0.0:5050"),
    "the public listener, what Twilio reaches; `PORT` changes the port alone, where the first is not set",
);
/// The address callers' requests are signed for.
pub const PUBLIC_URL: Key = key(
    &["SWITCHBOARD_PUBLIC_URL"],
    "server.public_url",
    Default::Absent,
    "required unless dev: `https://…` as Twilio sees the service; used for TwiML and signatures",
);
/// HTTP worker threads.
pub const WORKERS: Key = key(
    &["SWITCHBOARD_WORKERS"],
    "server.workers",
    Default::Computed("cores"),
    "worker threads, 1 to 256",
);
/// Directory of the embedded store and recordings.
pub const DATA_DIR: Key = key(
    &["SWITCHBOARD_DATA_DIR"],
    "data.dir",
    Default::Text("./data"),
    "directory of the embedded store and recordings",
);
/// Kind of the call store.
pub const STORE: Key = key(
    &["SWITCHBOARD_STORE"],
    "data.store",
    Default::Text("sqlite"),
    "`sqlite` or `memory`; `redis://…` is not built yet and refused",
);
/// The operator's listener.
pub const ADMIN_LISTEN: Key = key(
    &["SWITCHBOARD_ADMIN_LISTEN"],
    "admin.listen",
    Default::Text("127.0.0.1:5051"),
    "the admin listener, what the operator reaches",
);
/// The operator's bearer token.
pub const ADMIN_TOKEN: Key = secret(
    &["SWITCHBOARD_ADMIN_TOKEN"],
    "admin.token",
    "required unless dev: at least 16 characters; of several, separated by blanks, each is accepted",
);
/// Calls at once.
pub const MAX_CALLS: Key = key(
    &["SWITCHBOARD_MAX_CALLS"],
    "limits.max_calls",
    Default::Text("500"),
    "calls at once, 1 to 100000",
);
/// Longest call.
pub const MAX_CALL_SECONDS: Key = key(
    &["SWITCHBOARD_MAX_CALL_SECONDS"],
    "limits.max_call_seconds",
    Default::Text("3600"),
    "longest call in seconds, 10 to 86400",
);
/// How long a drain waits for live calls.
pub const DRAIN_SECONDS: Key = key(
    &["SWITCHBOARD_DRAIN_SECONDS"],
    "limits.drain_seconds",
    Default::Text("600"),
    "seconds a drain waits for live calls, 0 to 86400",
);
/// Development mode.
pub const DEV: Key = key(
    &["SWITCHBOARD_DEV"],
    "server.dev",
    Default::Text("false"),
    "`1`: no signatures, tokens or public URL needed; refused unless both listeners are on loopback",
);
/// The model's key.
pub const OPENAI_API_KEY: Key = secret(
    &["OPENAI_API_KEY"],
    "openai.api_key",
    "required; any text with a URL that is not OpenAI's",
);
/// The model's address.
pub const OPENAI_URL: Key = key(
    &["OPENAI_REALTIME_URL"],
    "openai.url",
    Default::Text("wss://api.openai.com/v1/realtime"),
    "the Realtime server; `ws://` to loopback only",
);
/// The model every agent uses that names none.
pub const OPENAI_MODEL: Key = key(
    &["OPENAI_REALTIME_MODEL"],
    "openai.model",
    Default::Text(models::RECOMMENDED),
    "the model of every agent that names none",
);
pub const TWILIO_ACCOUNT_SID: Key = key(
    &["TWILIO_ACCOUNT_SID"],
    "twilio.account_sid",
    Default::Absent,
    "`AC…`; needed for whatever asks Twilio's REST API",
);
/// The account's auth token, which signs webhooks.
pub const TWILIO_AUTH_TOKEN: Key = secret(
    &["TWILIO_AUTH_TOKEN"],
    "twilio.auth_token",
    "required unless dev: verifies webhook signatures",
);
/// Another token that may sign webhooks.
pub const TWILIO_AUTH_TOKEN_SECONDARY: Key = secret(
    &["TWILIO_AUTH_TOKEN_SECONDARY"],
    "twilio.auth_token_secondary",
    "a second token whose signatures are accepted, while tokens are rotated",
);
/// A REST key.
pub const TWILIO_API_KEY: Key = secret(
    &["TWILIO_API_KEY"],
    "twilio.api_key",
    "`SK…`; preferred for REST when set, together with its secret",
);
/// The REST key's secret.
pub const TWILIO_API_SECRET: Key = secret(
    &["TWILIO_API_SECRET"],
    "twilio.api_secret",
    "the secret of the API key",
);
/// Twilio's REST host.
pub const TWILIO_API_URL: Key = key(
    &["TWILIO_API_URL"],
    "twilio.api_url",
    Default::Text("https://api.twilio.com"),
    "Twilio's REST API; `http://` to loopback only",
);
/// Which log lines are written.
pub const RUST_LOG: Key = key(
    &["RUST_LOG"],
    "",
    Default::Text("info"),
    "level, or `target=level` pairs separated by commas",
);
/// How log lines are written.
pub const LOG_FORMAT: Key = key(
    &["SWITCHBOARD_LOG_FORMAT"],
    "log.format",
    Default::Computed("`human` on a terminal, else `json`"),
    "`human` or `json`",
);

/// Every setting with a place in the environment, in the order of the README's table.
pub const DEFAULTS: &[Key] = &[
    LISTEN,
    PUBLIC_URL,
    WORKERS,
    DATA_DIR,
    STORE,
    ADMIN_LISTEN,
    ADMIN_TOKEN,
    MAX_CALLS,
    MAX_CALL_SECONDS,
    DRAIN_SECONDS,
    DEV,
    OPENAI_API_KEY,
    OPENAI_URL,
    OPENAI_MODEL,
    TWILIO_ACCOUNT_SID,
    TWILIO_AUTH_TOKEN,
    TWILIO_AUTH_TOKEN_SECONDARY,
    TWILIO_API_KEY,
    TWILIO_API_SECRET,
    TWILIO_API_URL,
    RUST_LOG,
    LOG_FORMAT,
];

/// Names the configuration file; read before the table applies.
pub const CONFIG_ENV: &str = "SWITCHBOARD_CONFIG";
/// Read when neither `--config` nor [`CONFIG_ENV`] names a file, and it exists.
pub const CONFIG_FILE: &str = "switchboard.toml";

impl Key {
    /// The name an operator would look for: `server.listen (SWITCHBOARD_LISTEN)`.
    pub fn name(&self) -> String {
        match (self.key, self.env.first()) {
            ("", Some(env)) => (*env).to_owned(),
            (key, Some(env)) => format!("{key} ({env})"),
            (key, None) => key.to_owned(),
        }
    }
}

/// The settings table as it stands in the README between `<!-- settings -->` and `<!-- /settings -->`.
pub fn markdown_table() -> String {
    let mut table = String::from("| environment | key | default | |\n| --- | --- | --- | --- |\n");
    for key in DEFAULTS {
        let env: Vec<String> = key.env.iter().map(|name| format!("`{name}`")).collect();
        let file_key = if key.key.is_empty() {
            "–".to_owned()
        } else {
            format!("`{}`", key.key)
        };
        let default = match key.default {
            Default::Text(text) => format!("`{text}`"),
            Default::Computed(words) => words.to_owned(),
            Default::Absent => "–".to_owned(),
        };
        let doc = if key.secret {
            format!("{} (secret)", key.doc)
        } else {
            key.doc.to_owned()
        };
        let _ = writeln!(
            table,
            "| {} | {file_key} | {default} | {doc} |",
            env.join(", ")
        );
    }
    table
}
