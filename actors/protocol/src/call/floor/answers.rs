//! Answers: asked for one at a time, again when they fail or say nothing, and once after all outputs of their tools.

use std::time::Duration;

use super::Floor;
use crate::ids::ModelId;
use crate::model::command::ModelCommand;
use crate::model::responses::{ResponseRequest, Verdict};

/// Retries of failed answers in a row; then another session is tried.
const RETRIES: u32 = 3;

/// An answer that failed and is to be asked for again.
#[derive(Clone, Debug)]
pub(super) struct Again {
    pub(super) request: ResponseRequest,
    /// The response that failed. Outputs of tools it called come before the answer.
    after: Option<ModelId>,
    /// The wait before it is over.
    is_due: bool,
}

/// A response that is over.
#[derive(Debug)]
pub(in crate::call) struct Over<'a> {
    pub(in crate::call) response: &'a ModelId,
    pub(in crate::call) ending: Ending,
    /// Whether a tool it called still runs.
    pub(in crate::call) awaits_tools: bool,
    /// What an answer to its tools is for.
    pub(in crate::call) tool_words: Option<String>,
    /// Whether words are asked for that it should have said.
    pub(in crate::call) is_followed: bool,
}

/// How a response ended.
#[derive(Debug)]
pub(in crate::call) enum Ending {
    /// It said something or called tools, or need not have.
    Whole,
    /// The caller heard nothing of it: it is asked for once more.
    Empty,
    /// It stopped in the middle. This is asked for, unless an answer follows anyway, at most so many times in a row.
    Cut(ResponseRequest, u8),
    /// It failed, and is asked for again after this wait, or a little later.
    Failed(Duration),
}

/// When a failed answer is asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::call) enum Retry {
    /// After this wait, or a little later.
    After(Duration),
    /// Not in this session: too many have failed.
    TooMany,
}

impl Floor {
    /// Asks for an answer, now or after the running one. One without a purpose of its own is the one that failed and will
    /// be asked for again.
    pub(in crate::call) fn ask(&mut self, request: ResponseRequest) -> Option<ModelCommand> {
        if request.instructions.is_none() && self.retry.is_some() {
            return None;
        }
        self.responses.ask(request)
    }

    /// The server has begun a response.
    pub(in crate::call) fn started(&mut self, response: &ModelId) -> Option<ModelCommand> {
        self.responses.started(response)
    }

    /// What a running response was asked for, if we asked for it.
    pub(in crate::call) fn request_of(&self, response: &ModelId) -> ResponseRequest {
        let known = self.responses.wish_of(response);
        known.unwrap_or(ResponseRequest { instructions: None })
    }

    /// A response is over. What is to follow it is one answer: to what it did not say, to its tools if their outputs
    /// are in, and to what was raised meanwhile. Says what is asked for now, and when a failed one is.
    pub(in crate::call) fn done(
        &mut self,
        over: Over<'_>,
    ) -> (Option<ModelCommand>, Option<Retry>) {
        let response = over.response;
        // Of a response the caller interrupted, or that never began, nothing is missed.
        let ending = if self.verdict(response) == Verdict::Play {
            over.ending
        } else {
            Ending::Whole
        };
        let is_followed =
            over.is_followed || self.tool_answers.contains(response) || self.responses.owes();
        let mut request = self.request_of(response);
        let (asked, retry) = match ending {
            Ending::Failed(wait) => {
                // The answer that is asked for again is also the one to its tools, and the one raised meanwhile.
                if self.is_running(response) {
                    request = self.responses.join(request);
                }
                (None, Some(self.fail(request, Some(response), wait)))
            }
            Ending::Empty => (self.mend(request, 1), None),
            Ending::Cut(then, at_most) if !is_followed => (self.mend(then, at_most), None),
            Ending::Cut(..) | Ending::Whole => (None, None),
        };
        let asked = match retry {
            Some(_) => asked,
            None => asked.or(self.join_tools(response, over.awaits_tools, over.tool_words)),
        };
        (asked.or(self.responses.done(response)), retry)
    }

    /// A request met a server in trouble: it is made again after `wait` or a little later.
    pub(in crate::call) fn fail(
        &mut self,
        request: ResponseRequest,
        after: Option<&ModelId>,
        wait: Duration,
    ) -> Retry {
        self.failed_in_a_row += 1;
        if self.failed_in_a_row > RETRIES {
            self.failed_in_a_row = 0;
            return Retry::TooMany;
        }
        self.retry = Some(Again {
            request,
            after: after.cloned(),
            is_due: false,
        });
        Retry::After(wait)
    }

    /// The wait before a failed answer is over.
    pub(in crate::call) fn retry_due(&mut self) -> Option<ModelCommand> {
        if let Some(again) = &mut self.retry {
            again.is_due = true;
        }
        self.retry_if_due()
    }

    fn retry_if_due(&mut self) -> Option<ModelCommand> {
        if self.retry_waits_for_tools() {
            return None;
        }
        let again = self.retry.take_if(|again| again.is_due)?;
        self.responses.ask(again.request)
    }

    /// Whether an answer is to be asked for again that called tools, and their outputs are not all there.
    fn retry_waits_for_tools(&self) -> bool {
        let after = self.retry.as_ref().and_then(|again| again.after.as_ref());
        after.is_some_and(|response| self.tool_answers.contains(response))
    }

    /// An answer was empty or cut: another is asked for, at most so many times in a row.
    fn mend(&mut self, request: ResponseRequest, at_most: u8) -> Option<ModelCommand> {
        if self.mended_in_a_row >= at_most {
            return None;
        }
        self.mended_in_a_row += 1;
        self.ask(request)
    }

    /// Whether an answer failed and is to be asked for again.
    pub(in crate::call) const fn has_failed(&self) -> bool {
        self.retry.is_some()
    }

    /// The answer that failed is not asked for again.
    pub(in crate::call) fn give_up_retry(&mut self) {
        self.retry = None;
    }

    /// An answer was whole.
    pub(in crate::call) const fn all_is_well(&mut self) {
        self.failed_in_a_row = 0;
        self.mended_in_a_row = 0;
    }

    /// The server refused a request of ours: gives back what it was for, unless it is owed after the one that runs.
    pub(in crate::call) fn refused(
        &mut self,
        request: &str,
        running: bool,
    ) -> Option<ResponseRequest> {
        self.responses.refused(request, running)
    }

    /// The server was to answer the caller by itself, and could not while something went on that they did not cut.
    pub(in crate::call) fn owe_after_running(&mut self) {
        self.responses.owe(ResponseRequest { instructions: None });
    }

    /// Asks for what is owed, if nothing runs.
    pub(in crate::call) fn ask_owed(&mut self) -> Option<ModelCommand> {
        self.responses.ask_owed()
    }

    /// The server says nothing when it should: whatever was asked for is asked for once more.
    pub(in crate::call) fn ask_anew(&mut self) -> Option<ModelCommand> {
        self.responses.ask_anew()
    }

    // ---- answers to tools ----

    /// A response that made calls wants to be followed by an answer.
    pub(in crate::call) fn tools_called(&mut self, response: &ModelId) {
        if !self.tool_answers.contains(response) {
            self.tool_answers.push(response.clone());
        }
    }

    /// Outputs were handed in. Where all of a response are, the model is asked to go on, once, and with these words;
    /// `awaits` says of a response whether it still wants some.
    pub(in crate::call) fn tools_answered(
        &mut self,
        awaits: impl Fn(&ModelId) -> bool,
        words: Option<String>,
    ) -> Option<ModelCommand> {
        let before = self.tool_answers.len();
        let responses = &self.responses;
        self.tool_answers
            .retain(|response| responses.is_running(response) || awaits(response));
        if self.tool_answers.len() == before || self.caller_speaks() {
            // A caller who speaks is answered when they are done, with all of this before it.
            return None;
        }
        if self.retry.is_some() && !self.retry_waits_for_tools() {
            // The answer that failed is the one to these tools; the wait before it may not be over.
            return self.retry_if_due();
        }
        self.ask(ResponseRequest {
            instructions: words,
        })
    }

    /// Tools were run elsewhere, and the model has their outputs.
    pub(in crate::call) fn tools_ran(&mut self, words: Option<String>) -> Option<ModelCommand> {
        if self.caller_speaks() {
            return None;
        }
        self.ask(ResponseRequest {
            instructions: words,
        })
    }

    /// A running response is about to be done: if all its calls have their outputs, the answer to them and any other that
    /// is owed are one.
    fn join_tools(
        &mut self,
        response: &ModelId,
        awaits: bool,
        words: Option<String>,
    ) -> Option<ModelCommand> {
        if awaits || !self.tool_answers.contains(response) || !self.is_running(response) {
            return None;
        }
        self.tool_answers.retain(|asking| asking != response);
        self.tools_ran(words)
    }

    /// No session knows of the tool calls any more; whether some were not answered, the caller of `forget` says.
    pub(in crate::call) fn forget_tools(&mut self, unanswered: bool) {
        self.owes_answer |= unanswered || !self.tool_answers.is_empty();
        self.tool_answers.clear();
    }
}
