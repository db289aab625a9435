//! The rules that make [`Agent`]s from the file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use call_protocol::call::Protected;

use super::agents::{
    ANSWER_WITHIN, Agent, BUILT_IN_TOOLS, Filler, Greeting, Silence, ToolRef, TurnDetection,
    VOICES, Voice,
};
use super::built_in::BuiltIn;
use super::error::SettingsError;
use super::model_rules::{language_tag, model, transcription, turn_detection};
use super::problems::Problems;
use super::tool_use::{FillerVoice, ToolUse};
use super::tools::{Fallback, Tool};
use super::{Warning, file, read, variables};
use switchboard_base::number::PhoneNumber;

/// About 16,000 tokens, the published cap for instructions and tools together.
const MAX_INSTRUCTIONS_CHARS: usize = 60_000;
const MAX_TEXT_CHARS: usize = 2_000;

/// What agents may refer to, and what holds where they are silent.
pub(super) struct AgentContext<'a> {
    /// Where relative file names begin: the configuration file's folder.
    pub(super) folder: &'a Path,
    pub(super) model: &'a str,
    pub(super) max_call: Duration,
    pub(super) fallback: &'a Fallback,
    pub(super) tools: &'a BTreeMap<String, Tool>,
    pub(super) built_ins: &'a BTreeMap<String, BuiltIn>,
    /// The file, for names of what is there and cannot be used: it is complained of where it stands.
    pub(super) written: &'a file::File,
}

/// Reads one `[agents.NAME]`.
pub(super) fn agent(
    name: &str,
    given: &file::Agent,
    around: &AgentContext<'_>,
    warnings: &mut Vec<Warning>,
    problems: &mut Problems,
) -> Option<Agent> {
    let prefix = format!("agents.{name}");
    problems.keep(read::name(&prefix, name))?;
    let key = |field: &str| format!("{prefix}.{field}");
    let language = language_tag(&key("language"), given.language.as_deref().unwrap_or("en"));
    let language = problems.keep(language);
    let numbers = given.numbers.iter();
    let numbers: Vec<Option<PhoneNumber>> = numbers
        .map(|number| problems.keep(read::number(&key("numbers"), number)))
        .collect();
    let ranged = |field: &str, given: Option<i64>, least: u64, most: u64| {
        let given = given.map(|given| read::ranged(&key(field), given, least, most));
        given.transpose()
    };
    let max_call = ranged("max_call_seconds", given.max_call_seconds, 10, 86_400);
    let max_call = problems.keep(max_call);
    let folder = around.folder;
    let instructions = problems.keep(instructions(&key, given, folder));
    let voice = problems.keep(voice(&key("voice"), given.voice.as_ref()));
    let greeting = problems.keep(greeting(&key, given.greeting.as_ref(), folder));
    let tools = tools(&key("tools"), &given.tools, around, problems);
    let tool_use = problems.keep(ToolUse::read(&key, given, folder));
    let turns = problems.keep(turn_detection(&key, given.turn_detection.as_ref()));
    let spoken = language.as_deref().unwrap_or("en");
    let transcribed = transcription(&key, given.transcription.as_ref(), spoken, warnings);
    let transcribed = problems.keep(transcribed);
    let model = problems.keep(model(&key, given.model.as_ref(), around.model, warnings));
    let silence = problems.keep(silence(&key, given.silence.as_ref()));
    let answer_within = answer_within(&key("answer_within_ms"), given.answer_within_ms);
    let answer_within = problems.keep(answer_within);
    let filler = problems.keep(filler(&key, given.filler.as_ref(), folder));
    let keys = keypad(&key("keys"), &given.keys, around, problems);
    let max_calls = problems.keep(ranged("max_calls", given.max_calls, 1, 100_000));
    let fallback = given.fallback.as_ref();
    let fallback = Fallback::read(&key("fallback"), fallback, Some(around.fallback));
    let fallback = problems.keep(fallback);
    let mut agent = Agent {
        name: name.to_owned(),
        numbers: numbers.into_iter().collect::<Option<_>>()?,
        instructions: instructions?,
        voice: voice?,
        greeting: greeting?,
        protected: Protected::default(),
        tools: tools?,
        tool_use: tool_use?,
        turn_detection: turns?,
        transcription: transcribed?,
        model: model?,
        silence: silence?,
        answer_within: answer_within?,
        filler: filler?,
        keys: keys?,
        mask_digits: given.mask_digits.unwrap_or(true),
        max_call: max_call?.map_or(around.max_call, Duration::from_secs),
        max_calls: max_calls?.map(|calls| calls as usize),
        fallback: fallback?,
        language: language?,
    };
    agent.protected = problems.keep(protected(&key, given, &agent))?;
    let server_asks = matches!(
        agent.turn_detection,
        TurnDetection::ServerVad {
            idle_timeout_ms: Some(_),
            ..
        }
    );
    if server_asks && agent.silence.is_some() {
        problems.add(SettingsError::invalid(
            key("silence"),
            "and turn_detection.idle_timeout_ms would both ask a silent caller",
            "remove one of them",
        ));
    }
    Some(agent)
}

fn instructions(
    key: &dyn Fn(&str) -> String,
    given: &file::Agent,
    folder: &Path,
) -> Result<String, SettingsError> {
    let hint = "say who the agent is and what it does";
    match (&given.instructions, &given.instructions_file) {
        (Some(_), Some(_)) => Err(SettingsError::invalid(
            key("instructions"),
            "and instructions_file are both set",
            "remove one of them",
        )),
        (Some(text), None) => template(&key("instructions"), text, hint),
        (None, Some(file)) => {
            let path = folder.join(file);
            let key = key("instructions_file");
            let text =
                std::fs::read_to_string(&path).map_err(|error| SettingsError::NamedFile {
                    key: key.clone(),
                    path,
                    cause: error.to_string(),
                })?;
            template(&key, &text, hint)
        }
        (None, None) => Err(SettingsError::missing(
            key("instructions"),
            format!("{hint}, here or in an instructions_file"),
        )),
    }
}

/// Instructions whose variables all exist.
fn template(key: &str, given: &str, hint: &str) -> Result<String, SettingsError> {
    let text = read::text(key, given, MAX_INSTRUCTIONS_CHARS, hint)?;
    variables::check(key, &text)?;
    Ok(text)
}

fn voice(key: &str, given: Option<&file::Voice>) -> Result<Voice, SettingsError> {
    match given {
        None => Ok(Voice::Named(VOICES[0])),
        Some(file::Voice::Name(name)) => {
            let known = |name: &str| VOICES.iter().copied().find(|voice| *voice == name);
            Ok(Voice::Named(read::one_of(key, name, VOICES, known)?))
        }
        Some(file::Voice::Custom(custom)) if custom.id.starts_with("voice_") => {
            read::name(&format!("{key}.id"), &custom.id)?;
            Ok(Voice::Custom(custom.id.clone()))
        }
        Some(file::Voice::Custom(custom)) => Err(SettingsError::invalid(
            format!("{key}.id"),
            format!("is {:?}", custom.id),
            "use the id of a custom voice, which begins with voice_",
        )),
    }
}

fn greeting(
    key: &dyn Fn(&str) -> String,
    given: Option<&file::Greeting>,
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
                file: read::clip(&key("greeting.clip"), folder.join(clip))?,
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

/// Sentences that nothing the caller says cuts. A word on that where it changes nothing is a mistake.
fn protected(
    key: &dyn Fn(&str) -> String,
    given: &file::Agent,
    agent: &Agent,
) -> Result<Protected, SettingsError> {
    let is_clip = matches!(agent.filler, Filler::Clip { .. });
    let tool_clip = agent.tool_use.filler.as_ref();
    let is_tool_clip =
        tool_clip.is_some_and(|filler| matches!(filler.says, FillerVoice::Clip { .. }));
    let greeting = given.greeting.as_ref();
    let filler = given.filler.as_ref();
    let tool_filler = given.tool_filler.as_ref();
    let of = |table: &str, given: Option<bool>, is_said: bool| {
        let key = key(&format!("{table}.interruptible"));
        match given {
            Some(_) if !is_said => Err(SettingsError::invalid(
                key,
                "is set, but there is nothing of one's own to be cut",
                format!("remove it or change {table}.mode"),
            )),
            Some(true) if !agent.turn_detection.interrupts() => Err(SettingsError::invalid(
                key,
                "is true, but turn_detection.interrupt_response = false lets nothing be cut",
                "remove one of them",
            )),
            given => Ok(given == Some(false)),
        }
    };
    Ok(Protected {
        greeting: of(
            "greeting",
            greeting.and_then(|greeting| greeting.interruptible),
            agent.greeting != Greeting::Wait,
        )?,
        tool_filler: of(
            "tool_filler",
            tool_filler.and_then(|filler| filler.interruptible),
            is_tool_clip,
        )?,
        filler: of(
            "filler",
            filler.and_then(|filler| filler.interruptible),
            is_clip,
        )?,
    })
}

fn tools(
    key: &str,
    given: &[String],
    around: &AgentContext<'_>,
    problems: &mut Problems,
) -> Option<Vec<ToolRef>> {
    let mut tools: Vec<ToolRef> = Vec::new();
    let mut all = true;
    for name in given {
        // It is there, and complained of.
        if around.written.tools.contains_key(name)
            && !around.tools.contains_key(name)
            && !around.built_ins.contains_key(name)
        {
            all = false;
            continue;
        }
        match problems.keep(tool(key, name, &tools, around)) {
            Some(tool) => tools.push(tool),
            None => all = false,
        }
    }
    all.then_some(tools)
}

fn tool(
    key: &str,
    name: &str,
    before: &[ToolRef],
    around: &AgentContext<'_>,
) -> Result<ToolRef, SettingsError> {
    if before.iter().any(|tool| tool.name() == name) {
        return Err(SettingsError::invalid(
            key,
            format!("names {name} twice"),
            "remove one",
        ));
    }
    if name == "transfer_call" && around.written.transfer.targets.is_empty() {
        return Err(SettingsError::invalid(
            key,
            "names transfer_call, but there is nobody to transfer to",
            "add a number under [transfer.targets]",
        ));
    }
    let mut built_in = BUILT_IN_TOOLS.iter().copied();
    if around.tools.contains_key(name) {
        return Ok(ToolRef::Configured(name.to_owned()));
    }
    if let Some(built_in) = built_in.find(|known| *known == name) {
        return Ok(ToolRef::BuiltIn(built_in));
    }
    if around.built_ins.contains_key(name) {
        return Ok(ToolRef::Configured(name.to_owned()));
    }
    let known = BUILT_IN_TOOLS
        .iter()
        .copied()
        .chain(around.written.tools.keys().map(String::as_str));
    let hint = match switchboard_base::nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None => format!(
            "define [tools.{name}], or use a built-in: {}",
            BUILT_IN_TOOLS.join(", ")
        ),
    };
    Err(SettingsError::UnknownName {
        key: key.to_owned(),
        name: name.to_owned(),
        hint,
    })
}

fn silence(
    key: &dyn Fn(&str) -> String,
    given: Option<&file::Silence>,
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
    given: Option<&file::Filler>,
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
            file: read::clip(&key("filler.clip"), folder.join(clip))?,
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
    around: &AgentContext<'_>,
    problems: &mut Problems,
) -> Option<BTreeMap<char, String>> {
    let mut keys = BTreeMap::new();
    for (pressed, target) in given {
        if let Some(digit) = problems.keep(keypad_key(key, pressed, target, around)) {
            keys.insert(digit, target.clone());
        }
    }
    (keys.len() == given.len()).then_some(keys)
}

fn keypad_key(
    key: &str,
    pressed: &str,
    target: &str,
    around: &AgentContext<'_>,
) -> Result<char, SettingsError> {
    let mut chars = pressed.chars();
    let (Some(digit @ ('0'..='9' | '*' | '#')), None) = (chars.next(), chars.next()) else {
        return Err(SettingsError::invalid(
            key,
            format!("has {pressed:?}, which is not on a phone's keypad"),
            "use one of 0 to 9, * and #",
        ));
    };
    if !around.written.transfer.targets.contains_key(target) {
        return Err(SettingsError::UnknownName {
            key: format!("{key}.{pressed}"),
            name: target.to_owned(),
            hint: format!("add {target} under [transfer.targets]"),
        });
    }
    Ok(digit)
}
