//! Every way a call can end, named once for the log, the metrics and the admin pages.

use std::fmt;

use crate::wire::SocketFault;

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Twilio said `stop`: the caller hung up, or the call was ended or redirected at Twilio.
    CallerHungUp,
    /// The media socket closed without a `stop`.
    PhoneLost,
    /// The media socket stayed open and nothing came, or nothing was read.
    PhoneStalled,
    /// Audio that must have been heard was never said to have been played.
    NotPlayed,
    /// Twilio's status callback said that the stream failed.
    StreamFailed,
    /// `start` did not come in time.
    NoStart,
    /// Media came before `start`.
    MediaBeforeStart,
    /// A second `start` came, on this socket or on another one while this call's first lives.
    SecondStart,
    /// `start` named no valid stream and call.
    BadIdentifiers,
    /// `start` named another call than the ticket was for.
    ForeignCall,
    /// The stream's audio is not µ-law, 8,000 Hz, mono.
    UnsupportedFormat,
    /// Too many unusable messages.
    TooManyBadMessages,
    /// The media socket broke a WebSocket rule or limit.
    SocketFault(SocketFault),
    /// The model refuses us for good: key, quota, billing, model name.
    ModelRefused,
    /// The model could not be reached, or was lost too often.
    ModelLost,
    /// The model had a session and said nothing when it was its turn, though asked again.
    ModelSilent,
    /// The agent said goodbye and ended the call.
    AgentHungUp,
    /// The caller goes to somebody else.
    Transferred,
    /// The caller said nothing any more.
    CallerSilent,
    /// Something was heard, but nobody took a turn for long: hold music, noise.
    NobodyThere,
    /// The operator ended the call.
    OperatorHangUp,
    /// Twilio's status callback said that the call is over; its media socket outlived it.
    CallOver,
    /// The call's owner was lost, and the caller hung up before another took over.
    GoneMeanwhile,
    /// The process leaves; another instance goes on with the call.
    HandedOver,
    /// Another process took the call over while this one stood still; this one must not speak any more.
    Superseded,
    /// The call ended here, and the store did not say whether it was still this owner's. If another owner has it, that one
    /// tells its end.
    Unconfirmed,
    /// The call lasted as long as it may.
    TooLong,
    /// The call cost as much as it may; somebody cheaper goes on with the caller.
    BudgetReached,
    /// The call's own code failed too often.
    Fault,
    /// The call's actor died by a panic, and what it knew with it.
    Panicked,
}

/// What the caller should meet next, when Twilio asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// The conversation is over.
    HangUp,
    /// The caller is still there and must be looked after: the agent's fallback.
    Fallback,
    /// The caller is still there, and a new media stream can go on.
    Reconnect,
    /// Somebody else takes the call.
    Transfer,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 34] = [
        Self::CallerHungUp,
        Self::PhoneLost,
        Self::PhoneStalled,
        Self::NotPlayed,
        Self::StreamFailed,
        Self::NoStart,
        Self::MediaBeforeStart,
        Self::SecondStart,
        Self::BadIdentifiers,
        Self::ForeignCall,
        Self::UnsupportedFormat,
        Self::TooManyBadMessages,
        Self::SocketFault(SocketFault::Protocol),
        Self::SocketFault(SocketFault::NotUtf8),
        Self::SocketFault(SocketFault::TooLarge),
        Self::SocketFault(SocketFault::Binary),
        Self::SocketFault(SocketFault::Flood),
        Self::ModelRefused,
        Self::ModelLost,
        Self::ModelSilent,
        Self::AgentHungUp,
        Self::Transferred,
        Self::CallerSilent,
        Self::NobodyThere,
        Self::OperatorHangUp,
        Self::CallOver,
        Self::GoneMeanwhile,
        Self::HandedOver,
        Self::Superseded,
        Self::Unconfirmed,
        Self::TooLong,
        Self::BudgetReached,
        Self::Fault,
        Self::Panicked,
    ];

    /// The reason's name in the log, the metrics and the admin pages.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::PhoneLost => "phone_lost",
            Self::PhoneStalled => "phone_stalled",
            Self::NotPlayed => "not_played",
            Self::StreamFailed => "stream_failed",
            Self::NoStart => "no_start",
            Self::MediaBeforeStart => "media_before_start",
            Self::SecondStart => "second_start",
            Self::BadIdentifiers => "bad_identifiers",
            Self::ForeignCall => "foreign_call",
            Self::UnsupportedFormat => "unsupported_format",
            Self::TooManyBadMessages => "too_many_bad_messages",
            Self::SocketFault(fault) => fault.label(),
            Self::ModelRefused => "model_refused",
            Self::ModelLost => "model_lost",
            Self::ModelSilent => "model_silent",
            Self::AgentHungUp => "agent_hung_up",
            Self::Transferred => "transferred",
            Self::CallerSilent => "caller_silent",
            Self::NobodyThere => "nobody_there",
            Self::OperatorHangUp => "operator_hang_up",
            Self::CallOver => "call_over",
            Self::GoneMeanwhile => "gone_meanwhile",
            Self::HandedOver => "handed_over",
            Self::Superseded => "superseded",
            Self::Unconfirmed => "unconfirmed",
            Self::TooLong => "too_long",
            Self::BudgetReached => "budget_reached",
            Self::Fault => "fault",
            Self::Panicked => "panicked",
        }
    }

    /// The reason with this label.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.label() == label)
    }

    /// The WebSocket close code the media socket gets (RFC 6455, section 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::CallerHungUp
            | Self::PhoneLost
            | Self::StreamFailed
            | Self::ModelRefused
            | Self::ModelLost
            | Self::ModelSilent
            | Self::AgentHungUp
            | Self::Transferred
            | Self::CallerSilent
            | Self::NobodyThere
            | Self::OperatorHangUp
            | Self::CallOver
            | Self::GoneMeanwhile
            | Self::TooLong
            | Self::BudgetReached => 1000,
            Self::HandedOver | Self::Superseded | Self::Unconfirmed => 1001,
            Self::UnsupportedFormat => 1003,
            Self::TooManyBadMessages => 1007,
            Self::NoStart
            | Self::MediaBeforeStart
            | Self::SecondStart
            | Self::BadIdentifiers
            | Self::ForeignCall => 1008,
            Self::Fault | Self::Panicked => 1011,
            Self::PhoneStalled | Self::NotPlayed => 1013,
            Self::SocketFault(fault) => fault.close_code(),
        }
    }

    /// Whether a call that ended so went as it should.
    #[must_use]
    pub const fn is_regular(self) -> bool {
        matches!(
            self,
            Self::CallerHungUp
                | Self::AgentHungUp
                | Self::Transferred
                | Self::CallerSilent
                | Self::NobodyThere
                | Self::OperatorHangUp
                | Self::CallOver
                | Self::TooLong
                | Self::BudgetReached
                | Self::HandedOver
        )
    }

    /// Whether Twilio itself said that the call is over: nobody is left whom it could ask for.
    #[must_use]
    pub const fn is_end_at_twilio(self) -> bool {
        matches!(
            self,
            Self::CallerHungUp | Self::CallOver | Self::GoneMeanwhile
        )
    }

    /// What the caller should meet next.
    #[must_use]
    pub const fn next_step(self) -> NextStep {
        match self {
            Self::CallerHungUp
            | Self::AgentHungUp
            | Self::CallerSilent
            | Self::NobodyThere
            | Self::OperatorHangUp
            | Self::CallOver
            | Self::GoneMeanwhile
            | Self::TooLong => NextStep::HangUp,
            Self::Transferred => NextStep::Transfer,
            Self::HandedOver
            | Self::Superseded
            | Self::Unconfirmed
            | Self::PhoneLost
            | Self::StreamFailed => NextStep::Reconnect,
            Self::PhoneStalled
            | Self::NotPlayed
            | Self::NoStart
            | Self::MediaBeforeStart
            | Self::SecondStart
            | Self::BadIdentifiers
            | Self::ForeignCall
            | Self::UnsupportedFormat
            | Self::TooManyBadMessages
            | Self::SocketFault(_)
            | Self::ModelRefused
            | Self::ModelLost
            | Self::ModelSilent
            | Self::BudgetReached
            | Self::Fault
            | Self::Panicked => NextStep::Fallback,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl serde::Serialize for EndReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

impl<'de> serde::Deserialize<'de> for EndReason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let label = String::deserialize(deserializer)?;
        Self::from_label(&label)
            .ok_or_else(|| serde::de::Error::custom(format!("no end reason {label:?}")))
    }
}
