//! What the emulated model says, and what it pretends to have understood. The format is described in
//! [the module's page](crate::realtime).

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// A conversation from the model's side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What the script is called in logs.
    #[serde(default)]
    pub name: String,
    /// Answers a `response.create` that comes before the caller has said anything.
    #[serde(default)]
    pub greeting: Step,
    /// One answer after the other, as caller turns and tool outputs ask for them.
    #[serde(default)]
    pub turns: Vec<Step>,
    /// Every answer after the last of `turns`.
    #[serde(default)]
    pub otherwise: Step,
    /// Said when `idle_timeout_ms` has passed.
    #[serde(default)]
    pub idle: Step,
    /// Answers a `response.create` in mid-call that nothing the caller or a tool said has asked for.
    #[serde(default)]
    pub unprompted: Step,
    /// Answers a `response.create` with `conversation: "none"`.
    #[serde(default)]
    pub aside: Step,
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

/// One response of the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What the caller is taken to have said before this answer: the transcript of that turn. A step without it follows
    /// a tool call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hears: Option<String>,
    /// Message items of the response, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub says: Vec<Say>,
    /// Function calls of the response, after what it says unless `calls_first`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolCall>,
    /// The function calls come before what it says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calls_first: bool,
    /// How the response ends.
    #[serde(default, skip_serializing_if = "Ending::is_completed")]
    pub status: Ending,
    /// Milliseconds from the start of the response to its first output; the server's setting if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_ms: Option<u64>,
    /// Takes this step's place when something it refers to is not to be had: the tool was not called, its answer is an
    /// error or has no such place, or there are no words for it. If this step calls tools and that one none, the steps
    /// that follow the tools' outputs are passed over. Absent: the response is empty. Its `hears` counts for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<Box<Step>>,
}

impl Step {
    /// An answer that is one receptionist clip, after the caller said `hears`.
    #[must_use]
    pub fn clip(hears: Option<&str>, clip: &str) -> Self {
        Self {
            hears: hears.map(str::to_owned),
            says: vec![Say::clip(clip)],
            ..Self::default()
        }
    }
}

/// One message item. Exactly one of `clip`, `file`, `tone_hz`, `phrase`, `written` is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// A clip of [`crate::speech`], the receptionist's before the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<String>,
    /// A WAV file: mono, 8 kHz, 16-bit or µ-law; relative to the script's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A sine tone of that frequency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tone_hz: Option<u32>,
    /// How long the tone lasts; one second if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// The transcript; a clip brings its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A sentence of the receptionist, piece by piece: names of clips, the marks `,` `.` `?` `!`, and references such as
    /// `{find_times:/options/0/times/0/time}`: a place (RFC 6901) in the last output of a tool. What stands there is
    /// spoken with the clips of [`crate::speech::words`]: a time, a date (as its weekday), a confirmation code
    /// (spelled), or words. The transcript is what is spoken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phrase: Vec<String>,
    /// Text without audio, even in an audio session: the known weakness of a model that was told a history as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

impl Say {
    /// A clip of [`crate::speech`].
    #[must_use]
    pub fn clip(name: &str) -> Self {
        Self {
            clip: Some(name.to_owned()),
            ..Self::default()
        }
    }

    /// A sine tone with a transcript.
    #[must_use]
    pub fn tone(hz: u32, ms: u64, text: &str) -> Self {
        Self {
            tone_hz: Some(hz),
            ms: Some(ms),
            text: Some(text.to_owned()),
            ..Self::default()
        }
    }

    /// A sentence from pieces.
    #[must_use]
    pub fn phrase(pieces: &[&str]) -> Self {
        Self {
            phrase: pieces.iter().map(|&piece| piece.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Text without audio.
    #[must_use]
    pub fn written(text: &str) -> Self {
        Self {
            written: Some(text.to_owned()),
            ..Self::default()
        }
    }
}

/// One function call of a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The function's name.
    pub name: String,
    /// Its arguments; sent as JSON text. A string that is a reference, as in [`Say::phrase`], becomes the value it
    /// refers to.
    #[serde(default = "no_arguments")]
    pub arguments: Value,
}

fn no_arguments() -> Value {
    Value::Object(serde_json::Map::new())
}

/// How a response ends: `response.done` with this status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// `completed`.
    #[default]
    Completed,
    /// `incomplete`, `max_output_tokens`: the last spoken item stops half-way.
    MaxOutputTokens,
    /// `incomplete`, `content_filter`: the last spoken item stops at once.
    ContentFilter,
    /// `failed`, `rate_limit_exceeded`; the text is the wait in the message, such as `6.232s` or `174ms`. No output.
    RateLimited(String),
    /// `failed`, `server_error`. No output.
    ServerError,
    /// `failed`, `server_error`, after all of the output.
    FailsAtEnd,
    /// `failed`, `insufficient_quota`. No output.
    Quota,
    /// Never: `response.created` and then nothing until somebody cancels.
    Hangs,
}

impl Ending {
    fn is_completed(&self) -> bool {
        *self == Self::Completed
    }

    /// Whether the response says nothing at all.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(
            self,
            Self::RateLimited(_) | Self::ServerError | Self::Quota | Self::Hangs
        )
    }
}

/// Why a script cannot be used.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML of the described shape.
    #[error("the script is not valid: {0}")]
    Toml(#[from] toml::de::Error),
    /// Not JSON of the described shape.
    #[error("the script is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// A clip nobody has recorded.
    #[error("there is no clip called {0:?}")]
    UnknownClip(String),
    /// An item that says nothing, or two things at once.
    #[error("an item needs exactly one of clip, file, tone_hz, phrase, written: {0}")]
    NotOneSource(String),
    /// A WAV in another format.
    #[error("{path} is not a mono 8 kHz WAV of 16 bits or µ-law: {why}")]
    Audio {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl FromStr for Script {
    type Err = ScriptError;

    /// Reads TOML, or JSON if the text begins with a brace.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        if text.trim_start().starts_with('{') {
            return Ok(serde_json::from_str(text)?);
        }
        Ok(toml::from_str(text)?)
    }
}

impl Script {
    /// Reads a script from a file. Audio files named in it are looked for next to it.
    ///
    /// # Errors
    /// When the file cannot be read or is no script.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ScriptError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| ScriptError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut script: Self = text.parse()?;
        script.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_survive_json_and_toml() {
        for script in [Script::spa(), Script::chat()] {
            let json = serde_json::to_string(&script).unwrap();
            assert_eq!(json.parse::<Script>().unwrap(), script);
        }
        let toml = r#"
            name = "tools"
            [[turns]]
            hears = "Who am I?"
            says = [{ clip = "moment" }, { tone_hz = 440, ms = 200, text = "hm" }]
            tools = [{ name = "crm_lookup", arguments = { phone = "+15550142", deep = { n = 1 } } }]
            [[turns]]
            status = { rate_limited = "6.232s" }
            [[turns]]
            status = "hangs"
            think_ms = 5
        "#;
        let script: Script = toml.parse().unwrap();
        assert_eq!(script.turns[0].tools[0].arguments["deep"]["n"], 1);
        assert_eq!(script.turns[1].status, Ending::RateLimited("6.232s".into()));
        assert_eq!(script.turns[2].status, Ending::Hangs);
    }

    #[test]
    fn a_misspelt_key_is_named() {
        let error = "[greeting]\nsay = []".parse::<Script>().unwrap_err();
        assert!(error.to_string().contains("say"), "{error}");
    }
}
