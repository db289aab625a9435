//! A person who is called while the caller stays with the agent.
//!
//! They are called, hear what the call is about, and take it by a key; only then does the caller leave the agent. Until
//! then nothing changes for the caller: a person who does not take the call is news for the agent, and no more.

use std::time::Duration;

use super::Call;
use super::closing::{Farewell, Stay};
use super::effect::Effect;
use super::operator::Objection;
use super::outcome::{
    ConsultCall, ConsultEnd, ConsultEvent, Destination, EndReason, NextStep, Person, Returned,
    Stage, Unreached,
};
use super::snapshot::PersonRow;
use super::timers::Timer;
use super::tools::ToolCall;
use crate::model::link::Link;
use crate::time::Time;

/// People called in one call. A caller who reaches none of them is served better in another way.
pub const MOST_CALLED: u32 = 4;

/// Beyond the ringing: Twilio's own time for the request and for the ringing, which it prolongs by up to 5 s
/// (<https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource>, `Timeout`).
const RING_GRACE: Duration = Duration::from_secs(25);

/// The longest a person may take to hear the briefing and press a key.
const LONGEST_BRIEFING: Duration = Duration::from_secs(120);

/// A caller who waits for a person hears something this often.
pub(super) const REASSURE_EVERY: Duration = Duration::from_secs(8);

pub(super) const STILL_CALLING: &str = "The person is still being called. In a few words ask the caller for a little more \
                                        patience; do not ask whether they are there.";

/// The people called in a call.
#[derive(Debug, Default)]
pub(super) struct ConsultLegs {
    /// How many were called.
    pub(super) called: u32,
    /// The one who is called now.
    pub(super) now: Option<Person>,
    /// What the caller has to be told of the last one.
    news: Option<String>,
}

impl Call {
    /// Whether people are called while the caller stays: there must be a way to call them, and an agent to stay with.
    fn calls_ahead(&self) -> bool {
        self.setup.agent.calls_ahead.is_some() && matches!(self.link, Link::Ready(_))
    }

    /// The caller should get to somebody: they are sent there, or the person is called first.
    pub(super) fn connect(&mut self, to: Destination, farewell: Farewell, now: Time) {
        // A goodbye that is not over is none any more.
        if self.calls_ahead() {
            self.stay(Stay::CallerActs);
        }
        if self.calls_ahead() && !self.closing.is_pending() {
            self.call_person(to, farewell, now);
        } else {
            self.transfer(to, farewell, now);
        }
    }

    fn call_person(&mut self, to: Destination, farewell: Farewell, now: Time) {
        let label = to.label().to_owned();
        if let Some(person) = &self.consult_legs.now {
            let status = format!(
                "{} is being called already; wait for the outcome",
                person.to.label()
            );
            self.tell_of_calling(farewell, &status);
            return;
        }
        if self.consult_legs.called >= MOST_CALLED {
            self.tell_of_calling(
                farewell,
                "nobody was called: it was tried often enough in this call; offer something else",
            );
            return;
        }
        self.consult_legs.called += 1;
        let attempt = self.consult_legs.called;
        let person = Person {
            attempt,
            to: to.clone(),
            leg: None,
            stage: Stage::Ringing,
        };
        self.consult_legs.now = Some(person);
        self.consult_legs.news = None;
        self.timers.stop(Timer::Silence);
        self.watch_person(now);
        if self.state.stream().is_some() {
            // Before the person is called: an owner that goes on with this call must know that a phone may be ringing.
            self.effects.push_back(Effect::Checkpoint);
        }
        self.effects
            .push_back(Effect::DialConsult(Box::new(ConsultCall { attempt, to })));
        let status = format!(
            "{label} is being called now. The caller stays with you meanwhile: say in one short sentence that you are \
             calling and that the caller should stay on the line. You will be told what comes of it."
        );
        self.tell_of_calling(farewell, &status);
    }

    /// The model learns what became of a wish for somebody, and says it.
    fn tell_of_calling(&mut self, farewell: Farewell, status: &str) {
        match farewell {
            Farewell::Said(tool) => {
                self.answer_calling(tool, status);
                self.ask_for_answer(None);
            }
            Farewell::Asked | Farewell::Unsaid => {
                let text = format!("The caller is to be connected with somebody: {status}");
                self.note(text.clone());
                self.ask_for_answer(Some(text));
            }
        }
    }

    fn answer_calling(&mut self, tool: ToolCall, status: &str) {
        let output = serde_json::json!({ "status": status }).to_string();
        self.answer_tool(tool, output);
    }

    /// Why news of a person cannot be used; `None` if it is of the one who is called now.
    pub(super) fn person_objection(&self, event: &ConsultEvent) -> Option<Objection> {
        let is_he = |person: &Person| person.attempt == event.attempt();
        let known = self.consult_legs.now.as_ref().is_some_and(is_he);
        (!known).then_some(Objection::NobodyCalled)
    }

    pub(super) fn on_person(&mut self, event: ConsultEvent, now: Time) {
        let Some(person) = &mut self.consult_legs.now else {
            return;
        };
        match event {
            ConsultEvent::Placed { leg, .. } => person.leg = Some(leg),
            ConsultEvent::Answered { leg, .. } => {
                person.leg = Some(leg);
                if person.stage == Stage::Ringing {
                    person.stage = Stage::Briefed;
                    self.watch_person(now);
                }
            }
            ConsultEvent::Takes { .. } => self.on_person_takes(now),
            ConsultEvent::Gone { why, .. } => self.on_person_gone(why),
        }
        self.keep();
    }

    /// The person waits: the caller joins them, once the caller has heard that they will.
    fn on_person_takes(&mut self, now: Time) {
        let Some(person) = &mut self.consult_legs.now else {
            return;
        };
        if person.stage == Stage::Waiting {
            return;
        }
        person.stage = Stage::Waiting;
        let to = person.to.clone();
        self.timers.stop(Timer::Consult);
        // A goodbye the caller could undo gives way; another end stands, and takes the person with it.
        self.stay(Stay::CallerActs);
        if !self.closing.is_pending() {
            self.closing.send_to_briefed(to);
            self.leave(EndReason::Transferred, Farewell::Asked, now);
        }
    }

    /// The person does not take the caller: the agent goes on, and says why.
    fn on_person_gone(&mut self, why: Unreached) {
        let Some(person) = self.consult_legs.now.take() else {
            return;
        };
        self.timers.stop(Timer::Consult);
        self.timers.stop(Timer::Silence);
        if person.stage == Stage::Waiting {
            // They hung up before the caller was with them.
            self.stay(Stay::PersonIsGone);
        }
        self.closing.forget_briefing();
        let returned = Returned {
            to: Some(person.to),
            why,
        };
        self.note(returned.note_of_one_who_stayed());
        self.consult_legs.news = Some(returned.news());
    }

    /// After every event but a frame: the agent tells the caller what came of it, when nobody speaks.
    pub(super) fn tell_news(&mut self, now: Time) {
        if !self.floor.may_begin(self.around(now)) {
            return;
        }
        if let Some(news) = self.consult_legs.news.take() {
            self.ask_for_answer(Some(news));
        }
    }

    /// Sets the deadline of the person who is called now, after a restart too.
    pub(super) fn watch_person(&mut self, now: Time) {
        let due = self
            .consult_legs
            .now
            .as_ref()
            .and_then(|person| match person.stage {
                Stage::Ringing => {
                    let ring = self.setup.agent.calls_ahead.unwrap_or_default();
                    Some(now + ring + RING_GRACE)
                }
                Stage::Briefed => Some(now + LONGEST_BRIEFING),
                Stage::Waiting => None,
            });
        self.timers.set_or_stop(Timer::Consult, due);
    }

    /// Nothing was heard of the person for too long.
    pub(super) fn on_person_due(&mut self) {
        let Some(person) = self.consult_legs.now.clone() else {
            return;
        };
        self.end_person(&person);
        self.on_person_gone(match person.stage {
            Stage::Ringing => Unreached::NoAnswer,
            Stage::Briefed | Stage::Waiting => Unreached::Declined,
        });
        self.keep();
    }

    fn end_person(&mut self, person: &Person) {
        // If Twilio has not named the person's call yet, the task that learns its name ends it.
        if let Some(leg) = person.leg {
            let answered = person.stage != Stage::Ringing;
            self.effects
                .push_back(Effect::EndConsult(ConsultEnd { leg, answered }));
        }
    }

    /// The call ends: a person who is called for a caller who will not come is let go.
    pub(super) fn let_person_go(&mut self, reason: EndReason) {
        let Some(person) = self.consult_legs.now.clone() else {
            return;
        };
        let is_joined = reason == EndReason::Transferred && person.stage == Stage::Waiting;
        if is_joined || reason.next_step() == NextStep::Reconnect {
            return;
        }
        self.end_person(&person);
        self.consult_legs.now = None;
    }

    /// A call that goes on from a checkpoint: the person may be ringing still, and is not called again.
    pub(super) fn restore_people(&mut self, called: u32, person: Option<Person>, now: Time) {
        self.consult_legs.called = called;
        self.consult_legs.now = person;
        self.watch_person(now);
    }

    /// The person who waits for the caller elsewhere, by the number in this call.
    pub(super) fn awaited_by(&self) -> Option<u32> {
        let person = self.consult_legs.now.as_ref()?;
        (person.stage == Stage::Waiting).then_some(person.attempt)
    }

    /// The person for the call's page.
    pub(super) fn person_row(&self) -> Option<PersonRow> {
        self.consult_legs.now.as_ref().map(|person| PersonRow {
            to: person.to.label().to_owned(),
            stage: person.stage.label(),
        })
    }
}
