//! The metrics of the service. Their names are a contract with dashboards; labels never hold a SID or a number.
//!
//! Everything lives in one registry per service, so that several services in one process (tests) do not mix.

mod maker;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use call_protocol::call::outcome::EndReason;
use prometheus::{
    Counter, Encoder as _, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Registry, TextEncoder,
};

use self::maker::{Family, Maker};

/// The four states of a call's machine, the label set of `switchboard_calls_active`.
pub const CALL_STATES: [&str; 4] = ["connected", "start", "media", "stop"];
/// How dialling the model ended.
pub const MODEL_CONNECT_RESULTS: [&str; 7] = [
    "ok",
    "unauthorized",
    "rate_limited",
    "server_error",
    "refused",
    "timeout",
    "network",
];
/// How a change to a fresh model session ended: between two turns, at the last moment, because the one before was
/// lost, or not at all.
pub const ROLLOVER_RESULTS: [&str; 4] = ["ok", "forced", "rescued", "failed"];
/// How a call's continuation from its checkpoint ended; or another media socket took a lost one's place, and no
/// checkpoint was needed.
pub const RESUME_RESULTS: [&str; 3] = ["ok", "failed", "adopted"];
/// Why calls were built anew or their callers led to others, in this order: a fault in a handler, an actor that takes no
/// messages, an actor that died.
pub const RESTART_REASONS: [&str; 3] = [FAULT, STUCK, PANIC];
/// A panic in a handler of the call's actor was caught.
pub(crate) const FAULT: &str = "fault";
/// The call's actor takes no messages.
pub(crate) const STUCK: &str = "stuck";
/// The call's actor died by a panic.
pub(crate) const PANIC: &str = "panic";
/// Why requests to the admin listener were refused: without a token, with a wrong one, for a name that is not this
/// machine's, for a page from elsewhere; or never came to their end, made room for others, or had answers nobody read.
pub const ADMIN_REFUSALS: [&str; 7] = [
    "no_token",
    "wrong_token",
    "foreign_host",
    "foreign_origin",
    "slow_head",
    "crowded",
    "unread",
];
/// What tokens were billed as.
pub const TOKEN_KINDS: [&str; 5] = ["text_in", "audio_in", "cached_in", "text_out", "audio_out"];
/// The files of the data directory.
pub const DATA_FILES: [&str; 2] = ["book", "calls"];
/// What can befall one of them: it is not there any more, another has its place, its content is spoilt, a newer version
/// wrote it, or it cannot be used for what the system or its tables say.
pub const FILE_FAULTS: [&str; 5] = ["gone", "replaced", "damaged", "newer", "unusable"];
/// Which socket broke its protocol.
pub const PEERS: [&str; 2] = ["twilio", "model"];

/// From 10 µs, since forwarding a frame costs tens of them, to the 100 ms at which a caller would hear it.
const BRIDGE_BUCKETS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1,
];
/// Around the half second that people take for an answer.
const TURN_BUCKETS: &[f64] = &[
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0,
];
/// Up to the 16 s after which a caller without a model is told so.
const CONNECT_BUCKETS: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 16.0, 30.0,
];
/// From a wrong number to the model's longest session and beyond.
const CALL_BUCKETS: &[f64] = &[
    5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0,
];
/// A tool's timeout is at most a minute.
const TOOL_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// All metrics. Clones share their values.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Names and kinds of families that have no child yet and would be missing from a scrape.
    families: Vec<Family>,
    /// Frames from the caller to the model.
    pub frames_from_caller: FrameCounters,
    /// Frames from the model to the caller.
    pub frames_to_caller: FrameCounters,
    /// Time a frame from the caller spends in this process.
    pub bridge_from_caller: Histogram,
    /// Time a frame to the caller spends in this process.
    pub bridge_to_caller: Histogram,
    /// From the model's word that the caller speaks to the `clear` that silences the agent.
    pub bridge_clear: Histogram,
    /// Callers who spoke while the agent did.
    pub barge_ins: IntCounter,
    /// Panics anywhere in the process, for the panic hook.
    pub panics: IntCounter,
    /// Work the call store's queue had no room for.
    pub store_overflow: IntCounter,
    /// Lines the reader of a call's tap was too slow for.
    pub tap_overflow: IntCounter,
    events_dropped: IntCounterVec,
    calls_active: IntGaugeVec,
    calls: IntCounterVec,
    call_restarts: IntCounterVec,
    call_duration: Histogram,
    turn_latency: Histogram,
    model_latency: Histogram,
    first_audio: Histogram,
    model_connects: IntCounterVec,
    model_reconnect: Histogram,
    session_rollovers: IntCounterVec,
    resumes: IntCounterVec,
    admission_rejected: IntCounterVec,
    code_guesses: IntCounter,
    webhook_rejected: IntCounterVec,
    stream_rejected: IntCounterVec,
    admin_refused: IntCounterVec,
    protocol_violations: IntCounterVec,
    tool_seconds: HistogramVec,
    tokens: IntCounterVec,
    cost_usd: Counter,
    file_faults: IntCounterVec,
}

/// What became of frames in one direction, resolved once for the hot path.
#[derive(Clone)]
pub struct FrameCounters {
    /// Passed on.
    pub forwarded: IntCounter,
    /// Lost to a full queue or a bad payload.
    pub dropped: IntCounter,
}

/// Counts what befalls one of [`DATA_FILES`].
#[derive(Clone, Debug)]
pub struct FileFaults {
    file: &'static str,
    faults: IntCounterVec,
}

impl FileFaults {
    /// One of [`FILE_FAULTS`] befell it.
    pub fn count(&self, fault: &'static str) {
        self.faults.with_label_values(&[self.file, fault]).inc();
    }
}

impl Metrics {
    /// A registry with every metric of the contract at zero. `version` is the build's.
    ///
    /// # Errors
    /// When two metrics share a name: a mistake in this file.
    pub fn new(version: &str) -> Result<Self, prometheus::Error> {
        let mut make = Maker {
            registry: Registry::new(),
            families: Vec::new(),
        };
        let frames = make.counters(
            "switchboard_audio_frames_total",
            "Audio frames by direction and what became of them",
            &["direction", "result"],
        )?;
        let bridge = make.histograms(
            "switchboard_bridge_latency_seconds",
            "Time from a frame's arrival to its hand-over to the other socket",
            &["direction"],
            BRIDGE_BUCKETS,
        )?;
        let frame_counters = |direction: &str| FrameCounters {
            forwarded: frames.with_label_values(&[direction, "forwarded"]),
            dropped: frames.with_label_values(&[direction, "dropped"]),
        };
        let overflow = make.counters(
            "switchboard_queue_overflow_total",
            "What a full queue had no room for, by queue; frames are counted by what became of them",
            &["queue"],
        )?;
        let build_info = make.gauges(
            "switchboard_build_info",
            "The running build, always 1",
            &["version"],
        )?;
        build_info.with_label_values(&[version]).set(1);

        let metrics = Self {
            frames_from_caller: frame_counters("from_caller"),
            frames_to_caller: frame_counters("to_caller"),
            bridge_from_caller: bridge.with_label_values(&["from_caller"]),
            bridge_to_caller: bridge.with_label_values(&["to_caller"]),
            bridge_clear: bridge.with_label_values(&["clear"]),
            barge_ins: make.counter(
                "switchboard_barge_ins_total",
                "Callers who spoke while the agent did",
            )?,
            panics: make.counter("switchboard_panics_total", "Panics anywhere in the process")?,
            store_overflow: overflow.with_label_values(&["store"]),
            tap_overflow: overflow.with_label_values(&["tap"]),
            events_dropped: make.counters(
                "switchboard_events_dropped_total",
                "Events of calls that a subscriber was too slow for, by subscriber",
                &["subscriber"],
            )?,
            calls_active: make.gauges(
                "switchboard_calls_active",
                "Live calls by state",
                &["state"],
            )?,
            calls: make.counters(
                "switchboard_calls_total",
                "Finished calls by outcome",
                &["outcome"],
            )?,
            call_restarts: make.counters(
                "switchboard_call_restarts_total",
                "Calls rebuilt on their sockets after a fault, by reason",
                &["reason"],
            )?,
            call_duration: make.histogram(
                "switchboard_call_duration_seconds",
                "Length of finished calls",
                CALL_BUCKETS,
            )?,
            turn_latency: make.histogram(
                "switchboard_turn_latency_seconds",
                "From the end of the caller's speech to the first audio sent back",
                TURN_BUCKETS,
            )?,
            model_latency: make.histogram(
                "switchboard_model_latency_seconds",
                "From the end of the caller's speech to the model's first audio: its own time and the network's",
                TURN_BUCKETS,
            )?,
            first_audio: make.histogram(
                "switchboard_first_audio_seconds",
                "From the start of a stream to the agent's first audio",
                CONNECT_BUCKETS,
            )?,
            model_connects: make.counters(
                "switchboard_model_connects_total",
                "Attempts to reach the model by result",
                &["result"],
            )?,
            model_reconnect: make.histogram(
                "switchboard_model_reconnect_seconds",
                "From the loss of a model session to the next one being ready",
                CONNECT_BUCKETS,
            )?,
            session_rollovers: make.counters(
                "switchboard_session_rollovers_total",
                "Planned changes to a fresh model session by result",
                &["result"],
            )?,
            resumes: make.counters(
                "switchboard_resumes_total",
                "Calls continued from a checkpoint by result",
                &["result"],
            )?,
            admission_rejected: make.counters(
                "switchboard_admission_rejected_total",
                "Calls answered with busy by reason",
                &["reason"],
            )?,
            code_guesses: make.counter(
                "switchboard_code_guesses_total",
                "Wrong confirmation codes and names that callers gave for appointments",
            )?,
            webhook_rejected: make.counters(
                "switchboard_webhook_rejected_total",
                "Webhook requests refused by reason",
                &["reason"],
            )?,
            stream_rejected: make.counters(
                "switchboard_stream_rejected_total",
                "Media sockets refused by reason",
                &["reason"],
            )?,
            admin_refused: make.counters(
                "switchboard_admin_refused_total",
                "Requests to the admin listener refused by reason",
                &["reason"],
            )?,
            protocol_violations: make.counters(
                "switchboard_protocol_violations_total",
                "Messages that broke their protocol by peer and kind",
                &["peer", "kind"],
            )?,
            tool_seconds: make.histograms(
                "switchboard_tool_seconds",
                "Run time of tools by tool and result",
                &["tool", "result"],
                TOOL_BUCKETS,
            )?,
            tokens: make.counters(
                "switchboard_tokens_total",
                "Billed tokens by kind",
                &["kind"],
            )?,
            cost_usd: make.cost(
                "switchboard_cost_usd_total",
                "Estimated cost of the model in US dollars",
            )?,
            file_faults: make.counters(
                "switchboard_data_file_faults_total",
                "What befell the files of the data directory by file and fault",
                &["file", "fault"],
            )?,
            registry: make.registry,
            families: make.families,
        };
        metrics.show_closed_sets();
        Ok(metrics)
    }

    /// Children of closed label sets exist from the first scrape, so that a rate over them never starts at a gap.
    fn show_closed_sets(&self) {
        for state in CALL_STATES {
            self.calls_active.with_label_values(&[state]);
        }
        for result in MODEL_CONNECT_RESULTS {
            self.model_connects.with_label_values(&[result]);
        }
        for result in ROLLOVER_RESULTS {
            self.session_rollovers.with_label_values(&[result]);
        }
        for result in RESUME_RESULTS {
            self.resumes.with_label_values(&[result]);
        }
        for reason in RESTART_REASONS {
            self.call_restarts.with_label_values(&[reason]);
        }
        for reason in ADMIN_REFUSALS {
            self.admin_refused.with_label_values(&[reason]);
        }
        for kind in TOKEN_KINDS {
            self.tokens.with_label_values(&[kind]);
        }
        for reason in EndReason::ALL {
            self.calls.with_label_values(&[reason.label()]);
        }
        for file in DATA_FILES {
            for fault in FILE_FAULTS {
                self.file_faults.with_label_values(&[file, fault]);
            }
        }
    }

    /// Counts what befalls one of [`DATA_FILES`].
    #[must_use]
    pub fn faults_of(&self, file: &'static str) -> FileFaults {
        FileFaults {
            file,
            faults: self.file_faults.clone(),
        }
    }

    /// The gauge of live calls in one of [`CALL_STATES`].
    pub fn calls_active(&self, state: &'static str) -> IntGauge {
        self.calls_active.with_label_values(&[state])
    }

    /// A call entered its first state.
    pub fn call_began(&self, state: &'static str) {
        self.calls_active(state).inc();
    }

    /// A call went from one state to the next.
    pub fn call_moved(&self, from: &'static str, to: &'static str) {
        self.calls_active(from).dec();
        self.calls_active(to).inc();
    }

    /// A call ended in `state` after `duration`.
    pub fn call_ended(&self, state: &'static str, reason: EndReason, duration: Duration) {
        self.calls_active(state).dec();
        self.call_concluded(reason);
        self.call_duration.observe(duration.as_secs_f64());
    }

    /// A call that nobody had any more is over.
    pub fn call_concluded(&self, reason: EndReason) {
        self.calls.with_label_values(&[reason.label()]).inc();
    }

    /// A call's machine was built anew, or its caller led to another, for one of [`RESTART_REASONS`].
    pub fn call_restarted(&self, reason: &'static str) {
        self.call_restarts.with_label_values(&[reason]).inc();
    }

    /// The agent answered a turn.
    pub fn turn_answered(&self, latency: Duration) {
        self.turn_latency.observe(latency.as_secs_f64());
    }

    /// The model's first audio of an answer came so long after the caller's last word.
    pub(crate) fn model_answered(&self, latency: Duration) {
        self.model_latency.observe(latency.as_secs_f64());
    }

    /// The agent was heard for the first time in a call.
    pub fn first_audio(&self, since_start: Duration) {
        self.first_audio.observe(since_start.as_secs_f64());
    }

    /// An attempt to reach the model ended, as one of [`MODEL_CONNECT_RESULTS`].
    pub fn model_connected(&self, result: &'static str) {
        self.model_connects.with_label_values(&[result]).inc();
    }

    /// A lost model session was replaced.
    pub fn model_reconnected(&self, since_loss: Duration) {
        self.model_reconnect.observe(since_loss.as_secs_f64());
    }

    /// Counts what a subscriber of calls' events loses; its name is one of ours.
    #[must_use]
    pub fn events_dropped(&self, subscriber: &str) -> IntCounter {
        self.events_dropped.with_label_values(&[subscriber])
    }

    /// A planned change of session ended, as one of [`ROLLOVER_RESULTS`].
    pub fn session_rolled_over(&self, result: &'static str) {
        self.session_rollovers.with_label_values(&[result]).inc();
    }

    /// A call's continuation from its checkpoint ended, as one of [`RESUME_RESULTS`].
    pub fn resumed(&self, result: &'static str) {
        self.resumes.with_label_values(&[result]).inc();
    }

    /// A call was answered with busy.
    pub fn admission_rejected(&self, reason: &'static str) {
        self.admission_rejected.with_label_values(&[reason]).inc();
    }

    /// Counts wrong confirmation codes and names.
    #[must_use]
    pub const fn code_guesses(&self) -> &IntCounter {
        &self.code_guesses
    }

    /// A webhook request was refused.
    pub fn webhook_rejected(&self, reason: &'static str) {
        self.webhook_rejected.with_label_values(&[reason]).inc();
    }

    /// A media socket was refused.
    pub fn stream_rejected(&self, reason: &'static str) {
        self.stream_rejected.with_label_values(&[reason]).inc();
    }

    /// A request to the admin listener was refused, for one of [`ADMIN_REFUSALS`].
    pub fn admin_refused(&self, reason: &'static str) {
        self.admin_refused.with_label_values(&[reason]).inc();
    }

    /// One of [`PEERS`] broke its protocol.
    pub fn protocol_violated(&self, peer: &'static str, kind: &'static str) {
        self.protocol_violations
            .with_label_values(&[peer, kind])
            .inc();
    }

    /// A tool ended. `tool` is a configured or built-in name, never the model's word for it.
    pub fn tool_ran(&self, tool: &str, result: &'static str, duration: Duration) {
        self.tool_seconds
            .with_label_values(&[tool, result])
            .observe(duration.as_secs_f64());
    }

    /// Tokens were billed, as one of [`TOKEN_KINDS`].
    pub fn tokens_used(&self, kind: &'static str, tokens: u64) {
        self.tokens.with_label_values(&[kind]).inc_by(tokens);
    }

    /// Money was spent, in US dollars; what is no amount is ignored.
    pub fn spent_usd(&self, dollars: f64) {
        if dollars.is_finite() && dollars > 0.0 {
            self.cost_usd.inc_by(dollars);
        }
    }

    /// All metrics in the Prometheus text format (prometheus.io/docs/instrumenting/exposition_formats).
    pub fn render(&self) -> String {
        crate::failpoints::hit("metrics.render", "");
        let gathered = self.registry.gather();
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&gathered, &mut text) {
            log::error!(cause = error.to_string().as_str(); "metrics could not be written");
            return String::new();
        }
        let mut text = String::from_utf8_lossy(&text).into_owned();
        // The encoder leaves out families without children; their names are promised all the same.
        let shown: BTreeSet<&str> = gathered.iter().map(|family| family.name()).collect();
        for family in &self.families {
            if !shown.contains(family.name.as_str()) {
                let _ = writeln!(
                    text,
                    "# HELP {0} {1}\n# TYPE {0} {2}",
                    family.name, family.help, family.kind
                );
            }
        }
        text
    }
}
