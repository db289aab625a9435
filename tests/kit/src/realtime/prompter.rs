//! Keeps the place in the script: which step is the next answer, and what the caller is taken to have said.

use std::f64::consts::TAU;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use call_protocol::audio;

use super::script::{Ending, Say, Script, ScriptError, Step, ToolCall};
use crate::speech;

/// Where a new session takes up the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resume {
    /// After the user turns that are replayed into it with `conversation.item.create`; none replayed, at the beginning.
    #[default]
    Replayed,
    /// Always at that turn, counted from 0.
    At(usize),
    /// Where the server's last session stopped, whatever is replayed. For one call at a time.
    CarryOn,
}

/// Which part of the script a response came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `greeting`.
    Greeting,
    /// `turns`, counted from 0.
    Turn(usize),
    /// `otherwise`.
    Otherwise,
    /// `idle`.
    Idle,
    /// `unprompted`.
    Unprompted,
    /// `aside`.
    Aside,
    /// Not from the script: probe frames sent back.
    Echo,
}

/// A script with its audio in hand.
#[derive(Debug)]
pub(crate) struct Prepared {
    greeting: Arc<Line>,
    turns: Vec<Arc<Line>>,
    otherwise: Arc<Line>,
    idle: Arc<Line>,
    unprompted: Arc<Line>,
    aside: Arc<Line>,
}

/// A step with its audio in hand.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) hears: Option<String>,
    pub(crate) says: Vec<Utterance>,
    pub(crate) tools: Vec<ToolCall>,
    pub(crate) ending: Ending,
    pub(crate) think_ms: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) enum Utterance {
    Spoken { mulaw: Bytes, text: String },
    Written { text: String },
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

fn prepare(step: &Step, folder: &Path) -> Result<Line, ScriptError> {
    let says = step
        .says
        .iter()
        .map(|say| utterance(say, folder))
        .collect::<Result<_, _>>()?;
    Ok(Line {
        hears: step.hears.clone(),
        says,
        tools: step.tools.clone(),
        ending: step.status.clone(),
        think_ms: step.think_ms,
    })
}

fn utterance(say: &Say, folder: &Path) -> Result<Utterance, ScriptError> {
    let text = |own: &str| say.text.clone().unwrap_or_else(|| own.to_owned());
    match (&say.clip, &say.file, say.tone_hz, &say.written) {
        (Some(name), None, None, None) => {
            let clip = speech::receptionist(name)
                .or_else(|| speech::caller(name))
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

/// What brought a response about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The caller stopped speaking.
    CallerTurn,
    /// `response.create`.
    Create,
    /// `idle_timeout_ms`.
    Idle,
    /// `response.create` with `conversation: "none"`.
    Aside,
}

/// One session's place in the script.
#[derive(Debug)]
pub(crate) struct Prompter {
    script: Arc<Prepared>,
    resume: Resume,
    carried: Arc<AtomicUsize>,
    position: usize,
    /// Something asks for an answer that has not been given: a caller turn, a tool output, a failed response.
    unanswered: bool,
    /// Items replayed before anything happened in this session.
    replayed: bool,
    /// The caller has had a turn, here or in what was replayed.
    caller_spoke: bool,
    greeted: bool,
    /// The session itself has begun: from here on items are no replay.
    live: bool,
}

impl Prompter {
    pub(crate) fn new(script: Arc<Prepared>, resume: Resume, carried: Arc<AtomicUsize>) -> Self {
        let position = match resume {
            Resume::Replayed | Resume::CarryOn => 0,
            Resume::At(turn) => turn,
        };
        Self {
            script,
            resume,
            carried,
            position,
            unanswered: false,
            replayed: false,
            caller_spoke: position > 0,
            greeted: false,
            live: false,
        }
    }

    /// The turn that comes next. A session that was opened ahead carries on where the one before it has stopped by the
    /// time it is used.
    pub(crate) fn position(&self) -> usize {
        if self.resume == Resume::CarryOn && !self.live {
            return self.carried.load(Ordering::Relaxed);
        }
        self.position
    }

    fn go_live(&mut self) {
        self.position = self.position();
        self.caller_spoke |= self.position > 0;
        self.live = true;
    }

    /// What the caller is taken to have said in the turn that ends now.
    pub(crate) fn transcript(&self) -> String {
        let line = self.script.turns.get(self.position());
        line.and_then(|line| line.hears.clone())
            .or_else(|| self.script.otherwise.hears.clone())
            .unwrap_or_default()
    }

    /// The caller finished a turn on this socket.
    pub(crate) fn caller_turn(&mut self) {
        self.go_live();
        self.caller_spoke = true;
        self.unanswered = true;
    }

    /// The client created a user message.
    pub(crate) fn user_item(&mut self) {
        if !self.live {
            self.replayed = true;
            if self.resume == Resume::Replayed {
                let stale = usize::from(self.unanswered);
                let rest = self.script.turns.iter().skip(self.position + stale);
                let skipped = rest.take_while(|line| line.hears.is_none()).count();
                self.position += stale + skipped;
            }
        }
        self.caller_spoke = true;
        self.unanswered = true;
    }

    /// The client created an assistant message or a function call.
    pub(crate) fn assistant_item(&mut self) {
        if self.live {
            return;
        }
        self.replayed = true;
        if self.unanswered && self.resume == Resume::Replayed {
            self.position += 1;
        }
        self.unanswered = false;
    }

    /// The client created a function call output.
    pub(crate) fn tool_output(&mut self) {
        self.unanswered = true;
    }

    /// The next answer. [`Prompter::taken`] moves on from it.
    pub(crate) fn next(&self, cause: Cause) -> (Source, Arc<Line>) {
        let script = &self.script;
        let position = self.position();
        let turn = |at: usize| match script.turns.get(at) {
            Some(line) => (Source::Turn(at), line.clone()),
            None => (Source::Otherwise, script.otherwise.clone()),
        };
        match cause {
            Cause::Idle => (Source::Idle, script.idle.clone()),
            Cause::Aside => (Source::Aside, script.aside.clone()),
            Cause::CallerTurn => turn(position),
            Cause::Create if self.unanswered => turn(position),
            // Told a history that ends with the model's own words: it says the last of them again.
            Cause::Create if self.replayed && !self.live && position > 0 => turn(position - 1),
            Cause::Create if self.caller_spoke || position > 0 || self.greeted => {
                (Source::Unprompted, script.unprompted.clone())
            }
            Cause::Create => (Source::Greeting, script.greeting.clone()),
        }
    }

    /// That answer has been started.
    pub(crate) fn taken(&mut self, source: Source) {
        self.go_live();
        match source {
            Source::Greeting => self.greeted = true,
            Source::Turn(at) => {
                self.position = at + 1;
                self.carried.store(self.position, Ordering::Relaxed);
                self.unanswered = false;
            }
            Source::Otherwise => self.unanswered = false,
            Source::Idle | Source::Unprompted | Source::Aside | Source::Echo => {}
        }
    }

    /// The answer came to nothing: another `response.create` goes on with the script.
    pub(crate) fn owed(&mut self) {
        self.unanswered = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompter(script: &Script, resume: Resume) -> Prompter {
        let prepared = Arc::new(Prepared::new(script).unwrap());
        Prompter::new(prepared, resume, Arc::default())
    }

    fn with_tool() -> Script {
        let mut script = Script::spa();
        script.turns[0].tools.push(ToolCall {
            name: "crm_lookup".into(),
            arguments: serde_json::json!({}),
        });
        script.turns.insert(1, Step::clip(None, "price"));
        script
    }

    #[test]
    fn the_conversation_goes_greeting_turns_otherwise() {
        let mut prompter = prompter(&Script::spa(), Resume::Replayed);
        assert_eq!(prompter.next(Cause::Create).0, Source::Greeting);
        prompter.taken(Source::Greeting);
        for turn in 0..4 {
            prompter.caller_turn();
            assert!(!prompter.transcript().is_empty());
            assert_eq!(prompter.next(Cause::CallerTurn).0, Source::Turn(turn));
            prompter.taken(Source::Turn(turn));
        }
        prompter.caller_turn();
        assert_eq!(prompter.next(Cause::CallerTurn).0, Source::Otherwise);
    }

    #[test]
    fn a_tool_output_asks_for_the_next_step() {
        let mut prompter = prompter(&with_tool(), Resume::Replayed);
        prompter.caller_turn();
        prompter.taken(Source::Turn(0));
        assert_eq!(prompter.next(Cause::Create).0, Source::Unprompted);
        prompter.tool_output();
        assert_eq!(prompter.next(Cause::Create).0, Source::Turn(1));
    }

    #[test]
    fn a_replayed_history_sets_the_place() {
        let mut prompter = prompter(&with_tool(), Resume::Replayed);
        prompter.assistant_item();
        prompter.user_item();
        assert_eq!(prompter.next(Cause::Create).0, Source::Turn(0));
        prompter.assistant_item();
        prompter.tool_output();
        assert_eq!(prompter.next(Cause::Create).0, Source::Turn(1));
        prompter.assistant_item();
        prompter.user_item();
        assert_eq!(prompter.next(Cause::Create).0, Source::Turn(2));
        prompter.assistant_item();
        // Ends with the model's words: the cut answer again, and the caller's next turn goes on from there.
        assert_eq!(prompter.next(Cause::Create).0, Source::Turn(2));
        prompter.caller_turn();
        assert_eq!(prompter.next(Cause::CallerTurn).0, Source::Turn(3));
    }

    #[test]
    fn replaying_only_messages_skips_the_tool_step() {
        let mut prompter = prompter(&with_tool(), Resume::Replayed);
        for _ in 0..2 {
            prompter.user_item();
            prompter.assistant_item();
        }
        prompter.caller_turn();
        assert_eq!(prompter.next(Cause::CallerTurn).0, Source::Turn(3));
    }

    #[test]
    fn a_session_can_carry_on_where_the_last_one_stopped() {
        let prepared = Arc::new(Prepared::new(&Script::spa()).unwrap());
        let carried = Arc::new(AtomicUsize::new(0));
        let mut first = Prompter::new(prepared.clone(), Resume::CarryOn, carried.clone());
        first.caller_turn();
        first.taken(Source::Turn(0));
        let mut second = Prompter::new(prepared, Resume::CarryOn, carried);
        assert_eq!(second.position(), 1);
        // Opened ahead, while the first goes on.
        first.caller_turn();
        first.taken(Source::Turn(1));
        assert_eq!(second.next(Cause::Create).0, Source::Unprompted);
        second.caller_turn();
        assert_eq!(second.next(Cause::CallerTurn).0, Source::Turn(2));
    }

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
        assert_eq!(mulaw, speech::caller("yes").unwrap().mulaw());
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
}
