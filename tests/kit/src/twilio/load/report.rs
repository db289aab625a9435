//! What a load test found.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;

/// The result of a load test, as printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadReport {
    /// Calls asked for.
    pub calls: u32,
    /// Calls whose probes were all sent and whose stream ended as it should.
    pub calls_completed: u32,
    /// Seconds of probes a call.
    pub seconds: f64,
    /// Probe frames sent.
    pub frames_sent: u64,
    /// Different probe frames that came back to the call that sent them.
    pub frames_returned: u64,
    /// Sent and never seen again; those of failed calls included.
    pub frames_lost: u64,
    /// Frames that came back more than once.
    pub frames_duplicated: u64,
    /// Frames that came back to another call.
    pub frames_foreign: u64,
    /// Frames that came back after a later one.
    pub frames_out_of_order: u64,
    /// Frames that came back with other content.
    pub frames_corrupt: u64,
    /// Frames that could not be sent because the service did not read.
    pub frames_not_sent: u64,
    /// Bytes between the probes that belong to none.
    pub stray_bytes: u64,
    /// From a frame's sending to its receipt, over loopback and with the emulators' own share in it.
    pub added_latency_ms: Percentiles,
    /// How late the generator's own 20 ms timers were: above a few ms the machine, not the service, is the limit.
    pub generator_late_ms: Percentiles,
    /// From dialling the webhook to the open media socket.
    pub setup_ms: Percentiles,
    /// Calls that failed.
    pub failures: u32,
    /// Why, counted by kind.
    pub failure_reasons: BTreeMap<String, u32>,
    /// Protocol violations by Twilio's code, counted.
    pub warnings: BTreeMap<u32, u64>,
}

/// A distribution in milliseconds; all zero when nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Percentiles {
    /// Half are below.
    pub p50: f64,
    /// 99 in 100 are below.
    pub p99: f64,
    /// 999 in 1,000 are below.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

/// A histogram of microseconds, shared by all calls and never growing.
#[derive(Debug)]
pub(super) struct Distribution(Mutex<Histogram<u64>>);

/// A minute; longer is counted as a minute.
const LONGEST_US: u64 = 60_000_000;

impl Distribution {
    pub(super) fn new() -> Option<Self> {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3).ok()?;
        Some(Self(Mutex::new(histogram)))
    }

    pub(super) fn record(&self, us: u64) {
        let mut histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histogram.saturating_record(us);
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if histogram.is_empty() {
            return Percentiles::default();
        }
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Percentiles {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1_000.0,
        }
    }
}
