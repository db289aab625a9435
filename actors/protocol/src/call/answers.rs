//! Answers: asked for one at a time, again when they fail.

use std::time::Duration;

use super::Call;
use super::closing::Farewell;
use super::effect::{Peer, Report};
use super::outcome::EndReason;
use super::timers::Timer;
use crate::audio::AudioFormat;
use crate::ids::ModelId;
use crate::model::command::ModelCommand;
use crate::model::event::{ModelError, ResponseDone, ResponseStatus};
use crate::model::link::Link;
use crate::model::openai::errors::{Class, classify};
use crate::model::openai::prices;
use crate::model::responses::{ResponseRequest, Verdict};
use crate::time::Time;

/// Times a failed answer is asked for again before the session is given up.
const RETRIES: u32 = 3;

/// Times an answer that was cut by the token limit is continued.
const CONTINUATIONS: u8 = 2;

const CONTINUE: &str = "Your answer was cut off in the middle. Go on exactly where it stopped and come to its end in \
                        one short sentence.";

/// What the caller hears in place of what the provider's filter cut.
const CLOSING: &str = "Say exactly this, in the language of the caller, and nothing else: \"I am sorry, I cannot say \
                       more about that. What else can I do for you?\"";

/// An answer that failed and is to be asked for again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) request: ResponseRequest,
    /// The response that failed. Outputs of tools it called come before the answer.
    pub(super) after: Option<ModelId>,
}

impl Call {
    /// Asks for an answer, now or after the running one.
    pub(super) fn ask_for_answer(&mut self, instructions: Option<String>) {
        if let Some(command) = self.responses.ask(ResponseRequest { instructions }) {
            self.ask_model(command);
        }
    }

    /// The wait before a failed answer is over.
    pub(super) fn on_retry(&mut self) {
        if !self.retry_waits_for_tools()
            && let Some(again) = self.retry.take()
        {
            self.ask_for_answer(again.request.instructions);
        }
    }

    /// Whether an answer is to be asked for again that called tools, and their outputs are not all there.
    pub(super) fn retry_waits_for_tools(&self) -> bool {
        let after = self.retry.as_ref().and_then(|again| again.after.as_ref());
        after.is_some_and(|response| self.runs.asking.contains(response))
    }

    pub(super) fn on_response_started(
        &mut self,
        response: &ModelId,
        format: Option<AudioFormat>,
        now: Time,
    ) {
        self.timers.stop(Timer::Return);
        // A server runs one at a time: those before are over, whether it said so or not.
        self.finish_audio(|other| other != response, now);
        if let Some(command) = self.responses.started(response) {
            self.ask_model(command);
        }
        self.tools_answered_in(response);
        self.hand_in_answers();
        match format {
            None | Some(AudioFormat::Mulaw) => {}
            Some(AudioFormat::Pcm24k) => {
                if let Link::Ready(session) = &mut self.link
                    && !session.guard.is_transcoding()
                {
                    session.guard.declared(AudioFormat::Pcm24k);
                    self.found_linear();
                }
            }
            Some(AudioFormat::Other) => {
                self.violation(Peer::Model, "wrong_format");
                self.lose_model("wrong_format", false, now);
            }
        }
    }

    pub(super) fn on_response_done(&mut self, mut done: ResponseDone, now: Time) {
        if let Some(usage) = done.usage {
            let dollars = prices::dollars(&self.setup.agent.model, &usage);
            self.tally.cost_usd += dollars;
            self.report(Report::Used { usage, dollars });
        }
        // Whatever it brought: the model is there.
        self.timers.stop(Timer::Answer);
        self.finish_audio(|other| *other == done.id, now);
        // Of a response the caller interrupted, or that never began, nothing is missed.
        let wanted = self.responses.verdict(&done.id) == Verdict::Play;
        // A message without a byte of audio was not heard, whatever its parts are called.
        let spoke = self.responses.spoke(&done.id) || (!wanted && done.spoken_items > 0);
        let mut wish = self
            .responses
            .wish_of(&done.id)
            .unwrap_or(ResponseRequest { instructions: None });
        let words = wish.instructions.clone();
        let calls = self.take_untold_calls(&mut done, now);
        let wait = wait_of_retry(&done.status).filter(|_| wanted);
        if wait.is_some() {
            // The answer that is asked for again is also the one to its tools, and the one raised meanwhile.
            if self.responses.is_running(&done.id) {
                wish = self.responses.join(wish);
            }
        } else {
            if wanted {
                self.mend_what_was_not_said(&done, &wish, spoke, calls);
            }
            self.join_tool_answer(&done.id);
        }
        let next = self.responses.done(&done.id);
        self.hand_in_answers();
        if let Some(command) = next {
            self.ask_model(command);
        }
        self.refuse_approvals();
        self.on_farewell_done(&done.id, spoke, &done.status, now);
        if !matches!(done.status, ResponseStatus::Failed(_)) {
            self.sayings.answered(words.as_deref());
        }
        match done.status {
            ResponseStatus::Completed if done.server_calls > 0 => {
                if wanted {
                    self.on_server_calls(done.server_calls);
                }
            }
            ResponseStatus::Completed if spoke || calls => {
                self.failed_in_a_row = 0;
                self.mended_in_a_row = 0;
            }
            ResponseStatus::Failed(error) => {
                let after = Some(done.id);
                let request = wish;
                let again = wait.map(|wait| (Again { request, after }, wait));
                self.on_answer_failed(error, again, now);
            }
            ResponseStatus::Completed if !wanted => {
                self.violation(Peer::Model, "empty_response");
            }
            ResponseStatus::Completed
            | ResponseStatus::OutOfTokens
            | ResponseStatus::Interrupted
            | ResponseStatus::Cancelled
            | ResponseStatus::Filtered
            | ResponseStatus::Other => {}
        }
        self.watch_budget(now);
    }

    /// A response is about to be done that is empty or was cut: what it lacks is asked for after it, unless an answer
    /// follows anyway.
    fn mend_what_was_not_said(
        &mut self,
        done: &ResponseDone,
        wish: &ResponseRequest,
        spoke: bool,
        calls: bool,
    ) {
        // The answer to its tools, the one raised meanwhile, or the farewell it should have said.
        let says_goodbye = self
            .closing
            .as_ref()
            .is_some_and(|closing| closing.is_said_in(&done.id));
        let is_followed = self.runs.asking.contains(&done.id)
            || self.responses.owes()
            || (says_goodbye && !spoke);
        match done.status {
            ResponseStatus::Completed if done.server_calls == 0 && !spoke && !calls => {
                self.violation(Peer::Model, "empty_response");
                if let Some(item) = done.last_message.clone() {
                    // The model must not take it for said.
                    self.ask_model(ModelCommand::Delete { item });
                }
                self.mend(wish.clone(), 1);
            }
            ResponseStatus::OutOfTokens => {
                self.violation(Peer::Model, "out_of_tokens");
                self.on_answer_cut(done.last_message.as_ref(), "tokens");
                if !is_followed {
                    self.mend(ResponseRequest::to(CONTINUE), CONTINUATIONS);
                }
            }
            ResponseStatus::Filtered => {
                self.violation(Peer::Model, "filtered_response");
                self.on_answer_cut(done.last_message.as_ref(), "filter");
                if !is_followed {
                    self.mend(ResponseRequest::to(CLOSING), 1);
                }
            }
            ResponseStatus::Completed
            | ResponseStatus::Interrupted
            | ResponseStatus::Cancelled
            | ResponseStatus::Failed(_)
            | ResponseStatus::Other => {}
        }
    }

    /// The server stopped in the middle of an answer: its turn says so, and so does the log.
    fn on_answer_cut(&mut self, item: Option<&ModelId>, why: &'static str) {
        let item = item.cloned();
        self.conversation.unfinished(item.as_ref(), why);
        self.report(Report::AnswerCut { item, why });
    }

    /// A call that has cost as much as it may is let be heard out, and goes to the fallback. One that is about to end
    /// anyway does so; if it is kept after all, its next answer brings it here again.
    fn watch_budget(&mut self, now: Time) {
        let most = self.setup.agent.max_cost_usd;
        let is_reached = most.is_some_and(|most| self.tally.cost_usd >= most);
        if is_reached && self.closing.is_none() && !self.is_over() {
            self.leave(EndReason::BudgetReached, Farewell::Unsaid, now);
        }
    }

    /// An answer was empty or cut: another is asked for, at most so many times in a row.
    fn mend(&mut self, wish: ResponseRequest, at_most: u8) {
        if self.mended_in_a_row < at_most {
            self.mended_in_a_row += 1;
            self.ask_for_answer(wish.instructions);
        }
    }

    fn on_answer_failed(&mut self, error: ModelError, again: Option<(Again, Duration)>, now: Time) {
        let class = classify(&error);
        self.report(Report::ModelComplains(Box::new(error)));
        match class {
            Class::Fatal => self.lose_model("refused", true, now),
            Class::SessionOver => self.lose_model("session_over", false, now),
            Class::Transient(_)
            | Class::Benign
            | Class::AlreadyResponding
            | Class::Configuration => {
                if let Some((again, wait)) = again {
                    self.answer_again(again, wait, now);
                }
            }
        }
    }

    /// An answer failed: ask again after `wait` or a little later, a bounded number of times, then open another session.
    pub(super) fn answer_again(&mut self, again: Again, wait: Duration, now: Time) {
        self.failed_in_a_row += 1;
        if self.failed_in_a_row > RETRIES {
            self.failed_in_a_row = 0;
            self.lose_model("answers_fail", false, now);
            return;
        }
        self.retry = Some(again);
        let wait = self.backoff.spread(wait);
        self.timers.set(Timer::Retry, now + wait);
    }
}

/// How long to wait before a response that ended so is asked for again; `None` if it is not.
fn wait_of_retry(status: &ResponseStatus) -> Option<Duration> {
    let ResponseStatus::Failed(error) = status else {
        return None;
    };
    match classify(error) {
        Class::Transient(wait) => Some(wait),
        Class::Benign | Class::AlreadyResponding | Class::Configuration => Some(Duration::ZERO),
        Class::Fatal | Class::SessionOver => None,
    }
}
