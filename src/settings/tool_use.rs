//! How an agent uses its tools: how many in a turn, and what the caller hears meanwhile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::SettingsError;
use super::{file, read};

/// Tool calls in one turn of the caller.
pub const DEFAULT_CALLS_A_TURN: u32 = 8;

/// Silence with a tool running, before the caller hears something.
pub const DEFAULT_FILLER_AFTER: Duration = Duration::from_millis(1_500);

/// What the model is told to say then.
pub const DEFAULT_FILLER: &str = "Tell the caller in a few words that you are looking it up and that it takes a moment. \
                                  Say nothing else and call no tools.";

const MAX_TEXT_CHARS: usize = 2_000;

/// How an agent uses its tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolUse {
    /// Calls in one turn of the caller; beyond, the model is told to answer with what it knows.
    pub calls_a_turn: u32,
    /// What the caller hears while a tool takes long; `None`: nothing.
    pub filler: Option<ToolFiller>,
}

/// What the caller hears while a tool takes long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolFiller {
    /// Silence before it.
    pub after: Duration,
    /// Who says it.
    pub says: FillerVoice,
}

/// Who says a filler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FillerVoice {
    Model {
        /// An instruction, not the words to speak.
        text: String,
    },
    /// A recorded clip.
    Clip {
        /// An audio file.
        file: PathBuf,
        /// What the clip says, so that the model knows it was said.
        text: Option<String>,
    },
}

impl Default for ToolUse {
    fn default() -> Self {
        Self {
            calls_a_turn: DEFAULT_CALLS_A_TURN,
            filler: Some(ToolFiller {
                after: DEFAULT_FILLER_AFTER,
                says: FillerVoice::Model {
                    text: DEFAULT_FILLER.to_owned(),
                },
            }),
        }
    }
}

impl ToolUse {
    /// Reads `tool_calls_a_turn` and `tool_filler` of an agent. `folder` is where relative file names begin.
    pub(super) fn read(
        key: &dyn Fn(&str) -> String,
        given: &file::Agent,
        folder: &Path,
    ) -> Result<Self, SettingsError> {
        let calls_a_turn = match given.tool_calls_a_turn {
            Some(calls) => read::ranged(&key("tool_calls_a_turn"), calls, 1, 100)?,
            None => DEFAULT_CALLS_A_TURN,
        };
        let filler = filler(key, given.tool_filler.as_ref(), folder)?;
        Ok(Self {
            calls_a_turn,
            filler,
        })
    }
}

fn filler(
    key: &dyn Fn(&str) -> String,
    given: Option<&file::ToolFiller>,
    folder: &Path,
) -> Result<Option<ToolFiller>, SettingsError> {
    let Some(given) = given else {
        return Ok(ToolUse::default().filler);
    };
    let key = |field: &str| key(&format!("tool_filler.{field}"));
    let after = match given.after_ms {
        Some(ms) => Duration::from_millis(read::ranged(&key("after_ms"), ms, 300, 20_000)?),
        None => DEFAULT_FILLER_AFTER,
    };
    let text = match &given.text {
        Some(text) => Some(read::text(
            &key("text"),
            text,
            MAX_TEXT_CHARS,
            "write it or remove it",
        )?),
        None => None,
    };
    let usual = if given.clip.is_some() {
        "clip"
    } else {
        "model"
    };
    let mode = given.mode.as_deref().unwrap_or(usual);
    let says = match (mode, &given.clip) {
        ("model" | "none", Some(_)) => {
            return Err(SettingsError::invalid(
                key("clip"),
                format!("is set, but the mode {mode} does not use it"),
                "remove it or change tool_filler.mode",
            ));
        }
        ("none", None) => return Ok(None),
        ("model", None) => FillerVoice::Model {
            text: text.unwrap_or_else(|| DEFAULT_FILLER.to_owned()),
        },
        ("clip", Some(clip)) => FillerVoice::Clip {
            file: read::clip(&key("clip"), folder.join(clip))?,
            text,
        },
        ("clip", None) => {
            return Err(SettingsError::missing(key("clip"), "name a WAV file"));
        }
        (other, _) => {
            return Err(SettingsError::invalid(
                key("mode"),
                format!("is {other:?}"),
                "use model, clip or none",
            ));
        }
    };
    Ok(Some(ToolFiller { after, says }))
}
