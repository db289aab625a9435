//! A call as the operator sees it.

use serde::Serialize;

use super::Call;
use super::effect::Peer;
use super::outcome::{Destination, EndReason};
use super::state::{State, StateName};
use crate::conversation::Turn;
use crate::ids::ModelId;
use crate::phone::{CallSid, StreamSid};
use crate::time::Time;

/// What the list of live calls shows of a call's machine.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The call, once `start` named it, or the ticket.
    pub call_sid: Option<CallSid>,
    /// The stream, from `start` on.
    pub stream_sid: Option<StreamSid>,
    /// The machine's state.
    pub state: StateName,
    /// Why it ended.
    pub ended: Option<EndReason>,
    /// Where the caller goes after the end.
    #[serde(skip)]
    pub transfer_to: Option<Destination>,
    /// The person who waits there for the caller, by the number in this call.
    #[serde(skip)]
    pub awaited_by: Option<u32>,
    /// How often the call went on on another media socket.
    #[serde(skip)]
    pub resumes: u32,
    /// The agent's name.
    pub agent: String,
    /// Since the media socket was accepted.
    pub duration_ms: u64,
    /// The model leg.
    pub model: ModelSnapshot,
    /// Frames of 20 ms.
    pub frames: Frames,
    /// Turns so far.
    pub turns: u64,
    /// From the caller's last word to the first audio of the answer.
    pub turn_latency_ms: Percentiles,
    /// US dollars.
    pub cost_usd: f64,
}

/// The model leg of a call.
#[derive(Clone, Debug, Serialize)]
pub struct ModelSnapshot {
    /// `dialling`, `ready`, `reconnecting` or `lost`.
    pub state: &'static str,
    /// The session, once there is one.
    pub session_id: Option<ModelId>,
    /// The model asked for.
    pub model: String,
    /// Sessions after the first.
    pub reconnects: u64,
}

/// Frames of 20 ms.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Frames {
    /// Received from the caller.
    pub from_caller: u64,
    /// Sent to the caller.
    pub to_caller: u64,
    /// Dropped, in either direction.
    pub dropped: u64,
}

/// A latency, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// The last one.
    pub last: Option<u64>,
    /// Half were faster.
    pub p50: Option<u64>,
    /// All but one in twenty were faster.
    pub p95: Option<u64>,
}

/// What the page of one call shows beyond its row.
#[derive(Clone, Debug, Serialize)]
pub struct Detail {
    /// The turns, oldest first.
    pub turns: Vec<Turn>,
    /// Tool calls, oldest first.
    pub tools: Vec<ToolRow>,
    /// Who is called for the caller.
    pub person: Option<PersonRow>,
    /// How often the call went on on another media socket.
    pub resumes: u32,
    /// Milliseconds the call lasted before this one.
    pub before_ms: u64,
    /// Interruptions by the caller.
    pub barge_ins: u64,
    /// Gaps in Twilio's sequence numbers.
    pub sequence_gaps: u64,
    /// Milliseconds of silence sent to the model in place of missing frames.
    pub filled_ms: u64,
    /// Whether the model's audio is being transcoded.
    pub transcoding: bool,
    /// Broken rules, by peer and kind.
    pub violations: Vec<ViolationCount>,
    /// What was sent, heard, thrown away, in milliseconds.
    pub playback: PlaybackMs,
}

/// A tool call; what it was about is not for this page.
#[derive(Clone, Debug, Serialize)]
pub struct ToolRow {
    /// The tool.
    pub name: String,
    /// `running`, or what became of it.
    pub state: &'static str,
    /// When it was called, since the media socket was accepted.
    pub at_ms: u64,
    /// How long it took, or has taken so far.
    pub ms: u64,
    /// Whether it changes something in the world.
    pub effects: bool,
}

/// A person who is called while the caller stays with the agent.
#[derive(Clone, Debug, Serialize)]
pub struct PersonRow {
    /// The name of a transfer target, or words in the place of a number.
    pub to: String,
    /// `ringing`, `briefed` or `waiting`.
    pub stage: &'static str,
}

/// How often a peer broke a rule.
#[derive(Clone, Debug, Serialize)]
pub struct ViolationCount {
    /// `twilio` or `model`.
    pub peer: &'static str,
    /// The rule.
    pub kind: &'static str,
    /// How often.
    pub count: u64,
}

/// The ledger's totals, in milliseconds of audio.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PlaybackMs {
    /// Sent to Twilio.
    pub sent: u64,
    /// Heard by the caller.
    pub heard: u64,
    /// Thrown away inside Twilio.
    pub flushed: u64,
    /// Inside Twilio now.
    pub outstanding: u64,
}

impl Call {
    /// The call's row.
    #[must_use]
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let stream = self.state.stream();
        let (ended, ended_at, last_stream) = match &self.state {
            State::Stop(ended) => (Some(ended.reason), Some(ended.at), ended.stream),
            State::Away(absence) => (None, None, Some(absence.lost)),
            State::Accepted(_) | State::Connected(_) | State::Start(_) | State::Media(_) => {
                (None, None, None)
            }
        };
        let latency = |quantile| {
            self.turn_latency
                .quantile(quantile)
                .map(|micros| micros / 1_000)
        };
        Snapshot {
            call_sid: self.call_sid(),
            stream_sid: stream.map(|stream| stream.sid).or(last_stream),
            state: self.state.name(),
            ended,
            awaited_by: self.awaited_by(),
            transfer_to: self
                .closing
                .destination()
                .cloned()
                .filter(|_| ended == Some(EndReason::Transferred)),
            resumes: self.resumes(),
            agent: self.setup.agent.name.clone(),
            duration_ms: ended_at.unwrap_or(now).as_millis(),
            model: ModelSnapshot {
                state: self.link.label(self.sessions > 0),
                session_id: self.session_id(),
                model: self.setup.agent.model.clone(),
                reconnects: self.tally.reconnects,
            },
            frames: Frames {
                from_caller: self.tally.frames_from_caller,
                to_caller: self.tally.frames_to_caller(),
                dropped: self
                    .tally
                    .dropped_bytes
                    .div_ceil(crate::audio::FRAME_BYTES as u64),
            },
            turns: self.conversation.count(),
            turn_latency_ms: Percentiles {
                last: self.turn_latency.last().map(|micros| micros / 1_000),
                p50: latency(0.5),
                p95: latency(0.95),
            },
            cost_usd: self.tally.cost_usd,
        }
    }

    /// The call's page.
    #[must_use]
    pub fn detail(&self, now: Time) -> Detail {
        let totals = self
            .state
            .stream()
            .map(|stream| stream.playback.totals(now))
            .unwrap_or_default();
        let violations = self.tally.violations.iter();
        Detail {
            turns: self.conversation.turns().cloned().collect(),
            tools: self.tool_rows(now),
            person: self.person_row(),
            resumes: self.resumes(),
            before_ms: self.before_ms(),
            barge_ins: self.tally.barge_ins,
            sequence_gaps: self.tally.sequence_gaps,
            filled_ms: self.tally.filled_ms,
            transcoding: matches!(&self.link, crate::model::link::Link::Ready(session) if session.guard.is_transcoding()),
            violations: violations
                .map(|((peer, kind), count)| ViolationCount {
                    peer,
                    kind,
                    count: *count,
                })
                .collect(),
            playback: PlaybackMs {
                sent: totals.sent / crate::audio::BYTES_PER_MS,
                heard: totals.heard / crate::audio::BYTES_PER_MS,
                flushed: totals.flushed / crate::audio::BYTES_PER_MS,
                outstanding: totals.outstanding / crate::audio::BYTES_PER_MS,
            },
        }
    }

    fn tool_rows(&self, now: Time) -> Vec<ToolRow> {
        let rows = self.runs.memory.records().map(|record| ToolRow {
            name: record.tool.clone(),
            state: record.state(),
            at_ms: record.at_ms,
            ms: record
                .ms
                .unwrap_or_else(|| now.as_millis().saturating_sub(record.at_ms)),
            effects: record.effects,
        });
        rows.chain(self.server_tools.rows()).collect()
    }

    fn session_id(&self) -> Option<ModelId> {
        match &self.link {
            crate::model::link::Link::Ready(session) => session.id.clone(),
            crate::model::link::Link::Configuring(configuring) => configuring.session.clone(),
            crate::model::link::Link::Dialling { .. }
            | crate::model::link::Link::Waiting
            | crate::model::link::Link::Lost => None,
        }
    }

    /// How often a peer broke a rule, for tests and pages.
    #[must_use]
    pub fn violations(&self, peer: Peer, kind: &str) -> u64 {
        let of = |((who, what), count): (&(&str, &str), &u64)| {
            (*who == peer.label() && *what == kind).then_some(*count)
        };
        self.tally.violations.iter().find_map(of).unwrap_or(0)
    }
}
