//! What can go wrong between Twilio and the service, on demand.

use std::time::Duration;

/// Something that goes wrong while a stream runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The TCP connection goes without `stop` and without a close frame; the caller is still there, so what follows
    /// `<Connect>` runs.
    DropSocket,
    /// The same, and the caller is gone with it: the abnormal end (close code 1006) seen in the field.
    Vanish,
    /// Nothing more is sent, marks included, while the socket stays open and is read.
    Stall,
    /// Ends a stall.
    Resume,
    /// Twilio reports a `stream-error` with this text; the socket stays open.
    StreamError(String),
    /// The socket is not read for so long.
    StopReading(Duration),
    /// This text, as it is. It takes no sequence number.
    Raw(String),
    /// A binary frame.
    Binary(Vec<u8>),
    /// A text frame of so many bytes: a media message with a long payload.
    HugeFrame(usize),
    /// Text that is not JSON.
    MalformedJson,
    /// A media message whose payload is not base64.
    InvalidBase64,
    /// A media message with the stream SID of another stream.
    ForeignStreamSid,
    /// A second `start`.
    SecondStart,
    /// The next sequence number is so much higher.
    SkipSequence(u64),
    /// So many frames of the caller are lost before they reach the socket.
    LoseFrames(u32),
}

/// How a stream begins; everything but [`Opening::Normal`] breaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Opening {
    /// `connected`, `start`, media.
    #[default]
    Normal,
    /// A media message between `connected` and `start`.
    MediaBeforeStart,
    /// `start` without `connected`.
    NoConnected,
    /// Two `start` messages.
    TwoStarts,
    /// `connected`, then nothing.
    NoStart,
    /// Nothing at all after the upgrade.
    Mute,
    /// `start` names the call SID of another call.
    ForeignCallSid,
    /// `start` names the SID of another account.
    ForeignAccountSid,
    /// `start` announces 16 kHz linear audio.
    OtherMediaFormat,
}
