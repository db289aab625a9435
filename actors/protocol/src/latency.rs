//! A small histogram: one per call, so its size counts more than its precision.

use std::sync::atomic::{AtomicU32, Ordering};

/// Buckets a power of two is divided into; a quantile is at most a quarter too high.
const STEPS: u64 = 4;

/// Buckets in all: up to about 2^24 microseconds, 16 seconds.
const BUCKETS: usize = 96;

/// The same counts, shared between the actors of a call without a lock.
#[derive(Debug)]
pub struct Meter {
    counts: [AtomicU32; BUCKETS],
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }
}

impl Meter {
    /// Counts a duration in microseconds.
    pub fn record(&self, micros: u64) {
        self.counts[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far.
    #[must_use]
    pub fn read(&self) -> Histogram {
        let mut histogram = Histogram::default();
        for (count, shared) in histogram.counts.iter_mut().zip(&self.counts) {
            *count = shared.load(Ordering::Relaxed);
            histogram.total += u64::from(*count);
        }
        histogram
    }
}

/// Counts of durations in microseconds, in buckets that grow with the value.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u32; BUCKETS],
    total: u64,
    last: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            total: 0,
            last: 0,
        }
    }
}

impl Histogram {
    /// Counts a duration in microseconds.
    pub fn record(&mut self, micros: u64) {
        let bucket = bucket(micros);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.total += 1;
        self.last = micros;
    }

    /// Counts what another histogram counted, too.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.total += other.total;
        self
    }

    /// The upper edge, in microseconds, of the bucket in which the quantile lies; `None` while nothing was counted.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        if self.total == 0 {
            return None;
        }
        // Counts stay far below 2^52.
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let rank = ((self.total as f64 * quantile).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(upper_edge(bucket));
            }
        }
        None
    }

    /// The value counted last, in microseconds.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        (self.total > 0).then_some(self.last)
    }

    /// How many values were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }
}

fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let power = u64::from(63 - micros.leading_zeros());
    let step = (micros >> (power - 2)) & (STEPS - 1);
    let bucket = (power - 1) * STEPS + step;
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn upper_edge(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (power, step) = (bucket / STEPS + 1, bucket % STEPS);
    (1 << power) + ((step + 1) << (power - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_whose_edge_is_at_most_a_quarter_above() {
        for micros in (0..5_000).chain((5_000..10_000_000).step_by(7_919)) {
            let edge = upper_edge(bucket(micros));
            assert!(
                edge >= micros && edge <= micros + micros / 4,
                "{micros}: {edge}"
            );
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn a_shared_meter_reads_as_a_histogram() {
        let meter = Meter::default();
        for micros in [10, 20, 30] {
            meter.record(micros);
        }
        let read = meter.read();
        assert_eq!(read.clone().with(&read).count(), 6);
        assert_eq!(read.count(), 3);
        assert!(
            read.quantile(0.5)
                .is_some_and(|micros| (20..=25).contains(&micros))
        );
    }

    #[test]
    fn quantiles_come_from_the_counts() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for micros in 1..=1_000 {
            histogram.record(micros);
        }
        let median = histogram.quantile(0.5).unwrap();
        assert!((500..=625).contains(&median), "{median}");
        let high = histogram.quantile(0.99).unwrap();
        assert!((990..=1_250).contains(&high), "{high}");
        assert_eq!(histogram.last(), Some(1_000));
    }
}
