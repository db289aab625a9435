//! A live call as a row of a list.

use std::time::SystemTime;

use call_protocol::call::snapshot::{Frames, ModelSnapshot, Percentiles};
use call_protocol::call::state::StateName;
use call_protocol::phone::{CallSid, StreamSid};
use serde::Serialize;

use crate::call::BridgeLatency;

/// A live call as the operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The call; null until known (a socket without a ticket, before `start`).
    pub call_sid: Option<CallSid>,
    /// The stream; null before `start`.
    pub stream_sid: Option<StreamSid>,
    /// The machine's state.
    pub state: StateName,
    /// Who answers.
    pub agent: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// The caller's number, masked.
    pub from: Option<String>,
    /// The number called.
    pub to: Option<String>,
    /// When the media socket was accepted, RFC 3339.
    pub started_at: String,
    /// Since then.
    pub duration_ms: u64,
    /// How often the call's machine was built anew, by this process and those before it.
    pub restarts: u64,
    /// The model leg.
    pub model: ModelSnapshot,
    /// Frames of 20 ms.
    pub frames: Frames,
    /// Turns so far.
    pub turns: u64,
    /// From the caller's last word to the first audio of the answer.
    pub turn_latency_ms: Percentiles,
    /// What the bridge adds to a frame.
    pub bridge_latency_us: BridgeLatency,
    /// US dollars.
    pub cost_usd: f64,
}

/// A moment as the admin pages write it.
pub(super) fn rfc3339(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| String::new(), |at| format!("{at:.0}"))
}
