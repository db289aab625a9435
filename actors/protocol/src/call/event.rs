//! What can happen to a call.

use super::outcome::{ConsultEvent, Destination};
use crate::model::event::ModelEvent;
use crate::model::session::SessionId;
use crate::phone::StreamSid;
use crate::phone::event::PhoneEvent;
use crate::tool::ToolFinished;

/// Everything that can happen to a call, from whichever side.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something on the phone leg: Twilio's media stream.
    Phone(PhoneEvent),
    /// Something on the model leg.
    Model {
        /// The session it comes from, as [`Effect::DialModel`](super::effect::Effect::DialModel) named it.
        session: SessionId,
        /// What it is.
        event: ModelEvent,
    },
    /// A wish of the operator.
    Operator(OperatorEvent),
    /// A tool the call had run is over.
    Tool(Box<ToolFinished>),
}

/// What an operator, or a callback of Twilio's, can ask of a call. [`Call::objection`](super::Call::objection) says
/// whether it can be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorEvent {
    /// End the call.
    HangUp,
    /// Twilio reports, outside the media socket, that the call is over.
    CallOver,
    /// Twilio reports, outside the media socket, that the stream failed.
    StreamFailed {
        /// The stream it names; another one's failure, told late, is not this one's.
        stream: Option<StreamSid>,
    },
    /// The process leaves: close so that Twilio's next verb takes the call elsewhere.
    HandOver,
    /// Another process owns the call by now.
    Superseded,
    /// The call has another media stream that lives: this one has no ticket, and is one too many.
    SecondStream,
    /// The process stood still for a while and goes on: the call may be another's by now.
    WokeUp,
    /// Have the agent say exactly this, in its own voice.
    Say(OperatorText),
    /// Have the model know this from its next answer on.
    Instruct(OperatorText),
    /// Get the caller to somebody else.
    Transfer(Destination),
    /// News of a person who is called for the caller.
    Consult(ConsultEvent),
}

/// Characters of an operator's words.
pub const MAX_WORDS: usize = 2_000;

/// An operator's words: at least one that can be seen, at most [`MAX_WORDS`] characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorText(String);

/// Why a text is no [`OperatorText`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWords {
    /// Nothing in it.
    #[error("the text is empty")]
    Empty,
    /// Over [`MAX_WORDS`].
    #[error("the text is longer than {MAX_WORDS} characters")]
    TooLong,
}

impl OperatorText {
    /// Reads a text; space around it is dropped.
    ///
    /// # Errors
    /// When there is nothing in it, or too much.
    pub fn parse(text: &str) -> Result<Self, BadWords> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadWords::Empty);
        }
        if text.chars().count() > MAX_WORDS {
            return Err(BadWords::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn to_be_said(&self) -> String {
        format!(
            "Say exactly the following text to the caller, word for word, in your own voice, and nothing before or \
             after it:\n{}",
            self.0
        )
    }
}
