//! Answers: asked for one at a time, again when they fail.

use std::time::Duration;

use super::Call;
use super::closing::Farewell;
use super::effect::{Peer, Report};
use super::floor::{Around, Ending, Over, Retry, Session, Unheard};
use super::outcome::EndReason;
use super::timers::Timer;
use crate::audio::AudioFormat;
use crate::ids::ModelId;
use crate::model::command::ModelCommand;
use crate::model::event::{ResponseDone, ResponseStatus};
use crate::model::link::Link;
use crate::model::openai::errors::{Class, classify};
use crate::model::openai::prices;
use crate::model::responses::{ResponseRequest, Verdict};
use crate::time::Time;

/// Times an answer that was cut by the token limit is continued.
const CONTINUATIONS: u8 = 2;

const CONTINUE: &str = "Your answer was cut off in the middle. Go on exactly where it stopped and come to its end in \
                        one short sentence.";

/// What the caller hears in place of what the provider's filter cut.
const CLOSING: &str = "Say exactly this, in the language of the caller, and nothing else: \"I am sorry, I cannot say \
                       more about that. What else can I do for you?\"";

impl Call {
    /// What the floor needs to know besides the turn.
    pub(super) fn around(&self, now: Time) -> Around {
        let session = match &self.link {
            Link::Ready(_) => Session::Ready,
            Link::Dialling { .. } | Link::Configuring(_) | Link::Waiting => Session::Awaited,
            Link::Lost => Session::Lost,
        };
        let unheard = match (self.has_more_to_say(now), self.is_filled()) {
            (false, _) => Unheard::Nothing,
            (true, true) => Unheard::Filler,
            (true, false) => Unheard::Words,
        };
        Around {
            session,
            unheard,
            tool_runs: self.runs.awaits(),
            ends: self.closing.is_pending(),
        }
    }

    /// Asks for an answer, now or after the running one.
    pub(super) fn ask_for_answer(&mut self, instructions: Option<String>) {
        let command = self.floor.ask(ResponseRequest { instructions });
        self.ask_model_if(command);
    }

    /// Asks this of the model, if it is anything.
    pub(super) fn ask_model_if(&mut self, command: Option<ModelCommand>) {
        if let Some(command) = command {
            self.ask_model(command);
        }
    }

    /// The wait before a failed answer is over.
    pub(super) fn on_retry(&mut self) {
        let command = self.floor.retry_due();
        self.ask_model_if(command);
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
        let command = self.floor.started(response);
        self.ask_model_if(command);
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
        let wanted = self.floor.verdict(&done.id) == Verdict::Play;
        // A message without a byte of audio was not heard, whatever its parts are called.
        let spoke = self.floor.spoke(&done.id) || (!wanted && done.spoken_items > 0);
        let words = self.floor.request_of(&done.id).instructions;
        let calls = self.take_untold_calls(&mut done, now);
        let class = if let ResponseStatus::Failed(error) = &done.status {
            Some(classify(error))
        } else {
            None
        };
        let ending = self.ending_of(&done, class, wanted, spoke || calls);
        let over = Over {
            response: &done.id,
            ending,
            awaits_tools: self.runs.answers_of(&done.id),
            tool_words: self.tool_words(),
            is_followed: self.closing.is_said_in(&done.id) && !spoke,
        };
        let (next, retry) = self.floor.done(over);
        if let Some(Retry::After(wait)) = retry {
            self.retry_after(wait, now);
        }
        self.hand_in_answers();
        self.ask_model_if(next);
        self.refuse_approvals();
        self.on_farewell_done(&done.id, spoke, &done.status, now);
        if class.is_none() {
            self.sayings.answered(words.as_deref());
        }
        match done.status {
            ResponseStatus::Completed if done.server_calls > 0 => {
                if wanted {
                    self.on_server_calls(done.server_calls);
                }
            }
            ResponseStatus::Completed if spoke || calls => self.floor.all_is_well(),
            ResponseStatus::Completed if !wanted => {
                self.violation(Peer::Model, "empty_response");
            }
            ResponseStatus::Failed(error) => {
                self.report(Report::ModelComplains(Box::new(error)));
                self.on_answer_failed(class, retry, now);
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

    /// How a response ended, for the answer that follows it; what was not said of it is told.
    fn ending_of(
        &mut self,
        done: &ResponseDone,
        class: Option<Class>,
        wanted: bool,
        brought_something: bool,
    ) -> Ending {
        if !wanted {
            return Ending::Whole;
        }
        match (&done.status, class) {
            (_, Some(Class::Transient(wait))) => Ending::Failed(wait),
            (_, Some(Class::Benign | Class::AlreadyResponding | Class::Configuration)) => {
                Ending::Failed(Duration::ZERO)
            }
            (ResponseStatus::Completed, _) if done.server_calls == 0 && !brought_something => {
                self.violation(Peer::Model, "empty_response");
                if let Some(item) = done.last_message.clone() {
                    // The model must not take it for said.
                    self.ask_model(ModelCommand::Delete { item });
                }
                Ending::Empty
            }
            (ResponseStatus::OutOfTokens, _) => {
                self.violation(Peer::Model, "out_of_tokens");
                self.on_answer_cut(done.last_message.as_ref(), "tokens");
                Ending::Cut(ResponseRequest::to(CONTINUE), CONTINUATIONS)
            }
            (ResponseStatus::Filtered, _) => {
                self.violation(Peer::Model, "filtered_response");
                self.on_answer_cut(done.last_message.as_ref(), "filter");
                Ending::Cut(ResponseRequest::to(CLOSING), 1)
            }
            (
                ResponseStatus::Completed
                | ResponseStatus::Interrupted
                | ResponseStatus::Cancelled
                | ResponseStatus::Failed(_)
                | ResponseStatus::Other,
                _,
            ) => Ending::Whole,
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
        if is_reached && !self.closing.is_pending() && !self.is_over() {
            self.leave(EndReason::BudgetReached, Farewell::Unsaid, now);
        }
    }

    fn on_answer_failed(&mut self, class: Option<Class>, retry: Option<Retry>, now: Time) {
        match class {
            Some(Class::Fatal) => self.lose_model("refused", true, now),
            Some(Class::SessionOver) => self.lose_model("session_over", false, now),
            Some(
                Class::Transient(_)
                | Class::Benign
                | Class::AlreadyResponding
                | Class::Configuration,
            )
            | None => {
                if retry == Some(Retry::TooMany) {
                    self.lose_model("answers_fail", false, now);
                }
            }
        }
    }

    /// A request failed: it is made again, or another session is opened.
    pub(super) fn answer_again(&mut self, retry: Retry, now: Time) {
        match retry {
            Retry::After(wait) => self.retry_after(wait, now),
            Retry::TooMany => self.lose_model("answers_fail", false, now),
        }
    }

    fn retry_after(&mut self, wait: Duration, now: Time) {
        let wait = self.backoff.spread(wait);
        self.timers.set(Timer::Retry, now + wait);
    }
}
