//! The rules that make [`Agent`]s from the file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::agents::{
    ANSWER_WITHIN, Agent, BUILT_IN_TOOLS, Filler, Greeting, Silence, ToolRef, TurnDetection,
    VOICES, Voice,
};
use super::built_in::BuiltIn;
use super::error::SettingsError;
use super::model_rules::{language_tag, model, transcription, turn_detection};
use super::tool_use::ToolUse;
use super::tools::{Fallback, Tool};
use super::{Warning, fragments, read, variables};
use crate::number::PhoneNumber;

/// About 16,000 tokens, the published cap for instructions and tools together.
const MAX_INSTRUCTIONS_CHARS: usize = 60_000;
const MAX_TEXT_CHARS: usize = 2_000;

/// What agents may refer to, and what holds where they are silent.
pub(super) struct Surroundings<'a> {
    /// Where relative file names begin: the configuration file's folder.
    pub(super) folder: &'a Path,
    pub(super) model: &'a str,
    pub(super) max_call: Duration,
    pub(super) fallback: &'a Fallback,
    pub(super) tools: &'a BTreeMap<String, Tool>,
    pub(super) built_ins: &'a BTreeMap<String, BuiltIn>,
    pub(super) targets: &'a BTreeMap<String, PhoneNumber>,
}

/// Reads one `[agents.NAME]`.
pub(super) fn agent(
    name: &str,
    given: &fragments::Agent,
    around: &Surroundings<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Agent, SettingsError> {
    let prefix = format!("agents.{name}");
    read::name(&prefix, name)?;
    let key = |field: &str| format!("{prefix}.{field}");
    let language = language_tag(&key("language"), given.language.as_deref().unwrap_or("en"))?;
    let numbers: Result<Vec<_>, _> = given
        .numbers
        .iter()
        .map(|number| read::number(&key("numbers"), number))
        .collect();
    let max_call = match given.max_call_seconds {
        Some(seconds) => {
            Duration::from_secs(read::ranged(&key("max_call_seconds"), seconds, 10, 86_400)?)
        }
        None => around.max_call,
    };
    let agent = Agent {
        name: name.to_owned(),
        numbers: numbers?,
        instructions: instructions(&key, given, around.folder)?,
        voice: voice(&key("voice"), given.voice.as_ref())?,
        greeting: greeting(&key, given.greeting.as_ref(), around.folder)?,
        tools: tools(&key("tools"), &given.tools, around)?,
        tool_use: ToolUse::read(&key, given, around.folder)?,
        turn_detection: turn_detection(&key, given.turn_detection.as_ref())?,
        transcription: transcription(&key, given.transcription.as_ref(), &language, warnings)?,
        model: model(&key, given.model.as_ref(), around.model, warnings)?,
        silence: silence(&key, given.silence.as_ref())?,
        answer_within: answer_within(&key("answer_within_ms"), given.answer_within_ms)?,
        filler: filler(&key, given.filler.as_ref(), around.folder)?,
        keys: keypad(&key("keys"), &given.keys, around.targets)?,
        mask_digits: given.mask_digits.unwrap_or(true),
        max_call,
        max_calls: match given.max_calls {
            Some(calls) => Some(read::ranged(&key("max_calls"), calls, 1, 100_000)?),
            None => None,
        },
        fallback: Fallback::read(
            &key("fallback"),
            given.fallback.as_ref(),
            Some(around.fallback),
        )?,
        language,
    };
    let server_asks = matches!(
        agent.turn_detection,
        TurnDetection::ServerVad {
            idle_timeout_ms: Some(_),
            ..
        }
    );
    if server_asks && agent.silence.is_some() {
        return Err(SettingsError::invalid(
            key("silence"),
            "and turn_detection.idle_timeout_ms would both ask a silent caller",
            "remove one of them",
        ));
    }
    Ok(agent)
}

fn instructions(
    key: &dyn Fn(&str) -> String,
    given: &fragments::Agent,
    folder: &Path,
) -> Result<String, SettingsError> {
    let mend = "say who the agent is and what it does";
    match (&given.instructions, &given.instructions_file) {
        (Some(_), Some(_)) => Err(SettingsError::invalid(
            key("instructions"),
            "and instructions_file are both set",
            "remove one of them",
        )),
        (Some(text), None) => template(&key("instructions"), text, mend),
        (None, Some(file)) => {
            let path = folder.join(file);
            let key = key("instructions_file");
            let text =
                std::fs::read_to_string(&path).map_err(|error| SettingsError::NamedFile {
                    key: key.clone(),
                    path,
                    cause: error.to_string(),
                })?;
            template(&key, &text, mend)
        }
        (None, None) => Err(SettingsError::missing(
            key("instructions"),
            format!("{mend}, here or in an instructions_file"),
        )),
    }
}

/// Instructions whose variables all exist.
fn template(key: &str, given: &str, mend: &str) -> Result<String, SettingsError> {
    let text = read::text(key, given, MAX_INSTRUCTIONS_CHARS, mend)?;
    variables::check(key, &text)?;
    Ok(text)
}

fn voice(key: &str, given: Option<&fragments::Voice>) -> Result<Voice, SettingsError> {
    match given {
        None => Ok(Voice::Named(VOICES[0])),
        Some(fragments::Voice::Name(name)) => {
            let known = |name: &str| VOICES.iter().copied().find(|voice| *voice == name);
            Ok(Voice::Named(read::one_of(key, name, VOICES, known)?))
        }
        Some(fragments::Voice::Custom(custom)) if custom.id.starts_with("voice_") => {
            read::name(&format!("{key}.id"), &custom.id)?;
            Ok(Voice::Custom(custom.id.clone()))
        }
        Some(fragments::Voice::Custom(custom)) => Err(SettingsError::invalid(
            format!("{key}.id"),
            format!("is {:?}", custom.id),
            "use the id of a custom voice, which begins with voice_",
        )),
    }
}

fn greeting(
    key: &dyn Fn(&str) -> String,
    given: Option<&fragments::Greeting>,
    folder: &Path,
) -> Result<Greeting, SettingsError> {
    let Some(given) = given else {
        return Ok(Greeting::default());
    };
    let text = match &given.text {
        Some(text) => Some(read::text(
            &key("greeting.text"),
            text,
            MAX_TEXT_CHARS,
            "write it or remove it",
        )?),
        None => None,
    };
    let unused = |field: &str, mode: &str| {
        SettingsError::invalid(
            key(&format!("greeting.{field}")),
            format!("is set, but the mode {mode} does not use it"),
            "remove it or change greeting.mode",
        )
    };
    let mode = given.mode.as_deref().unwrap_or(if given.clip.is_some() {
        "clip"
    } else {
        "model"
    });
    match mode {
        "model" | "wait" if given.clip.is_some() => Err(unused("clip", mode)),
        "wait" if text.is_some() => Err(unused("text", mode)),
        "wait" => Ok(Greeting::Wait),
        "model" => Ok(text.map_or_else(Greeting::default, |text| Greeting::Model { text })),
        "clip" => {
            let Some(clip) = &given.clip else {
                return Err(SettingsError::missing(
                    key("greeting.clip"),
                    "name a WAV file",
                ));
            };
            Ok(Greeting::Clip {
                file: read::file(&key("greeting.clip"), folder.join(clip))?,
                text,
            })
        }
        other => Err(SettingsError::invalid(
            key("greeting.mode"),
            format!("is {other:?}"),
            "use model, wait or clip",
        )),
    }
}

fn tools(
    key: &str,
    given: &[String],
    around: &Surroundings<'_>,
) -> Result<Vec<ToolRef>, SettingsError> {
    let mut tools: Vec<ToolRef> = Vec::new();
    for name in given {
        if tools.iter().any(|tool| tool.name() == name) {
            return Err(SettingsError::invalid(
                key,
                format!("names {name} twice"),
                "remove one",
            ));
        }
        if name == "transfer_call" && around.targets.is_empty() {
            return Err(SettingsError::invalid(
                key,
                "names transfer_call, but there is nobody to transfer to",
                "add a number under [transfer.targets]",
            ));
        }
        let built_in = BUILT_IN_TOOLS.iter().copied();
        if around.tools.contains_key(name) {
            tools.push(ToolRef::Configured(name.clone()));
        } else if let Some(built_in) = built_in.clone().find(|known| known == name) {
            tools.push(ToolRef::BuiltIn(built_in));
        } else if around.built_ins.contains_key(name) {
            tools.push(ToolRef::Configured(name.clone()));
        } else {
            let known = BUILT_IN_TOOLS
                .iter()
                .copied()
                .chain(around.tools.keys().map(String::as_str))
                .chain(around.built_ins.keys().map(String::as_str));
            let mend = match super::keys::nearest(name, known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!(
                    "define [tools.{name}], or use a built-in: {}",
                    BUILT_IN_TOOLS.join(", ")
                ),
            };
            return Err(SettingsError::UnknownName {
                key: key.to_owned(),
                name: name.clone(),
                mend,
            });
        }
    }
    Ok(tools)
}

fn silence(
    key: &dyn Fn(&str) -> String,
    given: Option<&fragments::Silence>,
) -> Result<Option<Silence>, SettingsError> {
    let Some(given) = given else { return Ok(None) };
    let key = |field: &str| key(&format!("silence.{field}"));
    let after_ms = read::ranged(
        &key("after_ms"),
        given.after_ms.unwrap_or(10_000),
        3_000,
        120_000,
    )?;
    let text = given
        .text
        .as_deref()
        .unwrap_or("Ask the caller briefly whether they are still there.");
    Ok(Some(Silence {
        after: Duration::from_millis(after_ms),
        text: read::text(&key("text"), text, MAX_TEXT_CHARS, "write it or remove it")?,
        attempts: read::ranged(&key("attempts"), given.attempts.unwrap_or(2), 1, 5)?,
    }))
}

fn answer_within(key: &str, given: Option<i64>) -> Result<Duration, SettingsError> {
    let Some(ms) = given else {
        return Ok(ANSWER_WITHIN);
    };
    Ok(Duration::from_millis(read::ranged(key, ms, 2_000, 60_000)?))
}

fn filler(
    key: &dyn Fn(&str) -> String,
    given: Option<&fragments::Filler>,
    folder: &Path,
) -> Result<Filler, SettingsError> {
    let Some(given) = given else {
        return Ok(Filler::Tone);
    };
    let unnamed = if given.clip.is_some() { "clip" } else { "tone" };
    let mode = given.mode.as_deref().unwrap_or(unnamed);
    match (mode, &given.clip) {
        ("tone" | "silence", Some(_)) => Err(SettingsError::invalid(
            key("filler.clip"),
            format!("is set, but the mode {mode} does not use it"),
            "remove it or change filler.mode",
        )),
        ("tone", None) => Ok(Filler::Tone),
        ("silence", None) => Ok(Filler::Silence),
        ("clip", Some(clip)) => Ok(Filler::Clip {
            file: read::file(&key("filler.clip"), folder.join(clip))?,
        }),
        ("clip", None) => Err(SettingsError::missing(
            key("filler.clip"),
            "name a WAV file",
        )),
        (other, _) => Err(SettingsError::invalid(
            key("filler.mode"),
            format!("is {other:?}"),
            "use tone, silence or clip",
        )),
    }
}

fn keypad(
    key: &str,
    given: &BTreeMap<String, String>,
    targets: &BTreeMap<String, PhoneNumber>,
) -> Result<BTreeMap<char, String>, SettingsError> {
    let mut keys = BTreeMap::new();
    for (pressed, target) in given {
        let mut chars = pressed.chars();
        let (Some(digit @ ('0'..='9' | '*' | '#')), None) = (chars.next(), chars.next()) else {
            return Err(SettingsError::invalid(
                key,
                format!("has {pressed:?}, which is not on a phone's keypad"),
                "use one of 0 to 9, * and #",
            ));
        };
        if !targets.contains_key(target) {
            return Err(SettingsError::UnknownName {
                key: format!("{key}.{pressed}"),
                name: target.clone(),
                mend: format!("add {target} under [transfer.targets]"),
            });
        }
        keys.insert(digit, target.clone());
    }
    Ok(keys)
}
