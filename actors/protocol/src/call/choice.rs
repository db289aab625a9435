//! `<Parameter name="agent">`: a media stream that names its agent itself.
//!
//! A socket with a ticket was announced by a webhook, and the webhook chose. One without, in dev mode, may be anybody's
//! TwiML: there `start` chooses. The model was dialled before, for the agent who answers when nobody chooses; nothing was
//! heard of it yet, so that session is given up and another dialled.

use std::sync::Arc;
use std::time::Duration;

use super::effect::{Effect, Peer};
use super::model_leg::ModelLeg;
use super::{AgentProfile, Call, CallSetup};
use crate::phone::event::StreamStart;
use crate::time::Time;

/// The parameter's name.
pub const PARAMETER: &str = "agent";

/// An agent a stream may choose.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Who answers then.
    pub agent: Arc<AgentProfile>,
    /// The longest a call with this agent may last.
    pub max_length: Duration,
}

impl Call {
    /// Whether the stream has chosen another agent, for whom the call begins anew.
    pub(super) fn choose_agent(&mut self, start: &StreamStart, now: Time) -> bool {
        let Some(name) = start.parameters.get(PARAMETER) else {
            return false;
        };
        if *name == self.setup.agent.name {
            return false;
        }
        let Some(choice) = self.setup.choices.get(name).cloned() else {
            // A ticket has chosen the agent already, whatever the stream says.
            let kind = if self.setup.call.is_some() {
                "other_agent"
            } else {
                "unknown_agent"
            };
            self.violation(Peer::Phone, kind);
            return false;
        };
        let setup = CallSetup {
            agent: choice.agent,
            max_length: choice.max_length,
            ..self.setup.clone()
        };
        let mut call = Self::new(setup);
        // Its deadlines count from now, and so does its dialling.
        call.effects = std::mem::take(&mut self.effects);
        let remains = self.model.remains();
        call.effects.push_back(Effect::CloseModel(remains.current));
        call.model = ModelLeg::anew(remains, call.setup.seed);
        call.dial(now);
        call.tally = std::mem::take(&mut self.tally);
        call.phone.blame_for(&mut self.phone);
        *self = call;
        true
    }
}
