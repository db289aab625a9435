//! Tools the service runs for the model: what they are, what a run is made of, and what came of it.
//!
//! | module | question it answers |
//! | --- | --- |
//! | [`key`] | when are two calls the same wish? |
//! | [`memory`] | what was called in this call, and what came of it? |

pub mod key;
pub mod memory;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::audio::payload::Payload;
use crate::ids::ModelId;

/// Bytes of arguments a tool is run with; more is no question.
pub const MAX_ARGUMENTS: usize = 16 * 1024;

/// Tool calls in one turn of the caller, unless the settings say otherwise.
pub const CALLS_A_TURN: u32 = 8;

/// A tool the service runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Its name, as the model uses it.
    pub name: String,
    /// What the model is told it does.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub parameters: Value,
    /// Whether it changes something in the world: then it is run once for each wish.
    pub effects: bool,
    /// How long the model waits for it.
    pub timeout: Duration,
}

/// The tools of an agent and how they are used.
#[derive(Clone, Debug)]
pub struct ToolRules {
    /// Tools the service runs; those the call itself carries out are not among them.
    pub offered: Vec<ToolSpec>,
    /// Calls in one turn of the caller; beyond, the model is told to answer with what it knows.
    pub calls_a_turn: u32,
    /// What the caller hears while a tool takes long.
    pub filler: Option<Filler>,
}

impl Default for ToolRules {
    fn default() -> Self {
        Self {
            offered: Vec::new(),
            calls_a_turn: CALLS_A_TURN,
            filler: None,
        }
    }
}

impl ToolRules {
    /// The tool of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ToolSpec> {
        self.offered.iter().find(|tool| tool.name == name)
    }
}

/// What the caller hears while a tool takes long.
#[derive(Clone, Debug)]
pub struct Filler {
    /// Silence with a tool running, before it is said.
    pub after: Duration,
    /// Who says it.
    pub words: FillerWords,
}

/// Who says a filler.
#[derive(Clone, Debug)]
pub enum FillerWords {
    /// The model, asked with these words.
    Model {
        /// Instructions.
        instructions: String,
    },
    /// A stored clip, in the agent's name.
    Clip {
        /// µ-law, 8,000 Hz.
        audio: Payload,
        /// Its words.
        text: String,
    },
}

/// A tool to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolRun {
    /// Names the run in this call; comes back in [`ToolFinished`].
    pub number: u32,
    /// The tool.
    pub tool: String,
    /// The model's call.
    pub call: ModelId,
    /// What it is run with.
    pub arguments: Map<String, Value>,
    /// The arguments in canonical form.
    pub canonical: String,
    /// Names the effect: the same for every run of the same wish, another for any other.
    pub key: String,
    /// Whether it changes something in the world.
    pub effects: bool,
    /// How long it is waited for.
    pub timeout: Duration,
    /// It was begun before: while the journal cannot be asked, nobody may say that nothing was changed.
    pub again: bool,
}

/// A run is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolFinished {
    /// The run.
    pub number: u32,
    /// What became of it.
    pub result: ToolResult,
    /// What the model is told: JSON text.
    pub output: String,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolResult {
    /// It was done.
    Ok,
    /// It had been done before, and this came of it then.
    Repeated,
    /// It was not begun: the arguments are not what the tool takes.
    Refused,
    /// It was not done.
    Failed,
    /// It did not answer in time, and changes nothing.
    TimedOut,
    /// Nobody knows whether it was done.
    Unknown,
    /// Its own code failed.
    Panicked,
}

impl ToolResult {
    /// Every result.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Repeated,
        Self::Refused,
        Self::Failed,
        Self::TimedOut,
        Self::Unknown,
        Self::Panicked,
    ];

    /// The name in metrics, logs and on pages.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Unknown => "unknown",
            Self::Panicked => "panicked",
        }
    }

    /// Whether it is certain that nothing was changed: then the same wish may be tried again.
    #[must_use]
    pub const fn left_no_effect(self) -> bool {
        match self {
            Self::Refused | Self::Failed => true,
            Self::Ok | Self::Repeated | Self::TimedOut | Self::Unknown | Self::Panicked => false,
        }
    }
}

/// What the model is told of something that failed.
#[must_use]
pub fn failure(why: &str) -> String {
    json!({ "error": why }).to_string()
}

/// What the model is told when nobody knows whether an effect happened.
#[must_use]
pub fn outcome_unknown() -> String {
    json!({
        "status": "unknown",
        "advice": "It is not known whether this was done. Do not call it again by yourself. Say so to the caller, and \
                   look it up with another tool or ask before anything is repeated.",
    })
    .to_string()
}

/// What the model is told of an outcome of which the beginning alone is at hand.
#[must_use]
pub fn outcome_in_part(beginning: &str) -> String {
    json!({
        "status": "This was done before. Only the beginning of its answer is at hand; do not call it again.",
        "beginning": beginning,
    })
    .to_string()
}
