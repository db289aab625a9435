//! The configuration file as it was read. Everything optional, nothing checked but names and types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::SettingsError;
use super::problems::Problems;

/// The whole file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) server: Server,
    #[serde(default)]
    pub(super) data: Data,
    #[serde(default)]
    pub(super) admin: Admin,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) book: Book,
    #[serde(default)]
    pub(super) openai: OpenAi,
    #[serde(default)]
    pub(super) twilio: Twilio,
    #[serde(default)]
    pub(super) log: Log,
    pub(super) default_agent: Option<String>,
    #[serde(default)]
    pub(super) agents: BTreeMap<String, Agent>,
    #[serde(default)]
    pub(super) tools: BTreeMap<String, Tool>,
    #[serde(default)]
    pub(super) fallback: Fallback,
    #[serde(default)]
    pub(super) transfer: Transfer,
}

impl File {
    /// What it says of a key of the table, as text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let Self {
            server,
            data,
            admin,
            limits,
            openai,
            twilio,
            log,
            ..
        } = self;
        let number = |value: Option<i64>| value.map(|value| value.to_string());
        match key {
            "server.listen" => server.listen.clone(),
            "server.public_url" => server.public_url.clone(),
            "server.workers" => number(server.workers),
            "server.dev" => server.dev.map(|dev| dev.to_string()),
            "data.dir" => data.dir.clone(),
            "data.store" => data.store.clone(),
            "admin.listen" => admin.listen.clone(),
            "limits.max_calls" => number(limits.max_calls),
            "limits.max_call_seconds" => number(limits.max_call_seconds),
            "limits.drain_seconds" => number(limits.drain_seconds),
            "openai.url" => openai.url.clone(),
            "openai.model" => openai.model.clone(),
            "twilio.account_sid" => twilio.account_sid.clone(),
            "twilio.api_url" => twilio.api_url.clone(),
            "log.format" => log.format.clone(),
            _ => None,
        }
    }

    /// The same of a secret.
    pub(super) fn secret(&self, key: &str) -> Option<SecretString> {
        match key {
            "admin.token" => self.admin.token.clone(),
            "openai.api_key" => self.openai.api_key.clone(),
            "twilio.auth_token" => self.twilio.auth_token.clone(),
            "twilio.auth_token_secondary" => self.twilio.auth_token_secondary.clone(),
            "twilio.api_key" => self.twilio.api_key.clone(),
            "twilio.api_secret" => self.twilio.api_secret.clone(),
            _ => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) listen: Option<String>,
    pub(super) public_url: Option<String>,
    pub(super) workers: Option<i64>,
    pub(super) dev: Option<bool>,
    pub(super) fleet_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    pub(super) dir: Option<String>,
    pub(super) store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) listen: Option<String>,
    pub(super) token: Option<SecretString>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) max_calls: Option<i64>,
    pub(super) max_call_seconds: Option<i64>,
    pub(super) drain_seconds: Option<i64>,
    pub(super) max_call_cost_usd: Option<f64>,
    pub(super) max_day_cost_usd: Option<f64>,
    pub(super) number_calls_per_hour: Option<i64>,
    pub(super) minutes_per_day: Option<i64>,
    pub(super) exempt_numbers: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Book {
    pub(super) identify: Option<String>,
    pub(super) verified_only: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenAi {
    pub(super) api_key: Option<SecretString>,
    pub(super) url: Option<String>,
    pub(super) model: Option<String>,
    pub(super) dial: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Twilio {
    pub(super) account_sid: Option<String>,
    pub(super) auth_token: Option<SecretString>,
    pub(super) api_key: Option<SecretString>,
    pub(super) api_secret: Option<SecretString>,
    pub(super) auth_token_secondary: Option<SecretString>,
    pub(super) api_url: Option<String>,
    pub(super) stream_signature: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) format: Option<String>,
    pub(super) transcripts: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    #[serde(default)]
    pub(super) numbers: Vec<String>,
    pub(super) instructions: Option<String>,
    pub(super) instructions_file: Option<PathBuf>,
    pub(super) voice: Option<Voice>,
    pub(super) language: Option<String>,
    pub(super) greeting: Option<Greeting>,
    #[serde(default)]
    pub(super) tools: Vec<String>,
    pub(super) tool_calls_a_turn: Option<i64>,
    pub(super) tool_filler: Option<ToolFiller>,
    pub(super) turn_detection: Option<TurnDetection>,
    pub(super) transcription: Option<Transcription>,
    pub(super) model: Option<Model>,
    pub(super) silence: Option<Silence>,
    pub(super) answer_within_ms: Option<i64>,
    pub(super) filler: Option<Filler>,
    #[serde(default)]
    pub(super) keys: BTreeMap<String, String>,
    pub(super) mask_digits: Option<bool>,
    pub(super) max_calls: Option<i64>,
    pub(super) max_call_seconds: Option<i64>,
    pub(super) fallback: Option<Fallback>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "write a voice name such as \"marin\", or { id = \"voice_…\" }"
)]
pub(super) enum Voice {
    Name(String),
    Custom(CustomVoice),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomVoice {
    pub(super) id: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Greeting {
    pub(super) mode: Option<String>,
    pub(super) text: Option<String>,
    pub(super) clip: Option<PathBuf>,
    pub(super) interruptible: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TurnDetection {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) threshold: Option<f64>,
    pub(super) prefix_padding_ms: Option<i64>,
    pub(super) silence_duration_ms: Option<i64>,
    pub(super) idle_timeout_ms: Option<i64>,
    pub(super) eagerness: Option<String>,
    pub(super) create_response: Option<bool>,
    pub(super) interrupt_response: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transcription {
    pub(super) model: Option<String>,
    pub(super) language: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) name: Option<String>,
    pub(super) reasoning: Option<String>,
    pub(super) max_output_tokens: Option<i64>,
    pub(super) noise_reduction: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Silence {
    pub(super) after_ms: Option<i64>,
    pub(super) text: Option<String>,
    pub(super) attempts: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filler {
    pub(super) mode: Option<String>,
    pub(super) clip: Option<PathBuf>,
    pub(super) interruptible: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    pub(super) kind: Option<String>,
    pub(super) description: Option<String>,
    pub(super) url: Option<String>,
    pub(super) effects: Option<bool>,
    pub(super) timeout_ms: Option<i64>,
    pub(super) allow_private: Option<bool>,
    pub(super) secret: Option<SecretString>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) parameters: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) headers: Headers,
    pub(super) idempotent: Option<bool>,
    #[serde(default)]
    pub(super) redirect_hosts: Vec<String>,
}

/// Headers of a tool, by name.
pub(super) type Headers = BTreeMap<String, HeaderValue>;

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "write the value as text in quotes, or { file = \"…\" }"
)]
pub(super) enum HeaderValue {
    Text(SecretString),
    File(HeaderFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderFile {
    pub(super) file: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolFiller {
    pub(super) mode: Option<String>,
    pub(super) text: Option<String>,
    pub(super) clip: Option<PathBuf>,
    pub(super) interruptible: Option<bool>,
    pub(super) after_ms: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fallback {
    pub(super) say: Option<String>,
    pub(super) dial: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    pub(super) mode: Option<String>,
    pub(super) ring_seconds: Option<i64>,
    pub(super) briefing: Option<String>,
    #[serde(default)]
    pub(super) targets: BTreeMap<String, String>,
}

/// Keys that cannot be read are left out one by one, up to this many, so that what else is wrong is found as well.
const MOST_LEFT_OUT: usize = 50;

/// Reads a file's text. `path` is for messages only. A key that cannot be read is noted and left out.
pub(super) fn parse(text: &str, path: &Path, problems: &mut Problems) -> Option<File> {
    let mut document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            problems.add(SettingsError::FileSyntax {
                path: path.to_owned(),
                line: line_of(text, error.span()),
                cause: one_line(error.message()),
            });
            return None;
        }
    };
    for _ in 0..MOST_LEFT_OUT {
        let read = toml::Deserializer::from(document.clone());
        let error = match serde_path_to_error::deserialize(read) {
            Ok(file) => return Some(file),
            Err(error) => error,
        };
        let mut place: Vec<String> = error.path().iter().filter_map(name_of).collect();
        let key = error.path().to_string();
        let inner = error.into_inner();
        let line = line_of(text, inner.span());
        let (error, meant) = describe(path, key, line, inner.message());
        if let SettingsError::UnknownKey { key, .. } = &error {
            let typed = key.rsplit('.').next().unwrap_or_default();
            if place.last().is_none_or(|last| last != typed) {
                place.push(typed.to_owned());
            }
        }
        problems.said(&place.join("."));
        if let Some(meant) = meant {
            problems.said(&meant);
        }
        problems.add(error);
        if !leave_out(document.get_mut(), &place) {
            return None;
        }
    }
    None
}

fn name_of(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// Takes what is at that place out of the table: the innermost that has a name.
fn leave_out(table: &mut DeTable<'_>, place: &[String]) -> bool {
    let Some((name, rest)) = place.split_first() else {
        return false;
    };
    let Some(key) = table
        .keys()
        .find(|key| key.get_ref().as_ref() == name.as_str())
    else {
        return false;
    };
    let key = key.clone();
    if let Some(DeValue::Table(inner)) = table.get_mut(&key).map(Spanned::get_mut)
        && leave_out(inner, rest)
    {
        return true;
    }
    table.remove(&key).is_some()
}

/// Turns serde's words into ours, and names the key that was meant if it can be guessed. Only `message()` is used: the
/// full text quotes the line, and with it a secret.
fn describe(
    path: &Path,
    key: String,
    line: usize,
    message: &str,
) -> (SettingsError, Option<String>) {
    let path = path.to_owned();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let quoted: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let (typed, expected) = quoted
            .split_first()
            .map_or(("", &[][..]), |(typed, expected)| (*typed, expected));
        let parent = key
            .strip_suffix(typed)
            .unwrap_or(&key)
            .trim_end_matches('.');
        let full = |name: &str| {
            if parent.is_empty() {
                name.to_owned()
            } else {
                format!("{parent}.{name}")
            }
        };
        let near = switchboard_base::nearest(typed, expected.iter().copied());
        let hint = match near {
            Some(near) => format!("did you mean {}?", full(near)),
            None if expected.is_empty() => "remove it".to_owned(),
            None => format!("remove it, or use one of {}", expected.join(", ")),
        };
        let error = SettingsError::UnknownKey {
            path,
            line,
            key: full(typed),
            hint,
        };
        return (error, near.map(full));
    }
    let last = key.rsplit('.').next().unwrap_or_default();
    let is_secret = matches!(
        last,
        "api_key" | "auth_token" | "auth_token_secondary" | "api_secret" | "token" | "secret"
    );
    let cause = if is_secret {
        "write it as text in quotes".to_owned()
    } else {
        one_line(message)
    };
    let error = SettingsError::WrongType {
        path,
        line,
        key,
        cause,
    };
    (error, None)
}

fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    1 + text.as_bytes()[..start]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
