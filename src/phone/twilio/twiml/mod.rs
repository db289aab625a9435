//! The TwiML documents we answer with (twilio.com/docs/voice/twiml).

mod write;

use switchboard_base::number::PhoneNumber;

/// Content type of every document.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";
/// Twilio refuses longer documents (error 11750).
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// Name and value of a stream parameter together (twilio.com/docs/voice/twiml/stream).
pub const MAX_PARAMETER_CHARS: usize = 499;
/// The longest text of a `<Say>` (twilio.com/docs/voice/twiml/say).
pub const MAX_SAY_CHARS: usize = 4_096;

/// Why a document cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TwimlError {
    /// Name and value are over [`MAX_PARAMETER_CHARS`].
    #[error(
        "stream parameter {name} is longer than {MAX_PARAMETER_CHARS} characters with its name"
    )]
    ParameterTooLong {
        /// The parameter.
        name: String,
    },
    /// A stream URL is a WebSocket address without a query, which Twilio would strip.
    #[error("stream URL is not a plain ws:// or wss:// address")]
    StreamUrl,
    /// Over [`MAX_SAY_CHARS`].
    #[error("spoken text is longer than {MAX_SAY_CHARS} characters")]
    SayTooLong,
    /// Over [`MAX_DOCUMENT_BYTES`].
    #[error("document is larger than {MAX_DOCUMENT_BYTES} bytes")]
    DocumentTooLarge,
    /// The XML writer failed.
    #[error("document cannot be written: {0}")]
    Write(String),
}

/// One verb of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Connects the call to a media stream; what follows it runs when the stream ends and no action is set.
    Connect(Connect),
    /// Speaks a text.
    Say {
        /// The words.
        text: String,
        /// A language tag such as `en-US`; `None`: the account's.
        language: Option<String>,
    },
    /// Calls somebody and connects the two.
    Dial(Dial),
    /// Meets somebody in a room that lives as long as both are in it.
    Meet {
        room: String,
        /// Asked for TwiML when it is over.
        action: Option<String>,
    },
    /// Speaks a text and waits for one key.
    Gather {
        /// The words.
        text: String,
        /// As of `Say`.
        language: Option<String>,
        /// Told which key it was.
        action: String,
    },
    /// Goes on with the document at an address.
    Redirect {
        /// The address.
        url: String,
    },
    /// Waits.
    Pause {
        /// So many seconds.
        seconds: u16,
    },
    /// Ends the call.
    Hangup,
    /// Refuses the call before it is answered, at no cost.
    Reject(RejectReason),
}

/// `<Dial>` of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// Whom.
    pub number: PhoneNumber,
    /// The number they see; `None`: the caller's.
    pub caller_id: Option<String>,
    /// Asked for TwiML when the dialled call ends.
    pub action: Option<String>,
    /// Asked for TwiML that the person who answers hears before the two are connected.
    pub screen: Option<String>,
    /// Whether a caller who was not answered yet hears it ring until somebody picks up.
    pub answer_on_bridge: bool,
    /// Seconds to let it ring; `None`: Twilio's 30.
    pub timeout_seconds: Option<u16>,
}

/// What a refused caller hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// A busy signal.
    Busy,
    /// "Not in service".
    Rejected,
}

/// `<Connect><Stream>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Asked for TwiML when the stream ends.
    pub action: String,
    /// The media socket's address.
    pub stream_url: String,
    /// Told when the stream starts, stops or fails.
    pub status_callback: Option<String>,
    /// Arrive as `start.customParameters`.
    pub parameters: Vec<(String, String)>,
}

/// A document, its verbs in the order they run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    verbs: Vec<Verb>,
}

impl Response {
    /// An empty document; by itself it ends the call.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a verb.
    #[must_use]
    pub fn verb(mut self, verb: Verb) -> Self {
        self.verbs.push(verb);
        self
    }

    /// Adds `<Connect><Stream>`.
    #[must_use]
    pub fn connect(self, connect: Connect) -> Self {
        self.verb(Verb::Connect(connect))
    }

    /// Adds a spoken text, in a language such as `en-US` or else the account's.
    #[must_use]
    pub fn say(self, text: &str, language: Option<&str>) -> Self {
        self.verb(Verb::Say {
            text: text.to_owned(),
            language: language.map(str::to_owned),
        })
    }

    /// Adds a call to a number; `caller_id` is what they see, `action` is asked afterwards.
    #[must_use]
    pub fn dial(self, number: &PhoneNumber, caller_id: Option<&str>, action: Option<&str>) -> Self {
        self.verb(Verb::Dial(Dial {
            number: number.clone(),
            caller_id: caller_id.map(str::to_owned),
            action: action.map(str::to_owned),
            screen: None,
            answer_on_bridge: false,
            timeout_seconds: None,
        }))
    }

    /// Adds a call to somebody who may not answer: `action` is told what came of it after so many seconds of ringing.
    #[must_use]
    pub fn transfer(
        self,
        number: &PhoneNumber,
        action: String,
        ring_seconds: u16,
        screen: Option<String>,
    ) -> Self {
        self.verb(Verb::Dial(Dial {
            number: number.clone(),
            caller_id: None,
            action: Some(action),
            screen,
            answer_on_bridge: true,
            timeout_seconds: Some(ring_seconds),
        }))
    }

    /// Adds a meeting with somebody who comes, or has come, there by themselves; `action` is asked when it is over.
    #[must_use]
    pub fn meet(self, room: String, action: Option<String>) -> Self {
        self.verb(Verb::Meet { room, action })
    }

    /// Adds a text after, or during, which one key is waited for; `action` is told which. Without a key the next verb
    /// runs.
    #[must_use]
    pub fn ask_for_key(self, text: &str, language: Option<&str>, action: String) -> Self {
        self.verb(Verb::Gather {
            text: text.to_owned(),
            language: language.map(str::to_owned),
            action,
        })
    }

    /// Adds a jump to another document.
    #[must_use]
    pub fn redirect(self, url: &str) -> Self {
        self.verb(Verb::Redirect {
            url: url.to_owned(),
        })
    }

    /// Adds a silence.
    #[must_use]
    pub fn pause(self, seconds: u16) -> Self {
        self.verb(Verb::Pause { seconds })
    }

    /// Adds the end of the call.
    #[must_use]
    pub fn hangup(self) -> Self {
        self.verb(Verb::Hangup)
    }

    /// Adds a refusal with a busy signal.
    #[must_use]
    pub fn busy(self) -> Self {
        self.verb(Verb::Reject(RejectReason::Busy))
    }

    /// The document as XML. Text is escaped; characters XML cannot carry are left out.
    ///
    /// # Errors
    /// When Twilio would refuse the document.
    pub fn to_xml(&self) -> Result<String, TwimlError> {
        for verb in &self.verbs {
            verb.check()?;
        }
        let xml = write::document(&self.verbs)?;
        if xml.len() > MAX_DOCUMENT_BYTES {
            return Err(TwimlError::DocumentTooLarge);
        }
        Ok(xml)
    }
}

impl Verb {
    /// What Twilio would refuse.
    fn check(&self) -> Result<(), TwimlError> {
        match self {
            Self::Connect(connect) => connect.check(),
            Self::Say { text, .. } | Self::Gather { text, .. }
                if text.chars().count() > MAX_SAY_CHARS =>
            {
                Err(TwimlError::SayTooLong)
            }
            _ => Ok(()),
        }
    }
}

impl Connect {
    fn check(&self) -> Result<(), TwimlError> {
        let url = &self.stream_url;
        let is_socket = url.starts_with("wss://") || url.starts_with("ws://");
        if !is_socket || url.contains(['?', '#']) {
            return Err(TwimlError::StreamUrl);
        }
        for (name, value) in &self.parameters {
            if name.chars().count() + value.chars().count() > MAX_PARAMETER_CHARS {
                return Err(TwimlError::ParameterTooLong {
                    name: write::clean(name).chars().take(64).collect(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
