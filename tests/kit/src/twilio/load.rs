//! Many calls at once, each frame of which proves when it came back and that nothing happened to it.
//!
//! Every call goes the whole way a phone call goes (webhook, TwiML, media socket, marks, status callbacks), but says
//! [probes](crate::probe) instead of words and records nothing. The service must be connected to the emulated Realtime
//! server, which sends probes straight back. The latency measured is what lies between sending a frame and receiving it
//! again: both ways through the service, four times over loopback, and the emulators' own share.

mod probe_call;
mod reassembly;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::line::Line;
use probe_call::ProbeCall;
use report::Distribution;

pub use report::{LoadReport, Percentiles};

/// Silence sent before the probes, so that the model session stands when they come.
const SETTLE: Duration = Duration::from_secs(2);

/// Silence sent after the probes, so that all come home.
const COME_HOME: Duration = Duration::from_millis(1_500);

/// What to do to a service.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Whom to phone. Observer, opening and dial script are not used.
    pub line: Line,
    /// So many calls at once.
    pub calls: u32,
    /// Each sends probes for so long.
    pub probing: Duration,
    /// The calls begin spread over this time.
    pub ramp: Duration,
    /// Silence before the probes of each call.
    pub settle: Duration,
}

impl LoadPlan {
    /// A plan with two seconds of silence before the probes and 10 ms between the beginnings of two calls.
    #[must_use]
    pub fn new(line: Line, calls: u32, probing: Duration) -> Self {
        Self {
            line,
            calls,
            probing,
            ramp: Duration::from_millis(10) * calls,
            settle: SETTLE,
        }
    }
}

/// Measurements all calls share.
#[derive(Debug)]
struct Gauges {
    latency: Distribution,
    late: Distribution,
    setup: Distribution,
}

/// What one call counted.
#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    returned: u64,
    duplicated: u64,
    foreign: u64,
    out_of_order: u64,
    corrupt: u64,
    not_sent: u64,
    stray_bytes: u64,
    warnings: BTreeMap<u32, u64>,
    /// Why the call failed.
    failure: Option<String>,
}

/// Runs the plan on the current tokio runtime; a runtime with several threads generates more.
///
/// Lost, duplicated and foreign frames are counted, not errors; a call that cannot be set up or breaks is a failure.
pub async fn load(plan: LoadPlan) -> LoadReport {
    let mut report = empty_report(&plan);
    let (Some(latency), Some(late), Some(setup)) = (
        Distribution::new(),
        Distribution::new(),
        Distribution::new(),
    ) else {
        return report;
    };
    let gauges = Arc::new(Gauges {
        latency,
        late,
        setup,
    });
    let plan = Arc::new(plan);
    let mut calls = JoinSet::new();
    for number in 0..plan.calls {
        let call = ProbeCall::new(Arc::clone(&plan), Arc::clone(&gauges), number);
        calls.spawn(call.run());
    }
    while let Some(ended) = calls.join_next().await {
        let tally = ended.unwrap_or_else(|error| Tally {
            failure: Some(format!("generator: {error}")),
            ..Tally::default()
        });
        add(&mut report, tally);
    }
    report.added_latency_ms = gauges.latency.percentiles();
    report.generator_late_ms = gauges.late.percentiles();
    report.setup_ms = gauges.setup.percentiles();
    report
}

fn empty_report(plan: &LoadPlan) -> LoadReport {
    LoadReport {
        calls: plan.calls,
        calls_completed: 0,
        seconds: plan.probing.as_secs_f64(),
        frames_sent: 0,
        frames_returned: 0,
        frames_lost: 0,
        frames_duplicated: 0,
        frames_foreign: 0,
        frames_out_of_order: 0,
        frames_corrupt: 0,
        frames_not_sent: 0,
        stray_bytes: 0,
        added_latency_ms: Percentiles::default(),
        generator_late_ms: Percentiles::default(),
        setup_ms: Percentiles::default(),
        failures: 0,
        failure_reasons: BTreeMap::new(),
        warnings: BTreeMap::new(),
    }
}

fn add(report: &mut LoadReport, tally: Tally) {
    report.frames_sent += tally.sent;
    report.frames_returned += tally.returned;
    report.frames_lost += tally.sent - tally.returned;
    report.frames_duplicated += tally.duplicated;
    report.frames_foreign += tally.foreign;
    report.frames_out_of_order += tally.out_of_order;
    report.frames_corrupt += tally.corrupt;
    report.frames_not_sent += tally.not_sent;
    report.stray_bytes += tally.stray_bytes;
    for (code, count) in tally.warnings {
        *report.warnings.entry(code).or_default() += count;
    }
    match tally.failure {
        Some(reason) => {
            report.failures += 1;
            *report.failure_reasons.entry(reason).or_default() += 1;
        }
        None => report.calls_completed += 1,
    }
}
