//! What a call wants done, and what it has to tell.

use super::outcome::{ConsultCall, ConsultEnd, EndReason};
use crate::audio::payload::Payload;
use crate::call::state::StateName;
use crate::conversation::Turn;
use crate::ids::ModelId;
use crate::model::command::ModelCommand;
use crate::model::event::{ModelError, Usage};
use crate::phone::{CallSid, StreamSid};
use crate::time::Time;
use crate::tool::ToolRun;

use serde::Serialize;

/// Something to be carried out, in order.
#[derive(Debug)]
pub enum Effect {
    /// Open a model socket.
    DialModel,
    /// Close the model socket, whatever it is doing.
    CloseModel,
    /// Open a model socket beside the one in use.
    DialNext,
    /// Ask this of the session on that socket.
    ToNext(ModelCommand),
    /// Close that socket.
    CloseNext,
    /// Close the model socket in use, and use the next one from now on.
    TakeNext,
    /// Ask this of the model.
    ToModel(ModelCommand),
    /// Play this to the caller.
    Play {
        /// The stream.
        stream: StreamSid,
        /// The audio.
        payload: Payload,
        /// When its first byte is heard, by the playback clock.
        begins: Time,
    },
    /// Have Twilio say when it has played all that was sent so far.
    Mark {
        /// The stream.
        stream: StreamSid,
        /// Its name.
        name: String,
    },
    /// Have Twilio throw away what it has not played.
    Clear {
        /// The stream.
        stream: StreamSid,
    },
    /// Close the media socket.
    ClosePhone {
        /// The WebSocket close code.
        code: u16,
    },
    /// Run a tool, beside the call; its end is an event, whenever it comes.
    RunTool(Box<ToolRun>),
    /// Call a person for the caller, who stays meanwhile; what the person does is an event.
    DialConsult(Box<ConsultCall>),
    /// End a person's call: the caller does not come.
    EndConsult(ConsultEnd),
    /// Write the call's [checkpoint](crate::call::Call::checkpoint) down, off the call's path.
    Checkpoint,
    /// The call is over and nobody will ask for it: its checkpoint may go.
    Forget,
    /// For the log, the metrics and other subscribers.
    Report(Report),
}

impl Effect {
    /// Whether it is one of those that every end has.
    pub(super) const fn concludes(&self) -> bool {
        matches!(
            self,
            Self::Checkpoint
                | Self::Forget
                | Self::CloseModel
                | Self::ClosePhone { .. }
                | Self::Report(Report::State(StateName::Stop) | Report::Stopped(_))
        )
    }
}

/// Which peer did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// Twilio's media stream.
    #[serde(rename = "twilio")]
    Phone,
    /// The realtime session.
    Model,
}

impl Peer {
    /// The peer's name in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Phone => "twilio",
            Self::Model => "model",
        }
    }
}

/// Something worth telling.
#[derive(Debug, Serialize)]
#[serde(tag = "report", content = "data", rename_all = "snake_case")]
pub enum Report {
    /// The call is in another state.
    State(StateName),
    /// Twilio said `connected`.
    Connected {
        /// Its protocol.
        protocol: String,
        /// Its version.
        version: String,
    },
    /// Twilio said `start`.
    Started {
        /// The stream's SID.
        stream: StreamSid,
        /// The call's SID.
        call: CallSid,
        /// Custom parameters left out.
        refused_parameters: u32,
    },
    /// The stream cannot be served, in words for the log.
    StreamRefused {
        /// Why.
        why: String,
    },
    /// The media socket was lost without a word; another one may take its place.
    PhoneAway,
    /// Another media socket took the place of the lost one.
    PhoneBack {
        /// Milliseconds between them.
        away_ms: u64,
    },
    /// The caller's first frame.
    FirstCallerAudio,
    /// A dial of the model ended.
    ModelDialled {
        /// `ok`, or why not.
        result: &'static str,
        /// Milliseconds for which the server wants to be left alone, if it said so.
        not_before_ms: Option<u64>,
    },
    /// The session is configured and may be talked to.
    ModelReady {
        /// The session's id.
        session: Option<ModelId>,
        /// Milliseconds since it was dialled.
        after_ms: u64,
        /// Whether another session served this call before.
        again: bool,
    },
    /// The model socket is gone.
    ModelLost {
        /// Why.
        why: &'static str,
        /// Whether it will be dialled again.
        redial: bool,
    },
    /// The next session serves the call from now on.
    RolledOver {
        /// The session's id.
        session: Option<ModelId>,
        /// `ok`: between two turns; `forced`: at the last moment; `rescued`: the one before was lost.
        result: &'static str,
    },
    /// The next session could not be opened; it is tried again while there is time.
    RolloverFailed {
        /// Why.
        why: &'static str,
    },
    /// The server refused something.
    ModelComplains(Box<ModelError>),
    /// The server refused a part of the configuration, and the call goes on without it.
    LeftOut {
        /// The tool or the option, as the settings name it.
        part: String,
    },
    /// An answer was cut before its end, and not by the caller.
    AnswerCut {
        /// The item that was being said, if one was.
        item: Option<ModelId>,
        /// `tokens` or `filter`.
        why: &'static str,
    },
    /// The agent's first audio left for Twilio.
    FirstAgentAudio {
        /// Milliseconds since `start`.
        after_start_ms: u64,
    },
    /// A call that began on another media socket goes on on this one, or did not.
    Resumed {
        /// Whether the caller hears the agent again.
        audible: bool,
        /// Milliseconds since `start`.
        after_start_ms: u64,
        /// Turns the agent remembers.
        turns: u64,
        /// How often the call was resumed, this time included.
        resumes: u32,
    },
    /// The first audio of an answer left for Twilio.
    Answered {
        /// Microseconds since the caller fell silent.
        latency_us: u64,
    },
    /// A turn is over.
    Turn(Box<Turn>),
    /// The model's audio is not what was asked for and is transcoded.
    Transcoding,
    /// The caller interrupted the agent.
    Interrupted {
        /// Milliseconds of the running item that were heard.
        heard_ms: u64,
    },
    /// A peer broke a rule.
    Violation {
        /// Which.
        peer: Peer,
        /// The rule.
        kind: &'static str,
    },
    /// Caller audio had to be dropped.
    CallerAudioDropped {
        /// Bytes of it.
        bytes: u64,
    },
    /// Model audio was not sent on.
    AgentAudioDropped {
        /// Bytes of it.
        bytes: u64,
        /// Why.
        why: &'static str,
    },
    /// A response was paid for.
    Used {
        /// Tokens.
        usage: Usage,
        /// US dollars.
        dollars: f64,
    },
    /// The account's limits are nearly reached: the share left of the scarcest.
    RateLimits {
        /// 0.0 to 1.0.
        left: f64,
        /// Seconds until it is full again.
        reset_seconds: f64,
    },
    /// A tool is run.
    ToolStarted {
        /// The tool.
        tool: String,
        /// The run's number in this call.
        number: u32,
    },
    /// A tool was answered.
    Tool {
        /// The tool.
        tool: String,
        /// The run's number in this call.
        number: u32,
        /// What became of it.
        result: &'static str,
        /// Milliseconds since it was called.
        ms: u64,
    },
    /// The model's server ran a tool itself (MCP), or could not.
    ServerTool {
        /// The tool of the settings.
        tool: String,
        /// `ok`, `failed`, or `unlisted`: its server was not reached at all.
        result: &'static str,
        /// Milliseconds from the beginning of its item.
        ms: u64,
    },
    /// The call is over.
    Stopped(Box<Summary>),
}

/// The last word about a call.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Why it ended.
    pub reason: EndReason,
    /// How long it lasted.
    pub duration_ms: u64,
    /// Frames from the caller.
    pub frames_from_caller: u64,
    /// Messages with audio sent to the caller, counted in frames of 20 ms.
    pub frames_to_caller: u64,
    /// Turns.
    pub turns: u64,
    /// US dollars.
    pub cost_usd: f64,
    /// Where the caller goes now: the name of a transfer target, or words in the place of a number.
    pub transfer_to: Option<String>,
}
