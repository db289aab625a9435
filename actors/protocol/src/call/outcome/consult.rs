//! The consultation leg of an attended transfer: who is called, and how far they are.

use serde::{Deserialize, Serialize};

use super::transfer::{Destination, Unreached};
use crate::phone::CallSid;

/// How far a person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Their phone rings, or is about to.
    Ringing,
    /// They have answered and hear what the call is about.
    Briefed,
    /// They have taken the call and wait for the caller.
    Waiting,
}

impl Stage {
    /// The stage's name on the admin pages.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Briefed => "briefed",
            Self::Waiting => "waiting",
        }
    }
}

/// A person who is called for the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The how manieth of this call; with the call's SID it names this wish, which is carried out once.
    pub attempt: u32,
    /// Who.
    pub to: Destination,
    /// The call to them, once Twilio has named it.
    pub leg: Option<CallSid>,
    /// How far they are.
    pub stage: Stage,
}

/// A person to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsultCall {
    /// The how manieth of this call.
    pub attempt: u32,
    /// Who.
    pub to: Destination,
}

/// A person's call to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsultEnd {
    /// The call to them.
    pub leg: CallSid,
    /// Whether they have answered, and should hear why.
    pub answered: bool,
}

/// What a person who is called does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsultEvent {
    /// Twilio calls them.
    Placed {
        /// The how manieth of this call.
        attempt: u32,
        /// The call to them.
        leg: CallSid,
    },
    /// They have answered and hear the briefing.
    Answered {
        /// The how manieth of this call.
        attempt: u32,
        /// The call to them.
        leg: CallSid,
    },
    /// They take the caller.
    Takes {
        /// The how manieth of this call.
        attempt: u32,
    },
    /// Twilio would not call them, or the call to them is over.
    Gone {
        /// The how manieth of this call.
        attempt: u32,
        /// Why they do not take the caller.
        why: Unreached,
    },
}

impl ConsultEvent {
    /// The how manieth person of the call it is about.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        match self {
            Self::Placed { attempt, .. }
            | Self::Answered { attempt, .. }
            | Self::Takes { attempt }
            | Self::Gone { attempt, .. } => *attempt,
        }
    }
}
