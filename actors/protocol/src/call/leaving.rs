//! Coming to an end: goodbye, silence, length.
//!
//! A call that is to end does so when the caller has heard the last word, not in the middle of one. If he speaks into
//! the farewell, the call goes on.

use std::time::Duration;

use super::Call;
use super::end::EndReason;
use super::state::State;
use super::timers::Timer;
use crate::ids::ModelId;
use crate::model::command::{ModelCommand, Role};
use crate::model::link::Link;
use crate::time::Time;

/// A farewell is waited for no longer than this.
const FAREWELL: Duration = Duration::from_secs(15);

/// So long before the end of the longest call the model is told to come to an end.
const WRAP_UP: Duration = Duration::from_secs(45);

/// Calls shorter than this are not wrapped up.
const SHORT_CALL: Duration = Duration::from_secs(90);

const SAY_GOODBYE: &str = "Say goodbye to the caller in one short, friendly sentence.";

/// A call that is about to end.
#[derive(Debug)]
pub(super) struct Leaving {
    reason: EndReason,
    /// The tool call that asked for it; answered if the call goes on after all.
    tool: Option<ModelId>,
}

impl Leaving {
    /// Whether the caller can keep the call going by speaking.
    const fn is_open(&self) -> bool {
        !matches!(self.reason, EndReason::TooLong)
    }
}

impl Call {
    /// Sets the timers of a call's whole length.
    pub(super) fn watch_length(&mut self) {
        let longest = self.setup.max_length;
        self.timers.set(Timer::Length, Time::ZERO + longest);
        if longest >= SHORT_CALL {
            self.timers
                .set(Timer::WrapUp, Time::ZERO + (longest - WRAP_UP));
        }
    }

    pub(super) fn on_wrap_up(&mut self) {
        if matches!(self.link, Link::Ready(_)) {
            let text =
                "This call must end in less than a minute. Come to an end now and say goodbye."
                    .to_owned();
            self.ask_model(ModelCommand::Tell {
                role: Role::System,
                text,
            });
        }
    }

    /// The call ends when the caller has heard what is being said, or a farewell asked for with these words.
    pub(super) fn leave(
        &mut self,
        reason: EndReason,
        farewell: Option<&str>,
        tool: Option<ModelId>,
        now: Time,
    ) {
        if self.leaving.is_some() {
            return;
        }
        let can_speak = matches!(self.link, Link::Ready(_)) && self.state.stream().is_some();
        if !can_speak {
            self.end(reason, now);
            return;
        }
        self.leaving = Some(Leaving { reason, tool });
        self.timers.set(Timer::Leave, now + FAREWELL);
        if let Some(words) = farewell {
            self.ask_for_answer(Some(words.to_owned()));
        }
    }

    pub(super) fn on_farewell_due(&mut self, now: Time) {
        if let Some(leaving) = self.leaving.take() {
            self.end(leaving.reason, now);
        }
    }

    /// The model wants to end the call.
    pub(super) fn on_end_call(&mut self, response: &ModelId, tool: ModelId, now: Time) {
        if self.responses.spoke(response) || self.has_more_to_say(now) {
            self.leave(EndReason::AgentHungUp, None, Some(tool), now);
            return;
        }
        // It asked without a word to the caller.
        self.give_output(tool, r#"{"status":"say goodbye first"}"#.to_owned());
        self.leave(EndReason::AgentHungUp, Some(SAY_GOODBYE), None, now);
    }

    /// The caller spoke: a farewell is no farewell any more.
    pub(super) fn stay(&mut self) {
        let Some(leaving) = self.leaving.take_if(|leaving| leaving.is_open()) else {
            return;
        };
        self.timers.stop(Timer::Leave);
        self.transfer_to = None;
        if let Some(call) = leaving.tool {
            let output =
                r#"{"status":"the caller went on speaking, so the call goes on"}"#.to_owned();
            self.give_output(call, output);
        }
    }

    /// After every event but a frame: is the farewell heard? Does the line fall silent?
    pub(super) fn settle_down(&mut self, now: Time) {
        if self.is_over() {
            return;
        }
        let quiet = matches!(self.link, Link::Ready(_))
            && matches!(self.state, State::Start(_) | State::Media(_))
            && !self.caller_speaks
            && !self.responses.is_busy()
            && self.retry.is_none()
            && !self.has_more_to_say(now);
        if !quiet {
            self.timers.stop(Timer::Silence);
            return;
        }
        if let Some(leaving) = self.leaving.take() {
            self.end(leaving.reason, now);
            return;
        }
        if let Some(silence) = &self.setup.agent.silence
            && !self.timers.is_set(Timer::Silence)
        {
            self.timers.set(Timer::Silence, now + silence.after);
        }
    }

    /// Nobody has said anything for a while.
    pub(super) fn on_silence(&mut self, now: Time) {
        let agent = self.setup.agent.clone();
        let Some(silence) = &agent.silence else {
            return;
        };
        if self.asked_if_there >= silence.attempts {
            self.leave(EndReason::CallerSilent, Some(SAY_GOODBYE), None, now);
            return;
        }
        self.asked_if_there += 1;
        self.ask_for_answer(Some(silence.instructions.clone()));
    }

    /// The caller took a turn that means something.
    pub(super) fn on_real_turn(&mut self, now: Time) {
        self.asked_if_there = 0;
        self.timers
            .set(Timer::NoTurn, now + self.setup.agent.longest_monologue);
    }

    /// Hold music and noise keep no call open for ever.
    pub(super) fn on_no_turn(&mut self, now: Time) {
        self.leave(EndReason::NobodyThere, Some(SAY_GOODBYE), None, now);
    }

    pub(super) fn on_too_long(&mut self, now: Time) {
        self.leave(EndReason::TooLong, Some(SAY_GOODBYE), None, now);
    }

    /// Whether the caller has something left to hear.
    fn has_more_to_say(&mut self, now: Time) -> bool {
        self.state
            .playback_mut()
            .is_some_and(|playback| playback.is_unheard(now))
    }
}
