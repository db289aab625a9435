//! The call of the demo with faults: what is said, what breaks, and when.
//!
//! ```text
//! hello ─▶ the long answer, rung 1 in it ─▶ interrupted ─▶ an answer, rung 2 in it ─▶ name ─▶ booked, rung 3 after it
//!       ─▶ price ─▶ answered by the next session ─▶ move ─▶ the long answer, rung 5 in it ─▶ goes on ─▶ goodbye
//! ```

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use switchboard_kit::realtime::{
    Ended, Fault, Resume, Running, Script, Session, Source, Step, When,
};
use switchboard_kit::speech;
use tokio::sync::mpsc;

use super::super::report::Report;
use super::caller::Prompter;
use super::operator::Operator;
use super::serving::{LogLine, Plan, Serving};
use super::step::{FaultStep, Since};

/// Longest wait for the emulated model to be dialled or asked.
const PATIENCE: Duration = Duration::from_secs(20);

/// The agent speaks for so long before something breaks.
const INTO_THE_ANSWER_MS: u64 = 1_500;

/// The call goes on for so long after the panic before the caller interrupts.
const AFTER_THE_PANIC_MS: u64 = 3_000;

/// The model is away for so long after its socket was reset: long enough for the filler.
const AWAY_MS: u64 = 4_000;

/// The second session lives for so long: its successor is opened in the middle of that.
const LIFE_MS: u64 = 20_000;

/// Deltas of the answer that arrive before the reset: a second and a half of speech.
const DELTAS: u64 = 3;

/// From the first audio at the model to the first sound at the phone, and a margin.
const ON_ITS_WAY_MS: u64 = 500;

/// Where a new session takes up the script: the caller's words are told to it, not said again.
pub(super) const RESUME: Resume = Resume::CarryOn;

/// What the model says.
pub(super) fn script() -> Script {
    let turn = |caller: &str, receptionist: &str| {
        let hears = speech::caller(caller).map(|clip| clip.text);
        Step::clip(hears, receptionist)
    };
    let mut script = Script::spa();
    script.name = "faults".to_owned();
    script.turns = vec![
        turn("hello", "times_long"),
        turn("interrupt", "half_past"),
        turn("name", "booked"),
        turn("price", "price"),
        turn("move", "times_long"),
        turn("interrupt", "booked"),
        turn("thanks", "goodbye"),
    ];
    // What it says when it is told to go on where the conversation stopped.
    script.unprompted = Step::clip(None, "filler");
    script
}

/// All that takes part in the call.
pub(super) struct Scenario<'a> {
    pub(super) prompter: Prompter,
    pub(super) model: &'a Running,
    pub(super) operator: Operator,
    pub(super) plan: &'a Plan,
    pub(super) log: mpsc::UnboundedSender<LogLine>,
    pub(super) serving: Option<Serving>,
    pub(super) show: Rc<Report>,
}

/// What is known when it is over.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The rungs it went through, the first being none.
    pub(super) rungs: Vec<FaultStep>,
    /// The call's page before the process was killed, and at the end.
    pub(super) pages: Vec<Value>,
}

impl Scenario<'_> {
    /// Plays the call to its end.
    ///
    /// # Errors
    /// What did not come about; `told` has the rungs until then.
    pub(super) async fn play(&mut self, told: &mut Told) -> Result<(), String> {
        self.prompter.listen().await?;
        self.prompter.say("hello").await?;
        self.prompter.hear(INTO_THE_ANSWER_MS).await?;
        let call = self.operator.only_call().await?;
        let mut none = FaultStep::new("–", "none, for comparison", Since::LastWord);
        none.until_ms = self.prompter.now_ms();
        none.heard = format!("an answer: {}", self.first_words(1, Source::Turn(0)));
        told.rungs.push(none);

        told.rungs.push(self.panic(&call).await?);
        told.rungs.push(self.lose_the_model().await?);
        self.prompter.say("name").await?;
        self.prompter.listen().await?;
        told.rungs.push(self.roll_over().await?);
        self.prompter.say("move").await?;
        self.prompter.hear(INTO_THE_ANSWER_MS).await?;
        told.pages.push(self.operator.page(&call).await?);
        told.rungs.push(self.kill(&call).await?);
        self.prompter.say("interrupt").await?;
        self.prompter.listen().await?;
        self.prompter.say("thanks").await?;
        self.prompter.listen().await?;
        told.pages.push(self.operator.page(&call).await?);
        self.prompter.hang_up()
    }

    /// Rung 1, in the middle of the long answer.
    async fn panic(&mut self, call: &str) -> Result<FaultStep, String> {
        let what = "panic in the call's step";
        self.show
            .title("rung 1: the next step of the call's machine panics");
        let mut rung = FaultStep::new("1", what, Since::Moment(self.prompter.now_ms()));
        let answers = self.session(1).await?.responses().len();
        self.operator.panic_in_step(call).await?;
        self.prompter.pass(AFTER_THE_PANIC_MS).await?;
        rung.until_ms = self.prompter.now_ms();

        let page = self.operator.page(call).await?;
        rung.needs("a restart is counted", page["restarts"] == 1);
        let same = self.session(1).await?.responses().len() == answers;
        rung.heard = if same {
            "the rest of the same answer".to_owned()
        } else {
            "the answer, begun anew".to_owned()
        };
        let is_open = self.session(1).await?.ended().is_none();
        rung.needs("the model's session is the same", is_open);
        rung.needs("nobody greeted again", self.greetings() == 1);
        self.say_so(&rung);
        // The caller talks into the answer: the machine built anew knows what is playing.
        self.prompter.say("interrupt").await?;
        Ok(rung)
    }

    /// Rung 2, in the middle of the answer to what the caller has just said.
    async fn lose_the_model(&mut self) -> Result<FaultStep, String> {
        let what = "model socket reset, model away for 4 s";
        let first = self.session(1).await?;
        let faults = self.model.faults();
        faults.next(Fault::SlowHandshake { ms: AWAY_MS });
        faults.next(Fault::Expire { after_ms: LIFE_MS });
        faults.live(Fault::Reset {
            when: When::AfterDeltas(DELTAS),
        });
        if !first.until(PATIENCE, |one| one.ended().is_some()).await {
            return Err("the model's socket was not reset: it was not asked".to_owned());
        }
        self.show
            .title("rung 2: the model's socket is reset in the middle of an answer");
        let mut rung = FaultStep::new("2", what, Since::Moment(self.prompter.now_ms()));
        let second = self.session(2).await?;
        let audio_ms = self.answers(&second).await?;
        self.prompter.listen_after(audio_ms + ON_ITS_WAY_MS).await?;
        rung.until_ms = self.prompter.now_ms();

        rung.heard = format!(
            "half an answer, then {}",
            self.first_words(2, Source::Unprompted)
        );
        let answered_ms = self.prompter.ms_of(second.opened()) + AWAY_MS;
        let took_ms = audio_ms.saturating_sub(answered_ms);
        rung.note(format!(
            "the model answered the second dial {AWAY_MS} ms late; from there to its first audio {took_ms} ms"
        ));
        self.was_told(&mut rung, &second);
        rung.needs("nobody greeted again", self.greetings() == 1);
        self.say_so(&rung);
        Ok(rung)
    }

    /// Rung 3, in the pause before the caller's next words.
    async fn roll_over(&mut self) -> Result<FaultStep, String> {
        let what = "model session at the end of its life";
        let second = self.session(2).await?;
        if !second.until(PATIENCE, |one| one.ended().is_some()).await {
            return Err("the second session was not replaced".to_owned());
        }
        self.show
            .title("rung 3: the session's life of 20 s runs out, the next one is in use");
        let mut rung = FaultStep::new("3", what, Since::LastWord);
        let third = self.session(3).await?;
        let by_us = matches!(second.ended(), Some(Ended::ByClient(_)));
        rung.needs("the old session was left before it ended", by_us);
        let rollovers = "switchboard_session_rollovers_total{result=\"ok\"}";
        let between_turns = self.operator.metric(rollovers).await? == 1.0;
        rung.needs("it was replaced between two turns", between_turns);
        let ahead_ms = self
            .prompter
            .now_ms()
            .saturating_sub(self.prompter.ms_of(third.opened()));
        rung.note(format!(
            "the next session was opened {ahead_ms} ms before it was taken, between two turns"
        ));
        self.was_told(&mut rung, &third);
        self.prompter.say("price").await?;
        let audio_ms = self.answers(&third).await?;
        self.prompter.listen_after(audio_ms + ON_ITS_WAY_MS).await?;
        rung.until_ms = self.prompter.now_ms();
        rung.heard = format!(
            "an answer as any other: {}",
            self.first_words(3, Source::Turn(3))
        );
        rung.needs("nobody greeted again", self.greetings() == 1);
        self.say_so(&rung);
        Ok(rung)
    }

    /// Rung 5, in the middle of the second long answer.
    async fn kill(&mut self, call: &str) -> Result<FaultStep, String> {
        let what = "serving process killed (SIGKILL)";
        let serving = self.serving.take().ok_or("no process serves")?;
        let pid = serving.pid;
        self.show
            .title(&format!("rung 5: process {pid} gets SIGKILL"));
        let killed_ms = self.prompter.now_ms();
        let mut rung = FaultStep::new("5", what, Since::Moment(killed_ms));
        serving.kill().await?;
        // A supervisor starts the next one when this one is gone.
        let next = self.plan.start(&self.log).await?;
        let up_ms = self.prompter.now_ms();
        self.show.title(&format!(
            "process {} serves {} ms after the kill",
            next.pid,
            up_ms - killed_ms
        ));
        self.serving = Some(next);
        let fourth = self.session(4).await?;
        let audio_ms = self.answers(&fourth).await?;
        self.prompter.listen_after(audio_ms + ON_ITS_WAY_MS).await?;
        rung.until_ms = self.prompter.now_ms();

        rung.heard = format!(
            "half an answer, then {}",
            self.first_words(4, Source::Unprompted)
        );
        rung.note(format!(
            "another process was up {} ms after the kill; from there to the agent's first audio {} ms",
            up_ms - killed_ms,
            audio_ms.saturating_sub(up_ms)
        ));
        let page = self.operator.page(call).await?;
        rung.needs("the call was resumed once", page["resumes"] == 1);
        self.was_told(&mut rung, &fourth);
        rung.needs("nobody greeted again", self.greetings() == 1);
        self.say_so(&rung);
        Ok(rung)
    }

    async fn session(&self, number: usize) -> Result<Session, String> {
        let session = self.model.wait_for_session(number, PATIENCE).await;
        session.ok_or_else(|| format!("the model was not dialled for session {number}"))
    }

    /// Waits until a session speaks; gives the moment of the call.
    async fn answers(&self, session: &Session) -> Result<u64, String> {
        let first_audio = |one: &Session| {
            let responses = one.responses();
            responses.iter().find_map(|response| response.first_audio)
        };
        session
            .until(PATIENCE, |one| first_audio(one).is_some())
            .await;
        match first_audio(session) {
            Some(moment) => Ok(self.prompter.ms_of(moment)),
            None => Err(format!("session {} says nothing", session.number())),
        }
    }

    /// The conversation went on only if the session knows it.
    fn was_told(&self, rung: &mut FaultStep, session: &Session) {
        let first_words = speech::caller("hello").map_or("", |clip| clip.text);
        let told = session.replayed();
        let knows = told.iter().any(|item| item.text.contains(first_words));
        rung.needs("the session was told the conversation", knows);
        if knows {
            let length: usize = told.iter().map(|item| item.text.chars().count()).sum();
            rung.note(format!(
                "session {} was told the conversation in {length} characters",
                session.number()
            ));
        }
    }

    /// Greetings of all sessions together.
    fn greetings(&self) -> usize {
        let sessions = self.model.sessions();
        let responses = sessions.iter().flat_map(Session::responses);
        responses
            .filter(|response| response.source == Source::Greeting)
            .count()
    }

    /// What a session said in an answer from that part of the script, in quotes.
    fn first_words(&self, number: usize, source: Source) -> String {
        let said = self.model.session(number).is_some_and(|session| {
            let responses = session.responses();
            responses.iter().any(|response| response.source == source)
        });
        let script = script();
        let step = match source {
            Source::Turn(turn) => script.turns.get(turn),
            Source::Unprompted => Some(&script.unprompted),
            _ => None,
        };
        let clip = step
            .and_then(|step| step.says.first())
            .and_then(|say| speech::receptionist(say.clip.as_deref()?));
        match clip {
            Some(clip) if said => format!("“{}”", shortened(clip.text)),
            _ => "something else".to_owned(),
        }
    }

    fn say_so(&self, rung: &FaultStep) {
        for note in rung.notes() {
            self.show.title(&format!("  {note}"));
        }
    }
}

/// The first sentence, or the beginning of it.
fn shortened(text: &str) -> &str {
    let sentence = text.find(['.', '?', '!']).map_or(text, |end| &text[..=end]);
    match sentence.char_indices().nth(60) {
        Some((end, _)) => &sentence[..end],
        None => sentence,
    }
}
