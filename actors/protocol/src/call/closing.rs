//! Coming to an end: goodbye and transfer.
//!
//! A call that is to end does so when the caller has heard the last word, not in the middle of one. If they speak into
//! a goodbye, the call goes on.

use std::time::Duration;

use super::Call;
use super::outcome::{Destination, EndReason};
use super::timers::Timer;
use super::tools::ToolCall;
use crate::ids::ModelId;
use crate::model::event::ResponseStatus;
use crate::model::link::Link;
use crate::time::Time;

/// A farewell that does not come is waited for no longer than this.
pub(super) const FAREWELL: Duration = Duration::from_secs(15);

/// A farewell that is being heard is waited for no longer than this.
const LONGEST_FAREWELL: Duration = Duration::from_secs(60);

/// Before somebody else takes the caller because the call has cost enough, what is said, and what a tool is about to
/// answer, is waited for no longer than this.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// An answer that is being heard then is waited for no longer than this.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// What is left of a farewell gets this much more time than it lasts, for the last mark to come back.
const LAST_MARK: Duration = Duration::from_secs(2);

pub(super) const SAY_GOODBYE: &str = "Say goodbye to the caller in one short, friendly sentence.";

const SAY_TRANSFER: &str =
    "Tell the caller in one short sentence that you are connecting them now.";

/// What a tool is told that would have ended the call without a word to the caller.
const SPEAK_FIRST: &str = r#"{"status":"the caller must hear a word first"}"#;

/// The last words of a call.
#[derive(Debug)]
pub(super) enum Farewell {
    /// The model is asked for them.
    Asked,
    /// The model has said them, or is about to, in the response that called a tool for it.
    Said(ToolCall),
    /// None but what is being said: the person who takes the call greets the caller.
    Unsaid,
}

/// A call that is about to end.
#[derive(Debug)]
pub(super) struct PendingEnd {
    reason: EndReason,
    since: Time,
    /// Whether the caller keeps the call by speaking.
    open: bool,
    /// The response in which the model should have said the last words, until it is done.
    saying: Option<ModelId>,
    /// The tool calls that asked for it; answered if the call goes on after all.
    tools: Vec<ToolCall>,
}

impl PendingEnd {
    /// Whether this response should say the last words.
    pub(super) fn is_said_in(&self, response: &ModelId) -> bool {
        self.saying.as_ref() == Some(response)
    }
}

/// How long last words are waited for, and how long while they are being heard.
const fn backoff(reason: EndReason) -> (Duration, Duration) {
    if matches!(reason, EndReason::BudgetReached) {
        (LAST_ANSWER, LONGEST_ANSWER)
    } else {
        (FAREWELL, LONGEST_FAREWELL)
    }
}

const fn words_for(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Transferred => SAY_TRANSFER,
        EndReason::CallerHungUp
        | EndReason::PhoneLost
        | EndReason::PhoneStalled
        | EndReason::NotPlayed
        | EndReason::StreamFailed
        | EndReason::NoStart
        | EndReason::MediaBeforeStart
        | EndReason::SecondStart
        | EndReason::BadIdentifiers
        | EndReason::ForeignCall
        | EndReason::UnsupportedFormat
        | EndReason::TooManyBadMessages
        | EndReason::SocketFault(_)
        | EndReason::ModelRefused
        | EndReason::ModelLost
        | EndReason::ModelSilent
        | EndReason::AgentHungUp
        | EndReason::CallerSilent
        | EndReason::NobodyThere
        | EndReason::OperatorHangUp
        | EndReason::CallOver
        | EndReason::GoneMeanwhile
        | EndReason::HandedOver
        | EndReason::Superseded
        | EndReason::Unconfirmed
        | EndReason::TooLong
        | EndReason::BudgetReached
        | EndReason::Fault
        | EndReason::Panicked => SAY_GOODBYE,
    }
}

impl Call {
    /// The call ends when the caller has heard the last words.
    pub(super) fn leave(&mut self, reason: EndReason, farewell: Farewell, now: Time) {
        self.stop_filler(now);
        let transfers = reason == EndReason::Transferred;
        if let Some(closing) = &mut self.closing {
            if transfers && closing.open {
                closing.reason = reason;
            }
            if let Farewell::Said(tool) = farewell {
                closing.tools.push(tool);
            }
            return;
        }
        let has_session = matches!(self.link, Link::Ready(_));
        if !has_session && !self.has_more_to_say(now) {
            self.end(reason, now);
            return;
        }
        let mut closing = PendingEnd {
            reason,
            since: now,
            // Noise does not keep a call, nor does a cough undo the key the caller pressed.
            open: matches!(reason, EndReason::AgentHungUp | EndReason::CallerSilent),
            saying: None,
            tools: Vec::new(),
        };
        match farewell {
            Farewell::Asked if has_session => {
                self.ask_for_answer(Some(words_for(reason).to_owned()));
            }
            Farewell::Asked | Farewell::Unsaid => {}
            Farewell::Said(tool) => {
                closing.open = true;
                closing.saying = Some(tool.response.clone());
                closing.tools.push(tool);
            }
        }
        self.closing = Some(closing);
        self.timers.set(Timer::Leave, now + backoff(reason).0);
    }

    /// Why the call is about to end.
    pub(super) fn leaving_for(&self) -> Option<EndReason> {
        self.closing.as_ref().map(|closing| closing.reason)
    }

    /// The model wants to end the call.
    pub(super) fn on_end_call(&mut self, tool: ToolCall, now: Time) {
        self.leave(EndReason::AgentHungUp, Farewell::Said(tool), now);
    }

    /// The caller goes to somebody else, once they have heard that they will.
    pub(super) fn transfer(&mut self, to: Destination, farewell: Farewell, now: Time) {
        // Where an operator or a key sends them is not the model's to change.
        if self.closing.as_ref().is_none_or(|closing| closing.open) {
            self.transfer_to = Some(to);
            self.briefing = None;
        }
        self.leave(EndReason::Transferred, farewell, now);
    }

    /// The same, with a person who was told of the call and waits.
    pub(super) fn transfer_keeping_briefing(&mut self, to: Destination) {
        self.transfer_to = Some(to);
    }

    /// The response is done in which the model should have said the last words: it may have forgotten them.
    pub(super) fn on_farewell_done(
        &mut self,
        response: &ModelId,
        spoke: bool,
        status: &ResponseStatus,
        now: Time,
    ) {
        let Some(closing) = &mut self.closing else {
            return;
        };
        if closing
            .saying
            .take_if(|saying| saying == response)
            .is_none()
        {
            return;
        }
        let words = words_for(closing.reason);
        // A response that failed is asked for again, with all that was in it.
        let is_retried = matches!(status, ResponseStatus::Failed(_));
        if spoke || is_retried || self.has_more_to_say(now) {
            return;
        }
        for tool in self.take_leaving_tools() {
            self.answer_tool(tool, SPEAK_FIRST.to_owned());
        }
        self.ask_for_answer(Some(words.to_owned()));
    }

    fn take_leaving_tools(&mut self) -> Vec<ToolCall> {
        self.closing
            .as_mut()
            .map(|closing| std::mem::take(&mut closing.tools))
            .unwrap_or_default()
    }

    /// The session is gone in which the farewell was to be said.
    pub(super) fn on_farewell_lost(&mut self) {
        if let Some(closing) = &mut self.closing {
            closing.saying = None;
            closing.tools.clear();
        }
    }

    /// The caller did something: a goodbye is no goodbye any more.
    pub(super) fn cancel_closing(&mut self) {
        self.stay_if(|closing| closing.open);
    }

    /// The caller was thought to be away and is not.
    pub(super) fn stay_with_somebody(&mut self) {
        self.stay_if(|closing| closing.reason == EndReason::NobodyThere);
    }

    /// The person who waited for the caller is gone.
    pub(super) fn stay_after_all(&mut self) {
        self.stay_if(|closing| closing.reason == EndReason::Transferred);
    }

    fn stay_if(&mut self, can_stay: impl FnOnce(&PendingEnd) -> bool) {
        let Some(closing) = self.closing.take_if(|closing| can_stay(closing)) else {
            return;
        };
        self.timers.stop(Timer::Leave);
        self.transfer_to = None;
        for tool in closing.tools {
            self.answer_that_caller_speaks(tool);
        }
    }

    /// Whether the caller has heard the last words.
    pub(super) fn is_farewell_heard(&self, closing: &PendingEnd, now: Time) -> bool {
        let is_being_said = closing.saying.is_some() && matches!(self.link, Link::Ready(_));
        !is_being_said && self.floor.is_said_out(self.around(now))
    }

    /// The farewell has been waited for long enough, unless it is being heard at this moment.
    pub(super) fn on_farewell_due(&mut self, now: Time) {
        let Some(closing) = &self.closing else {
            return;
        };
        let longest = closing.since + backoff(closing.reason).1;
        let left_ms = self
            .state
            .stream()
            .map_or(0, |stream| stream.playback.unheard_ms(now));
        if left_ms > 0 && now < longest {
            let heard = now + Duration::from_millis(left_ms) + LAST_MARK;
            self.timers.set(Timer::Leave, heard.min(longest));
            return;
        }
        self.finish_leaving(now);
    }

    /// Ends a call that was about to.
    pub(super) fn finish_leaving(&mut self, now: Time) {
        if let Some(closing) = self.closing.take() {
            self.end(closing.reason, now);
        }
    }

    /// Whether the caller has something left to hear.
    pub(super) fn has_more_to_say(&self, now: Time) -> bool {
        self.state
            .playback()
            .is_some_and(|playback| playback.is_unheard(now))
    }
}
