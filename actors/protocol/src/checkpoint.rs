//! A call as it is written down for the next owner: another socket, another process, another machine.
//!
//! The document is JSON, `{"v":1,"call":{…}}`, of at most [`MAX_BYTES`]: where it would be larger, the oldest turns go
//! first. Fields a reader does not know are skipped and missing ones have a default, so that a process reads what the
//! version before it wrote; a document of a later version is refused.

use serde::{Deserialize, Deserializer, Serialize};

use crate::call::outcome::{
    Destination, EndReason, MOST_RETURNS, NextStep, Person, Returned, Unreached,
};
use crate::conversation::KeptTurn;
use crate::phone::Direction;
use crate::tool::memory::ToolMemory;
use std::collections::VecDeque;

/// The version this code writes.
pub const VERSION: u32 = 1;

/// The largest document, in bytes.
pub const MAX_BYTES: usize = 32 * 1024;

/// What is known of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// Who answers, by the name in the settings.
    pub agent: String,
    /// The caller's number, masked.
    pub from: Option<String>,
    /// The number called.
    pub to: Option<String>,
    /// Who called whom; an inbound call's is not written, as the versions before did not.
    #[serde(skip_serializing_if = "Direction::is_inbound")]
    pub direction: Direction,
    /// The owner that wrote this, by its number.
    pub epoch: u64,
    /// What tells the one ticket for a media socket that is awaited from all others; whoever gets that socket writes
    /// `None`.
    pub ticket: Option<String>,
    /// How often the call went on on another media socket.
    pub resumes: u32,
    /// Milliseconds the call has lasted, all its media sockets together.
    pub elapsed_ms: u64,
    /// What the call has cost, in millionths of a US dollar.
    pub cost_micro_usd: u64,
    /// Turns that are counted only.
    pub forgotten: u64,
    /// The last turns, oldest first, as they were heard.
    pub turns: VecDeque<KeptTurn>,
    /// Where the call stands.
    pub standing: Standing,
    /// What the tools of the call have to keep: results, and effects whose outcome is not known.
    #[serde(deserialize_with = "tools_or_none")]
    pub tools: ToolMemory,
    /// What every session is told besides the conversation, oldest first.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub notes: VecDeque<String>,
    /// What whoever takes the caller should know, in the model's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub briefing: Option<String>,
    /// People called while the caller stayed with the agent.
    #[serde(skip_serializing_if = "is_none_yet")]
    pub called: u32,
    /// The one who is called now, or with whom the caller is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<Person>,
    /// A transfer that failed and that the caller was not told of yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned: Option<Returned>,
    /// Transfers that failed.
    #[serde(skip_serializing_if = "is_none_yet")]
    pub returns: u32,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self {
            agent: String::new(),
            from: None,
            to: None,
            direction: Direction::Inbound,
            epoch: 0,
            ticket: None,
            resumes: 0,
            elapsed_ms: 0,
            cost_micro_usd: 0,
            forgotten: 0,
            turns: VecDeque::new(),
            standing: Standing::Live,
            tools: ToolMemory::default(),
            notes: VecDeque::new(),
            briefing: None,
            called: 0,
            person: None,
            returned: None,
            returns: 0,
        }
    }
}

/// Where a call stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Standing {
    /// Caller and agent talk.
    #[default]
    Live,
    /// The call was about to end when the caller had heard the last words.
    Leaving {
        /// Why.
        reason: EndReason,
        /// Where the caller goes then.
        to: Option<Destination>,
    },
    /// The call is over for good.
    Over {
        /// Why.
        reason: EndReason,
        /// Where the caller goes now.
        to: Option<Destination>,
    },
}

/// Why a document is no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Over [`MAX_BYTES`], even without turns.
    #[error("the checkpoint has {0} bytes, more than {MAX_BYTES}")]
    TooLarge(usize),
    /// Not what this code, or the version before, writes.
    #[error("the checkpoint cannot be read: {0}")]
    Unreadable(String),
    /// Of a later version.
    #[error("the checkpoint is of version {0}, this is {VERSION}")]
    Newer(u32),
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    call: &'a Checkpoint,
}

#[derive(Deserialize)]
struct Head {
    v: u32,
}

#[derive(Deserialize)]
struct Read {
    call: Checkpoint,
}

impl Checkpoint {
    /// The document. If it is too long, the oldest turns are left out first, then the outcomes of tools that are done.
    ///
    /// # Errors
    /// [`CheckpointError::TooLarge`] if it does not fit without any of them either.
    pub fn encode(mut self) -> Result<Vec<u8>, CheckpointError> {
        loop {
            let document = written(&self)?;
            let Some(excess) = document.len().checked_sub(MAX_BYTES + 1) else {
                return Ok(document);
            };
            let mut freed = 0;
            while freed <= excess {
                if let Some(turn) = self.turns.pop_front() {
                    self.forgotten += 1;
                    freed += turn.written_bytes();
                } else if let Some(bytes) = self.tools.forget_oldest() {
                    freed += bytes;
                } else {
                    return Err(CheckpointError::TooLarge(document.len()));
                }
            }
        }
    }

    /// Reads a document of this version or an earlier one.
    ///
    /// # Errors
    /// When it is too large, of a later version, or no checkpoint.
    pub fn decode(document: &[u8]) -> Result<Self, CheckpointError> {
        if document.len() > MAX_BYTES {
            return Err(CheckpointError::TooLarge(document.len()));
        }
        let unreadable = |error: serde_json::Error| CheckpointError::Unreadable(error.to_string());
        let head: Head = serde_json::from_slice(document).map_err(unreadable)?;
        if head.v > VERSION {
            return Err(CheckpointError::Newer(head.v));
        }
        let read: Read = serde_json::from_slice(document).map_err(unreadable)?;
        Ok(read.call)
    }

    /// Whether there is something to go on with: the call had a media stream before, or has something to be told.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.elapsed_ms > 0
            || self.forgotten > 0
            || !self.turns.is_empty()
            || self.returned.is_some()
    }

    /// What the caller should meet next, and whom where that is somebody else.
    #[must_use]
    pub fn aftermath(&self) -> (NextStep, Option<&Destination>) {
        match &self.standing {
            Standing::Live => (NextStep::Reconnect, None),
            // A call that has cost enough asks no model any more.
            Standing::Leaving {
                reason: EndReason::BudgetReached,
                ..
            } => (NextStep::Fallback, None),
            // A caller who was promised a transfer gets it; a goodbye is said again.
            Standing::Leaving {
                reason: EndReason::Transferred,
                to: Some(to),
            } => (NextStep::Transfer, Some(to)),
            Standing::Leaving { .. } => (NextStep::Reconnect, None),
            Standing::Over { reason, to } => (reason.next_step(), to.as_ref()),
        }
    }

    /// Nobody took the caller whom this call sent to somebody else: it goes on with its agent, who is told. False if it
    /// does not, because that happened too often or because the call ended otherwise. Asking again changes nothing.
    pub fn come_back(&mut self, why: Unreached) -> bool {
        let to = match &self.standing {
            Standing::Live => return true,
            Standing::Leaving {
                reason: EndReason::Transferred,
                to,
            }
            | Standing::Over {
                reason: EndReason::Transferred,
                to,
            } => to.clone(),
            Standing::Leaving { .. } | Standing::Over { .. } => return false,
        };
        if self.returns >= MOST_RETURNS {
            return false;
        }
        self.returns += 1;
        self.returned = Some(Returned { to, why });
        self.briefing = None;
        self.person = None;
        self.standing = Standing::Live;
        true
    }
}

// Taken by reference, as serde wants it.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_none_yet(count: &u32) -> bool {
    *count == 0
}

/// A checkpoint written before there were tools has nothing there.
fn tools_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ToolMemory, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn written(call: &Checkpoint) -> Result<Vec<u8>, CheckpointError> {
    serde_json::to_vec(&Written { v: VERSION, call })
        .map_err(|error| CheckpointError::Unreadable(error.to_string()))
}
