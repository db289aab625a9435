//! A script made ready: its audio in hand, its references understood, and each answer put together when it is given.

use std::f64::consts::TAU;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use call_protocol::audio;

use super::reference::{LastOutput, filled};
use super::script::{Ending, Say, Script, ScriptError, Step, ToolCall};
use super::utterance::Phrase;
use crate::speech as clips;

/// A script with its audio in hand.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) greeting: Arc<Prompt>,
    pub(super) turns: Vec<Arc<Prompt>>,
    pub(super) otherwise: Arc<Prompt>,
    pub(super) idle: Arc<Prompt>,
    pub(super) unprompted: Arc<Prompt>,
    pub(super) aside: Arc<Prompt>,
}

/// A step with its audio in hand, as far as it can be before the conversation.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub(crate) hears: Option<String>,
    says: Vec<Speech>,
    pub(crate) tools: Vec<ToolCall>,
    calls_first: bool,
    ending: Ending,
    think_ms: Option<u64>,
    instead: Option<Box<Prompt>>,
}

#[derive(Debug)]
enum Speech {
    Ready(Utterance),
    Phrase(Phrase),
}

/// What is said and called in one response.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) says: Vec<Utterance>,
    pub(crate) tools: Vec<ToolCall>,
    pub(crate) calls_first: bool,
    pub(crate) ending: Ending,
    pub(crate) think_ms: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) enum Utterance {
    Spoken { mulaw: Bytes, text: String },
    Written { text: String },
}

impl Prompt {
    /// The response, with everything in it that refers to what tools answered. If something of that is not to be had,
    /// what the step says `instead`; without that, nothing.
    pub(crate) fn line(&self, outputs: LastOutput<'_>) -> Line {
        let mut prompt = self;
        loop {
            if let Some(line) = prompt.filled(outputs) {
                return line;
            }
            match &prompt.instead {
                Some(instead) => prompt = instead,
                None => return Line::default(),
            }
        }
    }

    fn filled(&self, outputs: LastOutput<'_>) -> Option<Line> {
        let says = self.says.iter().map(|speech| match speech {
            Speech::Ready(utterance) => Some(utterance.clone()),
            Speech::Phrase(phrase) => phrase.utterance(outputs),
        });
        let tools = self.tools.iter().map(|call| {
            Some(ToolCall {
                name: call.name.clone(),
                arguments: filled(&call.arguments, outputs)?,
            })
        });
        Some(Line {
            says: says.collect::<Option<_>>()?,
            tools: tools.collect::<Option<_>>()?,
            calls_first: self.calls_first,
            ending: self.ending.clone(),
            think_ms: self.think_ms,
        })
    }
}

impl Prepared {
    pub(crate) fn new(script: &Script) -> Result<Self, ScriptError> {
        let line = |step: &Step| prepare(step, &script.folder).map(Arc::new);
        Ok(Self {
            greeting: line(&script.greeting)?,
            turns: script.turns.iter().map(line).collect::<Result<_, _>>()?,
            otherwise: line(&script.otherwise)?,
            idle: line(&script.idle)?,
            unprompted: line(&script.unprompted)?,
            aside: line(&script.aside)?,
        })
    }
}

fn prepare(step: &Step, folder: &Path) -> Result<Prompt, ScriptError> {
    let says = step
        .says
        .iter()
        .map(|say| speech(say, folder))
        .collect::<Result<_, _>>()?;
    let instead = step
        .instead
        .as_deref()
        .map(|instead| prepare(instead, folder).map(Box::new))
        .transpose()?;
    Ok(Prompt {
        hears: step.hears.clone(),
        says,
        tools: step.tools.clone(),
        calls_first: step.calls_first,
        ending: step.status.clone(),
        think_ms: step.think_ms,
        instead,
    })
}

fn speech(say: &Say, folder: &Path) -> Result<Speech, ScriptError> {
    if say.phrase.is_empty() {
        return utterance(say, folder).map(Speech::Ready);
    }
    let rest = Say {
        phrase: Vec::new(),
        ..say.clone()
    };
    if rest != Say::default() {
        return Err(ScriptError::NotOneSource(format!("{say:?}")));
    }
    Phrase::read(&say.phrase).map(Speech::Phrase)
}

fn utterance(say: &Say, folder: &Path) -> Result<Utterance, ScriptError> {
    let text = |own: &str| say.text.clone().unwrap_or_else(|| own.to_owned());
    match (&say.clip, &say.file, say.tone_hz, &say.written) {
        (Some(name), None, None, None) => {
            let clip = clips::receptionist(name)
                .or_else(|| clips::caller(name))
                .ok_or_else(|| ScriptError::UnknownClip(name.clone()))?;
            Ok(Utterance::Spoken {
                mulaw: Bytes::from_static(clip.mulaw()),
                text: text(clip.text),
            })
        }
        (None, Some(file), None, None) => Ok(Utterance::Spoken {
            mulaw: read_wav(&folder.join(file))?,
            text: text(""),
        }),
        (None, None, Some(hz), None) => Ok(Utterance::Spoken {
            mulaw: tone(hz, say.ms.unwrap_or(1_000)),
            text: text(""),
        }),
        (None, None, None, Some(written)) => Ok(Utterance::Written {
            text: written.clone(),
        }),
        _ => Err(ScriptError::NotOneSource(format!("{say:?}"))),
    }
}

fn tone(hz: u32, ms: u64) -> Bytes {
    (0..audio::ms_to_bytes(ms))
        .map(|n| {
            let phase = TAU * f64::from(hz) * n as f64 / 8_000.0;
            audio::encode_sample((phase.sin() * 8_000.0) as i16)
        })
        .collect::<Vec<u8>>()
        .into()
}

fn read_wav(path: &Path) -> Result<Bytes, ScriptError> {
    let wrong = |why: &str| ScriptError::Audio {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let wav = std::fs::read(path).map_err(|source| ScriptError::Read {
        path: path.to_owned(),
        source,
    })?;
    // hound does not read µ-law, so the chunks are walked here and hound does the rest.
    if wav.get(20..22) == Some(&[7, 0]) {
        if wav.get(22..28) != Some(&[1, 0, 0x40, 0x1F, 0, 0]) {
            return Err(wrong("another rate or more than one channel"));
        }
        let at = wav
            .windows(4)
            .position(|window| window == b"data")
            .ok_or_else(|| wrong("no data chunk"))?;
        return Ok(Bytes::from(wav).slice((at + 8)..));
    }
    let mut reader =
        hound::WavReader::new(wav.as_slice()).map_err(|error| wrong(&error.to_string()))?;
    let spec = reader.spec();
    if (spec.channels, spec.sample_rate, spec.bits_per_sample) != (1, 8_000, 16) {
        return Err(wrong("another rate, width or more than one channel"));
    }
    let mulaw = reader
        .samples::<i16>()
        .map(|sample| sample.map(audio::encode_sample))
        .collect::<Result<Vec<u8>, _>>()
        .map_err(|error| wrong(&error.to_string()))?;
    Ok(mulaw.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn audio_files_tones_and_mistakes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("speech/caller");
        let say = |say: Say| utterance(&say, &folder);
        let file = Say {
            file: Some("yes.wav".into()),
            ..Say::default()
        };
        let Ok(Utterance::Spoken { mulaw, .. }) = say(file) else {
            panic!("no audio");
        };
        assert_eq!(mulaw, clips::caller("yes").unwrap().mulaw());
        let Ok(Utterance::Spoken { mulaw, .. }) = say(Say::tone(440, 250, "beep")) else {
            panic!("no audio");
        };
        assert_eq!(mulaw.len(), 2_000);
        assert!(matches!(
            say(Say::clip("nobody")),
            Err(ScriptError::UnknownClip(_))
        ));
        assert!(matches!(
            say(Say::default()),
            Err(ScriptError::NotOneSource(_))
        ));
    }

    #[test]
    fn a_step_that_cannot_be_said_gives_way_to_the_next_that_can() {
        let step = |pieces: &[&str]| Step {
            says: vec![Say::phrase(pieces)],
            ..Step::default()
        };
        let mut both = step(&["at", "{find:/0}", "or_at", "{find:/1}"]);
        let mut one = step(&["at", "{find:/0}"]);
        one.instead = Some(Box::new(Step::clip(None, "no_book")));
        both.instead = Some(Box::new(one));
        both.tools = vec![ToolCall {
            name: "book".to_owned(),
            arguments: json!({"time": "{find:/1}"}),
        }];
        let prompt = prepare(&both, Path::new("")).unwrap();
        let said = |output: Value| {
            let line = prompt.line(&move |_| Some(output.clone()));
            let Some(Utterance::Spoken { text, .. }) = line.says.first() else {
                panic!("nothing was said");
            };
            (text.clone(), line.tools)
        };
        let (text, tools) = said(json!(["12:00", "13:30"]));
        assert_eq!(text, "at twelve o'clock or at one thirty");
        assert_eq!(tools[0].arguments, json!({"time": "13:30"}));
        let (text, tools) = said(json!(["12:00"]));
        assert_eq!((text.as_str(), tools.len()), ("at twelve o'clock", 0));
        let (text, _) = said(json!({"error": "unknown tool"}));
        assert_eq!(text, clips::receptionist("no_book").unwrap().text);
    }

    #[test]
    fn a_phrase_beside_another_source_is_refused() {
        let say = Say {
            written: Some("x".to_owned()),
            ..Say::phrase(&["at"])
        };
        let refused = speech(&say, Path::new(""));
        assert!(matches!(refused, Err(ScriptError::NotOneSource(_))));
    }
}
