//! What was called in a call, and what came of it: outlives sessions, faults and, in a checkpoint, processes.
//!
//! # When a call is a new wish
//!
//! A tool with effects that is called again with the same arguments is the *same* wish, and gets the first outcome,
//! unless
//!
//! 1. the first one certainly changed nothing (refused, failed), or
//! 2. the caller has **heard** an answer that was begun after the model had the outcome, and has **taken a turn since**.
//!
//! So a model that repeats itself after an interruption, a retry or a reconnect gets what it had, and a caller who hears
//! "it is booked" and says "the same once more" gets two. Heard means an answer to its end, or [`TOLD_MS`] of it. The
//! sentence with which a resumed call goes on is no such answer: "I am here again" tells nobody what was done.

use serde::{Deserialize, Serialize};

use super::ToolResult;
use crate::ids::clip;

/// Milliseconds of an answer after which its beginning counts as told.
pub const TOLD_MS: u64 = 1_500;

/// Bytes of an output that a session is told again; the rest can be asked for.
pub(crate) const TOLD_OF_TOOL: usize = 2_000;

/// Tool calls remembered; an hour of brisk talk has fewer.
const KEPT: usize = 128;

/// Bytes of an output that are kept for repetition.
const KEPT_OUTPUT: usize = 16 * 1024;

/// All tool calls of a call, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolMemory {
    records: Vec<ToolRecord>,
    /// Number of the last run.
    last: u32,
}

/// One run of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRecord {
    /// The run's number in this call.
    pub number: u32,
    /// The tool.
    pub tool: String,
    /// Its arguments in canonical form.
    pub arguments: String,
    /// Its arguments as the model gave them, while it runs: a run that is made again asks the same in every letter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked: String,
    /// The model's call that it was run for, while it runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call: String,
    /// Names the effect, or the run if it has none.
    pub key: String,
    /// Whether it changes something in the world.
    pub effects: bool,
    /// How often this wish was uttered anew before, with the same arguments.
    pub intent: u32,
    /// When it was called, in milliseconds since the media socket was accepted.
    pub at_ms: u64,
    /// Milliseconds it took, when it is over.
    pub ms: Option<u64>,
    /// What became of it; `None` while it runs.
    pub result: Option<ToolResult>,
    /// What the model was told, clipped.
    pub output: Option<String>,
    /// Whether `output` is only the beginning of it: no JSON any more, so who asks again is answered from the journal.
    #[serde(default, skip_serializing_if = "is_whole")]
    pub clipped: bool,
    /// How far the outcome has got.
    pub told: Delivery,
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_whole(clipped: &bool) -> bool {
    !clipped
}

/// How far an outcome has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// The model of the present session does not have it.
    #[serde(rename = "nobody")]
    Pending,
    /// The model has it.
    #[serde(rename = "model")]
    ToModel,
    /// The caller heard an answer begun after that.
    #[serde(rename = "caller")]
    Heard,
    /// And has taken a turn since.
    #[serde(rename = "caller_and_he_spoke")]
    Acknowledged,
}

/// What a call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A wish uttered for the first time, or anew: the number of the intent.
    New(u32),
    /// The wish of this run.
    SameAs(u32),
}

impl ToolMemory {
    /// The runs, oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &ToolRecord> {
        self.records.iter()
    }

    /// The same for a checkpoint: what tools said is cut to what a session is told of it.
    #[must_use]
    pub(crate) fn for_checkpoint(&self) -> Self {
        let mut kept = self.clone();
        for record in &mut kept.records {
            record.clip_to(TOLD_OF_TOOL);
        }
        kept
    }

    /// Gives up the oldest call that is over; an effect whose outcome is not known is never given up. Gives the bytes
    /// that frees at least.
    pub(crate) fn forget_oldest(&mut self) -> Option<usize> {
        let over = |record: &ToolRecord| record.result.is_some();
        let oldest = self.records.iter().position(over)?;
        let gone = self.records.remove(oldest);
        Some(gone.arguments.len() + gone.output.map_or(0, |output| output.len()))
    }

    /// Whether nothing was called.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&ToolRecord> {
        self.records.iter().find(|record| record.number == number)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut ToolRecord> {
        self.records
            .iter_mut()
            .find(|record| record.number == number)
    }

    /// What a call of a tool with effects means.
    pub(crate) fn meaning(&self, tool: &str, arguments: &str) -> Meaning {
        let same = |record: &&ToolRecord| {
            record.effects && record.tool == tool && record.arguments == arguments
        };
        let Some(last) = self.records.iter().rfind(same) else {
            return Meaning::New(0);
        };
        let changed_nothing = last.result.is_some_and(ToolResult::left_no_effect);
        let is_anew = last.result.is_some() && last.told == Delivery::Acknowledged;
        if changed_nothing || is_anew {
            Meaning::New(last.intent + 1)
        } else {
            Meaning::SameAs(last.number)
        }
    }

    /// The number of the next run.
    pub(crate) fn next_number(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    pub(crate) fn add(&mut self, record: ToolRecord) {
        if self.records.len() == KEPT {
            let over = |record: &ToolRecord| record.result.is_some();
            // What has no effect is missed least.
            let oldest = self
                .records
                .iter()
                .position(|record| over(record) && !record.effects)
                .or_else(|| self.records.iter().position(over))
                .unwrap_or(0);
            self.records.remove(oldest);
        }
        self.records.push(record);
    }

    /// The caller took a turn: what they have been told before is no longer what they ask for now.
    pub(crate) fn caller_spoke(&mut self) {
        for record in &mut self.records {
            if record.told == Delivery::Heard {
                record.told = Delivery::Acknowledged;
            }
        }
    }

    /// The session is gone, and what its model knew with it.
    pub(crate) fn session_lost(&mut self) {
        for record in &mut self.records {
            if record.told == Delivery::ToModel {
                record.told = Delivery::Pending;
            }
        }
    }

    /// Runs without effects whose runner is gone with its process: nobody will finish them.
    pub(crate) fn drop_unfinished_reads(&mut self) {
        for record in &mut self.records {
            if record.result.is_none() && !record.effects {
                record.finish(
                    ToolResult::Failed,
                    &super::failure("the line was interrupted; ask again if it is needed"),
                    0,
                );
            }
        }
    }
}

impl ToolRecord {
    pub(crate) fn finish(&mut self, result: ToolResult, output: &str, ms: u64) {
        self.asked = String::new();
        self.call = String::new();
        self.result = Some(result);
        self.ms = Some(ms);
        self.output = Some(output.to_owned());
        self.clipped = false;
        self.clip_to(KEPT_OUTPUT);
    }

    fn clip_to(&mut self, bytes: usize) {
        let Some(output) = &mut self.output else {
            return;
        };
        let kept = clip(output, bytes).len();
        if kept < output.len() {
            output.truncate(kept);
            output.shrink_to_fit();
            self.clipped = true;
        }
    }

    /// What is known of the outcome, as JSON whatever was clipped.
    pub(crate) fn known(&self) -> String {
        match &self.output {
            None => super::outcome_unknown(),
            Some(output) if self.clipped => super::outcome_in_part(output),
            Some(output) => output.clone(),
        }
    }

    /// The state on pages: `running`, or the label of the result.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.result.map_or("running", ToolResult::label)
    }
}
