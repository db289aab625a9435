//! Whose turn it is: who speaks, who is owed an answer, what is to be asked again, what nobody may have heard.
//!
//! The floor takes what happens in the conversation and gives back what is to be asked of the model. It knows no phone,
//! no timer and no session but the sequence of its responses. What else counts in the moment of a question is handed in
//! as [`Around`].
//!
//! # The questions
//!
//! Each place asks the question of its own that is named here. `no` and `yes` are what its answer needs, `–` is what it
//! does not look at.
//!
//! | question, and who asks | caller speaks | answer under way | answer owed | session | audio unheard | tool runs | ending | why it differs |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | [`may_begin`](Floor::may_begin): operator's words, news of a person | no | no | no | ready | – | – | no | They follow what is being heard: the ledger plays one after the other. |
//! | [`is_pause`](Floor::is_pause): the next session | no | no | no | ready | none | no | no | Whatever is under way in a session is lost with it. |
//! | [`is_quiet`](Floor::is_quiet): silence | no | no | – | ready | none | – | – | An answer that never comes must not keep the agent quiet for ever. A tool has a filler of its own. |
//! | [`caller_waits`](Floor::caller_waits): filler, a silent model | no | any of the two, or a tool, or no session yet | | not lost | filler alone | | no | Filler is nobody's word: who hears it still waits. |
//! | [`is_said_out`](Floor::is_said_out): the farewell | no | no, with a session | no, with a session | – | none | no, with a session | – | From a session that is gone nothing more comes; what is here is heard to its end. |
//! | [`is_attended`](Floor::is_attended): a caller who came back | any | any | – | – | any | any | any | One of them is enough. An answer that is owed is no sign of life: it is why the caller is asked. |
//! | [`promises_word`](Floor::promises_word): a phone leg that is lost | – | runs or is asked | any | – | own | – | – | What failed is given up with the stream; the caller is asked when they are back. |
//! | [`is_answering`](Floor::is_answering): protected answers | – | yes | – | – | own | – | – | The caller may speak all the while. |
//!
//! "An answer under way" is one that runs, was asked for, or failed and will be asked for again.
//!
//! # One answer to a turn
//!
//! What is still to be asked for is in three places, and each of them gives way to the one before it: an answer that
//! failed ([`retry`](Floor::retry)), one that was raised while another ran (in [`Responses`]), and one to tools whose
//! outputs are not all in ([`tool_answers`](Floor::tool_answers)). An answer without a purpose of its own joins what is
//! there already, so that no turn has two. Only this folder can ask for one.

mod answers;
#[cfg(test)]
mod tests;

use crate::ids::ModelId;
use crate::model::command::ModelCommand;
use crate::model::responses::{ResponseRequest, Responses, Verdict};
use crate::time::Time;

pub(super) use answers::{Ending, Over, Retry};

/// Who speaks, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The caller speaks.
    Caller,
    /// An answer of the agent is under way.
    Agent,
    /// Nobody.
    Nobody,
}

/// What counts for a question besides the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Around {
    /// Whether there is a session that could answer.
    pub(super) session: Session,
    /// What the caller has left to hear.
    pub(super) unheard: Unheard,
    /// Whether the caller waits for a tool.
    pub(super) tool_runs: bool,
    /// Whether the last words are being said.
    pub(super) ends: bool,
}

/// Whether there is a session that could answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// There is one.
    Ready,
    /// There will be one.
    Awaited,
    /// There will be none.
    Lost,
}

/// What the caller has left to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unheard {
    /// Nothing.
    Nothing,
    /// What is played while they wait.
    Filler,
    /// The agent's own words.
    Words,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Speaks,
    /// `since` is when they fell silent, until the answer leaves.
    Silent {
        since: Option<Time>,
    },
}

/// Whose turn it is.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Floor {
    /// The responses of the session in use.
    responses: Responses,
    caller: Caller,
    /// The caller spoke last and was not answered.
    owes_answer: bool,
    /// The session before was stuck: the caller may have spoken to nobody.
    unheard: bool,
    /// A failed response, to be asked for again.
    retry: Option<answers::Again>,
    /// Responses whose tool calls want an answer, when all of them have their outputs.
    tool_answers: Vec<ModelId>,
    failed_in_a_row: u32,
    /// Answers asked for because the one before was empty or cut.
    mended_in_a_row: u8,
    /// The response the caller spoke over to the end of a turn: what it still says is no answer to that.
    talked_over: Option<ModelId>,
    /// Responses of sessions that are gone of which the caller still hears something: no session can be told of them.
    foreign: Vec<ModelId>,
}

impl Default for Floor {
    fn default() -> Self {
        Self {
            responses: Responses::default(),
            caller: Caller::Silent { since: None },
            owes_answer: false,
            unheard: false,
            retry: None,
            tool_answers: Vec::new(),
            failed_in_a_row: 0,
            mended_in_a_row: 0,
            talked_over: None,
            foreign: Vec::new(),
        }
    }
}

/// What is asked of it.
impl Floor {
    /// Who speaks, or is about to.
    pub(super) fn who_has_it(&self) -> Holder {
        match self.caller {
            Caller::Speaks => Holder::Caller,
            Caller::Silent { .. } if self.is_answering() => Holder::Agent,
            Caller::Silent { .. } => Holder::Nobody,
        }
    }

    /// Whether the caller is owed an answer, be it under way or still to be asked for.
    pub(super) fn owed(&self) -> bool {
        self.is_answering() || self.owes_answer
    }

    /// Whether nobody speaks, is about to, or waits for an answer.
    pub(super) fn is_free(&self) -> bool {
        self.who_has_it() == Holder::Nobody && !self.owes_answer
    }

    /// Whether an answer runs, was asked for, or is to be asked for again.
    pub(super) fn is_answering(&self) -> bool {
        self.responses.is_busy() || self.retry.is_some()
    }

    /// Whether an answer of nobody's asking may begin.
    pub(super) fn may_begin(&self, around: Around) -> bool {
        around.session == Session::Ready && !around.ends && self.is_free()
    }

    /// Whether nothing at all is under way.
    pub(super) fn is_pause(&self, around: Around) -> bool {
        self.may_begin(around) && !around.tool_runs && around.unheard == Unheard::Nothing
    }

    /// Whether the line is quiet, and the agent could break the silence.
    pub(super) fn is_quiet(&self, around: Around) -> bool {
        around.session == Session::Ready
            && self.who_has_it() == Holder::Nobody
            && around.unheard == Unheard::Nothing
    }

    /// Whether the caller hears nothing of the agent, and it is the agent's turn.
    pub(super) fn caller_waits(&self, around: Around) -> bool {
        if self.caller_speaks() || around.ends || around.unheard == Unheard::Words {
            return false;
        }
        match around.session {
            Session::Ready => self.owed() || around.tool_runs,
            Session::Awaited => true,
            Session::Lost => false,
        }
    }

    /// Whether the caller has heard all that comes, and says nothing to it.
    pub(super) fn is_said_out(&self, around: Around) -> bool {
        let more_comes = around.session == Session::Ready && (self.owed() || around.tool_runs);
        !more_comes && !self.caller_speaks() && around.unheard == Unheard::Nothing
    }

    /// Whether somebody speaks, or something goes on for the caller.
    pub(super) fn is_attended(&self, around: Around) -> bool {
        self.who_has_it() != Holder::Nobody
            || around.unheard != Unheard::Nothing
            || around.tool_runs
            || around.ends
    }

    /// Whether the caller misses a word when the line breaks now.
    pub(super) fn promises_word(&self, around: Around) -> bool {
        around.unheard == Unheard::Words || self.responses.is_busy() || self.owes_answer
    }

    /// Whether the caller speaks.
    pub(super) const fn caller_speaks(&self) -> bool {
        matches!(self.caller, Caller::Speaks)
    }

    /// Since when the caller waits in silence for an answer of which nothing has left.
    pub(super) const fn silent_since(&self) -> Option<Time> {
        match self.caller {
            Caller::Speaks => None,
            Caller::Silent { since } => since,
        }
    }

    /// Whether the caller spoke last and was not answered.
    pub(super) const fn owes_answer(&self) -> bool {
        self.owes_answer
    }

    /// Whether the caller may have spoken to nobody.
    pub(super) const fn may_be_unheard(&self) -> bool {
        self.unheard
    }

    /// Whether this response runs, wanted or not.
    pub(super) fn is_running(&self, response: &ModelId) -> bool {
        self.responses.is_running(response)
    }

    /// What to do with audio of this response.
    pub(super) fn verdict(&self, response: &ModelId) -> Verdict {
        self.responses.verdict(response)
    }

    /// Whether audio of this response went to the caller.
    pub(super) fn spoke(&self, response: &ModelId) -> bool {
        self.responses.spoke(response)
    }

    /// What the response is for that was asked for and is not done, where that is known.
    pub(super) fn under_way(&self) -> Option<&ResponseRequest> {
        self.responses.under_way()
    }

    /// What is asked for, or will be again.
    pub(super) fn requests(&self) -> impl Iterator<Item = &ResponseRequest> {
        let again = self.retry.as_ref().map(|again| &again.request);
        self.responses.under_way().into_iter().chain(again)
    }

    /// Whether the running response is the one that was asked for with these words.
    pub(super) fn serves(&self, instructions: &str) -> bool {
        self.responses.serves(instructions)
    }

    /// Whether audio of a response may answer what the caller said last.
    pub(super) fn may_answer(&self, response: &ModelId) -> bool {
        self.talked_over.as_ref() != Some(response)
    }

    /// Whether a response is of a session that is gone.
    pub(super) fn is_foreign(&self, response: &ModelId) -> bool {
        self.foreign.contains(response)
    }
}

/// What happens to the turn.
impl Floor {
    /// The caller begins to speak.
    pub(super) const fn caller_starts(&mut self) {
        self.caller = Caller::Speaks;
        self.mended_in_a_row = 0;
    }

    /// The caller falls silent. What was said of a protected answer goes on, and is none to this; the wait for one is
    /// not measured by it.
    pub(super) fn caller_stops(&mut self, is_protected: bool, now: Time) {
        self.owes_answer = true;
        if is_protected {
            self.hush();
            self.talked_over = self.responses.last_spoken().cloned();
        } else {
            self.caller = Caller::Silent { since: Some(now) };
        }
    }

    /// The caller's turn is complete.
    pub(super) const fn caller_turn(&mut self) {
        self.hush();
    }

    const fn hush(&mut self) {
        if self.caller_speaks() {
            self.caller = Caller::Silent { since: None };
        }
    }

    /// The caller is owed an answer.
    pub(super) const fn owe(&mut self) {
        self.owes_answer = true;
    }

    /// The caller may have spoken to nobody: the next session speaks first, or the two would wait for each other.
    pub(super) const fn nobody_heard(&mut self) {
        self.unheard = true;
        self.owes_answer = true;
    }

    /// A session is about to be told what nobody may have heard. Whether there is such a thing.
    pub(super) const fn take_unheard(&mut self) -> bool {
        std::mem::replace(&mut self.unheard, false)
    }

    /// Audio of a response begins.
    pub(super) fn speaks(&mut self, response: &ModelId) {
        self.responses.speaks(response);
    }

    /// Audio of a response goes to the caller.
    pub(super) fn answered_by(&mut self, response: &ModelId) {
        if self.may_answer(response) {
            self.owes_answer = false;
        }
        self.failed_in_a_row = 0;
    }

    /// Audio of the agent has left: the caller's wait, if there was one, is over. Since when they waited.
    pub(super) const fn audio_left(&mut self) -> Option<Time> {
        match &mut self.caller {
            Caller::Speaks => None,
            Caller::Silent { since } => since.take(),
        }
    }

    /// The caller must not hear this response any more.
    pub(super) fn discard(&mut self, response: &ModelId) {
        self.responses.discard(response);
    }

    /// What was still to be said is not. `server_cancels` says that the running response needs no word of ours to stop.
    pub(super) fn cancel(&mut self, server_cancels: bool) -> Option<ModelCommand> {
        self.retry = None;
        self.responses.interrupt(server_cancels)
    }

    /// The session is lost in the middle of what it does: what is still to come of the caller's turn may be too short for
    /// another one to take up.
    pub(super) const fn lost_session(&mut self) {
        self.owes_answer |= self.caller_speaks();
    }

    /// Nothing more is heard of the session in use. What it was to answer is owed, if the agent `was_heard` before.
    pub(super) fn break_off(&mut self, was_heard: bool) {
        self.owes_answer |= self.responses.is_busy() && was_heard;
        self.retry = None;
        self.hush();
    }

    /// Responses of which the caller still hears something, after their session is gone.
    pub(super) fn still_playing(&mut self, responses: impl Iterator<Item = ModelId>) {
        self.foreign = responses.collect();
    }

    /// Another session begins.
    pub(super) fn begin_session(&mut self) {
        self.responses = Responses::default();
        self.hush();
    }

    /// The call is built anew after a fault, on the session it had.
    pub(super) fn rebuild(&mut self) {
        self.retry = None;
        self.failed_in_a_row = 0;
    }

    /// What runs and what was asked for is given up, in a call that is built anew.
    pub(super) fn forget_responses(&mut self) {
        self.responses = Responses::default();
    }
}
