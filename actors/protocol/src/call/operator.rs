//! What an operator asks of a live call: may it be done now, and how.

use super::Call;
use super::closing::Farewell;
use super::effect::Peer;
use super::event::{OperatorEvent, OperatorText};
use super::outcome::{Destination, EndReason};
use super::state::State;
use crate::model::link::Link;
use crate::time::Time;
use std::collections::VecDeque;

/// Texts that wait to be said at most; an operator who sends more has to wait until some were heard.
const MOST_SAYINGS: usize = 8;

/// Why an operator's wish is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The call is over.
    #[error("the call is over")]
    Over,
    /// The caller is not heard yet.
    #[error("the call is not in media yet")]
    NotInMedia,
    /// There is no session that could say or know it.
    #[error("the model is not ready")]
    ModelAway,
    /// The call says goodbye, or goes to somebody else already.
    #[error("the call is coming to its end already")]
    Leaving,
    /// Too many texts wait to be said.
    #[error("{MOST_SAYINGS} texts are waiting to be said already")]
    TooMuchToSay,
    /// The settings the call lives under name no such transfer target.
    #[error("there is no transfer target by that name")]
    NobodyByThatName,
    /// Somebody is being called for the caller.
    #[error("somebody is being called for the caller already")]
    Calling,
    /// News of a person nobody waits for any more.
    #[error("nobody is being called for the caller")]
    NobodyCalled,
}

/// Texts the operator wants said, in the order they came.
#[derive(Debug, Default)]
pub(super) struct OperatorSpeech {
    waiting: VecDeque<OperatorText>,
    /// The one the model is asked for.
    asked: Option<OperatorText>,
}

impl OperatorSpeech {
    /// The session is gone, or the response never began: it is asked for again, first.
    pub(super) fn ask_again(&mut self) {
        if let Some(words) = self.asked.take() {
            self.waiting.push_front(words);
        }
    }

    fn is_asked(&self, instructions: Option<&str>) -> bool {
        let asked = self.asked.as_ref().map(OperatorText::to_be_said);
        asked.is_some() && asked.as_deref() == instructions
    }

    /// An answer is over that was asked for with these words.
    pub(super) fn answered(&mut self, instructions: Option<&str>) {
        if self.is_asked(instructions) {
            self.asked = None;
        }
    }
}

impl Call {
    /// Why this wish cannot be done now; `None` if it can. A wish that is handed in all the same does nothing.
    #[must_use]
    pub fn objection(&self, wish: &OperatorEvent) -> Option<Objection> {
        if self.is_over() {
            return Some(Objection::Over);
        }
        match wish {
            OperatorEvent::HangUp
            | OperatorEvent::CallOver
            | OperatorEvent::StreamFailed { .. }
            | OperatorEvent::HandOver
            | OperatorEvent::Superseded
            | OperatorEvent::SecondStream
            | OperatorEvent::WokeUp => None,
            OperatorEvent::Say(_) | OperatorEvent::Instruct(_) | OperatorEvent::Transfer(_)
                if !matches!(self.state, State::Media(_)) =>
            {
                Some(Objection::NotInMedia)
            }
            OperatorEvent::Say(_) | OperatorEvent::Instruct(_) | OperatorEvent::Transfer(_)
                if self.closing.is_pending() =>
            {
                Some(Objection::Leaving)
            }
            OperatorEvent::Say(_) | OperatorEvent::Instruct(_)
                if !matches!(self.link, Link::Ready(_)) =>
            {
                Some(Objection::ModelAway)
            }
            OperatorEvent::Say(_) if self.sayings.waiting.len() >= MOST_SAYINGS => {
                Some(Objection::TooMuchToSay)
            }
            OperatorEvent::Say(_) | OperatorEvent::Instruct(_) => None,
            OperatorEvent::Consult(event) => self.person_objection(event),
            OperatorEvent::Transfer(_) if self.consult_legs.now.is_some() => {
                Some(Objection::Calling)
            }
            // A caller whose model is away is served best of all by a person.
            OperatorEvent::Transfer(Destination::Number(_)) => None,
            OperatorEvent::Transfer(Destination::Target(name)) => {
                let is_known = self.setup.agent.transfer_targets.contains(name);
                (!is_known).then_some(Objection::NobodyByThatName)
            }
        }
    }

    pub(super) fn on_operator(&mut self, wish: OperatorEvent, now: Time) {
        if self.objection(&wish).is_some() {
            return;
        }
        match wish {
            OperatorEvent::HangUp => self.end(EndReason::OperatorHangUp, now),
            OperatorEvent::CallOver => self.end(EndReason::CallOver, now),
            OperatorEvent::StreamFailed { stream } => self.on_stream_failed(stream, now),
            OperatorEvent::HandOver => self.end(EndReason::HandedOver, now),
            OperatorEvent::Superseded => self.end(EndReason::Superseded, now),
            OperatorEvent::SecondStream => {
                self.violation(Peer::Phone, "second_stream");
                self.end(EndReason::SecondStart, now);
            }
            OperatorEvent::WokeUp => self.keep(),
            // Asked for by `say_next`, when nobody speaks.
            OperatorEvent::Say(words) => self.sayings.waiting.push_back(words),
            OperatorEvent::Instruct(words) => self.note(words.as_str().to_owned()),
            OperatorEvent::Transfer(to) => self.connect(to, Farewell::Asked, now),
            OperatorEvent::Consult(event) => self.on_person(event, now),
        }
    }

    /// After every event but a frame: has the model say what the operator wants said, one text at a time, between turns.
    pub(super) fn say_next(&mut self, now: Time) {
        if self.floor.is_answering() {
            return;
        }
        // Said, or refused for good.
        self.sayings.asked = None;
        if !self.floor.may_begin(self.around(now)) {
            return;
        }
        let Some(words) = self.sayings.waiting.pop_front() else {
            return;
        };
        let instructions = words.to_be_said();
        self.sayings.asked = Some(words);
        self.ask_for_answer(Some(instructions));
    }

    /// The caller speaks: what the model has not begun to say is said later; what they speak over they do not want.
    pub(super) fn saying_interrupted(&mut self) {
        let Some(words) = &self.sayings.asked else {
            return;
        };
        if self.floor.serves(&words.to_be_said()) {
            self.sayings.asked = None;
        } else {
            self.sayings.ask_again();
        }
    }
}
