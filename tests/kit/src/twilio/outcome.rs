//! Everything that is known about a call when it is over.

use serde::Serialize;

use super::twiml::{Document, Verb};
use super::webhook::{Method, Params};

/// One call from the webhook to its end. Times are milliseconds since it began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallOutcome {
    pub call_sid: String,
    /// How long it lasted.
    pub duration_ms: u64,
    /// How it ended.
    pub end: CallEnd,
    /// Every request for TwiML with its answer.
    pub documents: Vec<DocumentRecord>,
    /// Every verb that was run, in order.
    pub verbs: Vec<VerbRecord>,
    /// Every media stream, refused ones included.
    pub streams: Vec<StreamOutcome>,
    /// Every status callback with its answer.
    pub callbacks: Vec<CallbackRecord>,
}

impl CallOutcome {
    /// The whole call as two µ-law timelines of equal length, caller and agent, silent between streams.
    #[must_use]
    pub fn stereo(&self) -> (Vec<u8>, Vec<u8>) {
        let mut caller = Vec::new();
        let mut agent = Vec::new();
        for stream in &self.streams {
            let start = usize::try_from(stream.started_ms * 8).unwrap_or(usize::MAX);
            for (side, audio) in [(&mut caller, &stream.said), (&mut agent, &stream.heard)] {
                if side.len() < start {
                    side.resize(start, call_protocol::audio::SILENCE);
                }
                side.extend_from_slice(audio);
            }
        }
        (caller, agent)
    }

    /// The texts of all `<Say>` verbs that were run.
    #[must_use]
    pub fn said_by_twiml(&self) -> Vec<&str> {
        let mut texts = Vec::new();
        for record in &self.verbs {
            if let Verb::Say { text, .. } = &record.verb {
                texts.push(text.as_str());
            }
        }
        texts
    }

    /// The same, with what `<Gather>` verbs said, in the order they were run.
    #[must_use]
    pub fn spoken(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for record in &self.verbs {
            if let Verb::Say { text, .. } | Verb::Gather { text, .. } = &record.verb {
                texts.push(text.clone());
            }
        }
        texts
    }

    /// The numbers of all `<Dial>` verbs that were run.
    #[must_use]
    pub fn dialled(&self) -> Vec<&str> {
        let mut dialled = Vec::new();
        for record in &self.verbs {
            if let Verb::Dial { numbers, .. } = &record.verb {
                dialled.extend(numbers.iter().map(String::as_str));
            }
        }
        dialled
    }

    /// All warnings of all streams and all problems of all documents, as code and text.
    #[must_use]
    pub fn complaints(&self) -> Vec<(u32, &str)> {
        let mut complaints = Vec::new();
        for record in &self.documents {
            match &record.result {
                Ok(document) => {
                    for problem in &document.problems {
                        complaints.push((problem.code, problem.text.as_str()));
                    }
                }
                Err(failure) => complaints.push((failure.code, failure.text.as_str())),
            }
        }
        for stream in &self.streams {
            for warning in &stream.warnings {
                complaints.push((warning.code, warning.text.as_str()));
            }
        }
        complaints
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum CallEnd {
    CallerHungUp,
    /// The caller hung up because the call did not go as it should.
    CallerGaveUp {
        /// What was wrong.
        why: String,
    },
    /// The connection to the caller was lost ([`Fault::Vanish`](super::Fault::Vanish)).
    CallerVanished,
    /// The last verb was run and nothing follows.
    DocumentEnded,
    /// `<Hangup/>`.
    HungUp,
    /// `<Reject/>`.
    Rejected {
        /// `rejected` or `busy`.
        reason: String,
    },
    /// No TwiML to go on with: the caller hears an error message and is cut off.
    ApplicationError {
        /// Twilio's error code.
        code: u32,
        /// What went wrong.
        text: String,
    },
    /// The call was completed through [`Exchange`](super::Exchange).
    Completed,
    /// The line's time limit for a call.
    TimeLimit,
}

/// A request for TwiML and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentRecord {
    /// When it was requested.
    pub at_ms: u64,
    /// The URL asked.
    pub url: String,
    /// How it was asked.
    pub method: Method,
    /// The fields sent.
    pub params: Params,
    /// Milliseconds to the complete answer.
    pub took_ms: u64,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The body, when there was one.
    pub body: String,
    /// The document, or why there is none.
    pub result: Result<Document, DocumentFailure>,
}

/// Why a request gave no document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentFailure {
    /// Twilio's error code: 11200, 11205, 11750, 12100, 12300.
    pub code: u32,
    /// What went wrong.
    pub text: String,
}

/// A verb that was run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerbRecord {
    /// When it began.
    pub at_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    pub verb: Verb,
    /// `DialCallStatus` of a `<Dial>`.
    pub dial_status: Option<&'static str>,
    /// What the party rung by a `<Dial>` heard before the two were connected.
    pub briefing: Option<String>,
}

/// A status callback and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallbackRecord {
    /// When the answer was there.
    pub at_ms: u64,
    /// Where it was sent.
    pub url: String,
    /// The fields sent.
    pub params: Params,
    /// The HTTP status, or why there was no answer.
    pub answer: Result<u16, String>,
}

/// One media stream. Times inside it are milliseconds since its `start`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamOutcome {
    pub stream_sid: String,
    /// The socket's URL as signed.
    pub url: String,
    /// When `start` was sent, in milliseconds since the call began; the timelines begin here.
    pub started_ms: u64,
    /// How long the stream lasted.
    pub duration_ms: u64,
    /// From dialling to the 101 answer; `None` when refused.
    pub upgrade_ms: Option<u64>,
    /// From `start` to the first media message.
    pub first_audio_ms: Option<u64>,
    /// What the caller said, µ-law; empty when the line does not record.
    #[serde(skip)]
    pub said: Vec<u8>,
    /// What the caller heard, µ-law, same time base.
    #[serde(skip)]
    pub heard: Vec<u8>,
    /// When the agent was audibly speaking.
    pub agent_speech: Vec<Span>,
    /// When the caller was audibly speaking.
    pub caller_speech: Vec<Span>,
    /// The playback queue's log.
    pub playback: Vec<PlaybackEntry>,
    /// Gaps below 500 ms in the middle of the agent's audio.
    pub underruns: Underruns,
    /// Everything Twilio would complain about; it would report each code once a stream, here is all of it.
    pub warnings: Vec<Warning>,
    /// Caller frames sent.
    pub frames_sent: u64,
    /// Caller frames dropped because the service did not read (31930).
    pub frames_dropped: u64,
    /// Media messages received.
    pub media_messages: u64,
    /// Bytes of audio received.
    pub media_bytes: u64,
    /// Pings answered.
    pub pings: u64,
    /// How it ended.
    pub end: StreamEnd,
}

impl StreamOutcome {
    /// Milliseconds of audio that `clear` threw away.
    #[must_use]
    pub fn thrown_away_ms(&self) -> u64 {
        let cleared = |entry: &PlaybackEntry| match entry.what {
            PlaybackStep::Cleared { discarded_ms, .. } => discarded_ms,
            _ => 0,
        };
        self.playback.iter().map(cleared).sum()
    }

    /// For each time the caller spoke into the agent's speech: milliseconds from the caller's first sound until the
    /// agent fell silent.
    #[must_use]
    pub fn overlaps(&self) -> Vec<u64> {
        let mut overlaps = Vec::new();
        for caller in &self.caller_speech {
            let into =
                |agent: &&Span| agent.from_ms < caller.from_ms && caller.from_ms < agent.to_ms;
            if let Some(agent) = self.agent_speech.iter().find(into) {
                overlaps.push(agent.to_ms - caller.from_ms);
            }
        }
        overlaps
    }
}

/// A stretch of speech, in milliseconds since the stream's `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// First loud frame.
    pub from_ms: u64,
    /// End of the last loud frame.
    pub to_ms: u64,
}

/// How often and for how long playback ran dry in the middle of a run of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Underruns {
    /// How often.
    pub count: u64,
    /// Milliseconds in all, rounded up each.
    pub ms: u64,
}

/// One line of the playback log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlaybackEntry {
    /// Milliseconds since `start`.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: PlaybackStep,
}

/// What happened to the playback queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum PlaybackStep {
    /// Audio arrived.
    Media {
        /// Bytes of µ-law.
        bytes: usize,
        /// When its first byte is played.
        plays_at_ms: u64,
        /// True when the caller heard silence before it.
        after_silence: bool,
    },
    /// A mark arrived.
    MarkReceived { name: String },
    /// A mark was sent back.
    MarkEchoed {
        name: String,
        /// True when a `clear` flushed it.
        flushed: bool,
    },
    /// A `clear` arrived.
    Cleared {
        /// Milliseconds of audio thrown away.
        discarded_ms: u64,
        /// Marks flushed.
        marks: usize,
    },
}

/// Something Twilio's debugger would show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Milliseconds since `start`; 0 before it.
    pub at_ms: u64,
    /// Twilio's code, e.g. 31951.
    pub code: u32,
    /// What is wrong, with the offending text (shortened).
    pub text: String,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum StreamEnd {
    /// The socket was never open (31901…31923, 31941).
    HandshakeFailed {
        /// Twilio's error code.
        code: u32,
        /// The HTTP status, when there was an answer.
        status: Option<u16>,
        /// What went wrong.
        text: String,
    },
    /// The service closed the socket (Twilio's debugger shows 31921 even when it was meant).
    ServerClosed {
        /// The close code; `None` for a close frame without one.
        code: Option<u16>,
        /// The close reason.
        reason: String,
    },
    /// The TCP connection broke without a close frame (31903).
    ServerDropped {
        /// What was seen.
        text: String,
    },
    /// The service broke the WebSocket protocol (31924).
    ProtocolError {
        /// What was seen.
        text: String,
    },
    /// The caller hung up: `stop`, close 1000.
    CallerHungUp,
    /// The call was completed or redirected from outside, or ran out of time: `stop`, close 1000.
    Stopped,
    /// The socket was dropped without `stop` by a [`Fault`](super::Fault).
    Dropped,
}

impl StreamEnd {
    /// The text of a `stream-error` callback, when Twilio counts this end as an error.
    #[must_use]
    pub fn error(&self) -> Option<(u32, String)> {
        match self {
            Self::HandshakeFailed { code, text, .. } => Some((*code, text.clone())),
            Self::ServerDropped { text } => Some((31_903, text.clone())),
            Self::ProtocolError { text } => Some((31_924, text.clone())),
            Self::Dropped => Some((31_924, "stream - websocket - protocol error".to_owned())),
            Self::ServerClosed { .. } | Self::CallerHungUp | Self::Stopped => None,
        }
    }
}
