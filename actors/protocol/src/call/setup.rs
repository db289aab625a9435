//! What a call is made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::choice::Choice;
use super::protection::Protected;
use crate::audio::payload::Payload;
use crate::model::command::SessionSetup;
use crate::phone::{AccountSid, CallSid};
use crate::tool::ToolRules;

/// Without a turn of the caller for this long a call ends.
pub const LONGEST_MONOLOGUE: Duration = Duration::from_secs(10 * 60);

/// Who answers, and how.
#[derive(Clone, Debug)]
pub struct AgentProfile {
    /// The agent's name in the settings.
    pub name: String,
    /// The model's name; decides the price.
    pub model: String,
    /// How its session is configured.
    pub session: SessionSetup,
    /// The first word.
    pub greeting: Greeting,
    /// Sentences that nothing the caller says cuts.
    pub protected: Protected,
    /// What happens when nobody says anything.
    pub silence: Option<Silence>,
    /// Without a turn of the caller for this long the call ends: hold music and noise keep no call open for ever.
    pub longest_monologue: Duration,
    /// A model that says nothing for this long, when it is its turn, is asked again, then given up.
    pub answer_within: Duration,
    /// What the caller hears, over and over, while they wait in silence: µ-law, 8,000 Hz. `None`: nothing.
    pub filler: Option<Payload>,
    /// Keys that send the caller to somebody else, by the name of a transfer target.
    pub keys: BTreeMap<char, String>,
    /// Whether keys stay out of records and logs.
    pub mask_digits: bool,
    /// To whom the model may send a caller.
    pub transfer_targets: Vec<String>,
    /// People are called while the caller stays with the agent, and their phones ring for so long. `None`: nobody can be
    /// called so, and the caller is sent to them.
    pub calls_ahead: Option<Duration>,
    /// What a call may cost at the model, in US dollars; then the caller meets the fallback. `None`: whatever it costs.
    pub max_cost_usd: Option<f64>,
    /// Tools the service runs for the model.
    pub tools: ToolRules,
}

impl AgentProfile {
    /// An agent with what the service takes where its settings say nothing: it waits for the caller's first word, has no
    /// tools and sends nobody anywhere.
    #[must_use]
    pub fn new(name: &str, model: &str, session: SessionSetup) -> Self {
        Self {
            name: name.to_owned(),
            model: model.to_owned(),
            session,
            greeting: Greeting::Wait,
            protected: Protected::default(),
            silence: None,
            longest_monologue: LONGEST_MONOLOGUE,
            answer_within: Duration::from_secs(8),
            filler: None,
            keys: BTreeMap::new(),
            mask_digits: true,
            transfer_targets: Vec::new(),
            calls_ahead: None,
            max_cost_usd: None,
            tools: ToolRules::default(),
        }
    }
}

/// What happens when nobody says anything.
#[derive(Clone, Debug)]
pub struct Silence {
    /// Silence, from when the caller has heard the last word.
    pub after: Duration,
    /// What the model is told to do then.
    pub instructions: String,
    /// How often, before goodbye.
    pub attempts: u8,
}

/// Who says the first word.
#[derive(Clone, Debug)]
pub enum Greeting {
    /// The model, asked with these words.
    Model {
        /// Instructions for the greeting.
        instructions: String,
    },
    /// The caller.
    Wait,
    /// A stored clip, at once; the model is told what was said.
    Clip {
        /// µ-law, 8,000 Hz.
        audio: Payload,
        /// Its words.
        text: String,
    },
}

/// What a call is made of.
#[derive(Clone, Debug)]
pub struct CallSetup {
    /// Who answers.
    pub agent: Arc<AgentProfile>,
    /// The call the media ticket was for; `start` must name it.
    pub call: Option<CallSid>,
    /// The Twilio account of the settings; a stream of another one is served, and counted.
    pub account: Option<AccountSid>,
    /// Agents the stream itself may choose, by name: none where a ticket has chosen.
    pub choices: Arc<BTreeMap<String, Choice>>,
    /// The longest a call may last.
    pub max_length: Duration,
    /// When the media socket was accepted, in milliseconds since the Unix epoch: servers say when a session ends by that
    /// clock. `None`: unknown, sessions are taken to live for an hour.
    pub accepted_at: Option<u64>,
    /// Any number; spreads retries of calls that fail together.
    pub seed: u64,
}

impl CallSetup {
    /// A call of an hour at most, of which nothing is known before its `start`.
    #[must_use]
    pub fn new(agent: Arc<AgentProfile>) -> Self {
        Self {
            agent,
            call: None,
            account: None,
            choices: Arc::default(),
            max_length: Duration::from_secs(3_600),
            accepted_at: None,
            seed: 1,
        }
    }
}
