//! Answers that the caller cannot cut by speaking: all of an agent's, or one sentence.
//!
//! A server that cuts running answers by itself is asked not to while a protected greeting is said, and asked to again
//! when it was heard. A turn of the caller that falls into it is like any other, and is answered after it.

use super::{Call, Greeting, LOCAL};
use crate::ids::{ModelId, PartKey};
use crate::model::command::{ModelCommand, TurnDetection};
use crate::model::link::Link;
use crate::time::Time;

/// Sentences that nothing the caller says cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protected {
    /// The greeting.
    pub greeting: bool,
    /// The clip that is played while a tool takes long.
    pub tool_filler: bool,
    /// What is played while the caller waits in silence.
    pub filler: bool,
}

/// The item under which the greeting's clip is booked.
pub(super) const GREETING: &str = "greeting";

/// How the items of tool fillers begin.
pub(super) const TOOL_FILLER: &str = "filler-";

/// What is known of protected sentences in a call.
#[derive(Debug, Default)]
pub(super) struct Protection {
    /// The response that says the greeting.
    greeting: Option<ModelId>,
    /// The greeting is over, or was never to come: the server may cut answers as the agent wants it.
    greeted: bool,
    requests: u32,
}

impl Call {
    /// Whether the agent lets callers cut its answers.
    fn lets_interrupt(&self) -> bool {
        let options = self.setup.agent.session.options.as_ref();
        let turns = options.and_then(|options| options.turns.as_ref());
        turns.is_none_or(TurnDetection::interrupts)
    }

    /// Whether servers are asked not to cut answers for the greeting's sake.
    pub(super) fn holds_back(&self) -> bool {
        self.setup.agent.protected.greeting
            && !self.protection.greeted
            && matches!(self.setup.agent.greeting, Greeting::Model { .. })
            && self.lets_interrupt()
    }

    /// Whether what the caller hears, or is about to, goes on while they speak.
    pub(super) fn is_protected(&self, now: Time) -> bool {
        let is_unheard = !self.is_filled() && self.has_more_to_say(now);
        if !self.lets_interrupt() {
            return is_unheard || self.floor.is_answering();
        }
        let mut requests = self.floor.requests();
        if requests.any(|wish| self.is_greeting(wish.instructions.as_deref())) {
            return true;
        }
        let playback = self.state.playback().filter(|_| is_unheard);
        playback.is_some_and(|playback| playback.keys().any(|key| self.is_protected_part(key)))
    }

    fn is_greeting(&self, words: Option<&str>) -> bool {
        let agent = &self.setup.agent;
        let greeting = match &agent.greeting {
            Greeting::Model { instructions } => Some(instructions.as_str()),
            Greeting::Wait | Greeting::Clip { .. } => None,
        };
        agent.protected.greeting && greeting.is_some() && words == greeting
    }

    fn is_protected_part(&self, key: &PartKey) -> bool {
        let protected = self.setup.agent.protected;
        if key.response.as_str() != LOCAL {
            return self.protection.greeting.as_ref() == Some(&key.response);
        }
        match key.item.as_str() {
            GREETING => protected.greeting,
            item => protected.tool_filler && item.starts_with(TOOL_FILLER),
        }
    }

    /// A response begins to speak.
    pub(super) fn on_first_word(&mut self, response: &ModelId) {
        let under_way = self.floor.under_way();
        if under_way.is_some_and(|wish| self.is_greeting(wish.instructions.as_deref())) {
            self.protection.greeting = Some(response.clone());
        }
    }

    /// After every event but a frame: when the protected greeting is over, the server may cut answers again.
    pub(super) fn release_greeting(&mut self, now: Time) {
        if self.protection.greeted || self.is_protected(now) {
            return;
        }
        let Link::Ready(_) = &self.link else {
            return;
        };
        let held_back = self.holds_back();
        self.protection.greeted = true;
        let turns = self.turn_detection().filter(|_| held_back);
        if let Some(turns) = turns {
            self.protection.requests += 1;
            let request = format!("turns-{}", self.protection.requests);
            self.ask_model(ModelCommand::FindTurns { request, turns });
        }
    }
}
