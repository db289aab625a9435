//! Makes metrics, registers them, and remembers their names.

use prometheus::core::Collector;
use prometheus::{
    Counter, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry,
};

#[derive(Clone)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: &'static str,
}

/// Registers what it makes and remembers its name.
pub(super) struct Maker {
    pub(super) registry: Registry,
    pub(super) families: Vec<Family>,
}

impl Maker {
    fn register<C: Collector + Clone + 'static>(
        &mut self,
        name: &str,
        help: &str,
        kind: &'static str,
        collector: C,
    ) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(collector.clone()))?;
        self.families.push(Family {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
        });
        Ok(collector)
    }

    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
    ) -> Result<IntCounter, prometheus::Error> {
        self.register(name, help, "counter", IntCounter::new(name, help)?)
    }

    pub(super) fn cost(&mut self, name: &str, help: &str) -> Result<Counter, prometheus::Error> {
        self.register(name, help, "counter", Counter::new(name, help)?)
    }

    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.register(
            name,
            help,
            "counter",
            IntCounterVec::new(Opts::new(name, help), labels)?,
        )
    }

    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(
            name,
            help,
            "gauge",
            IntGaugeVec::new(Opts::new(name, help), labels)?,
        )
    }

    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(name, help, "histogram", Histogram::with_opts(options)?)
    }

    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(name, help, "histogram", HistogramVec::new(options, labels)?)
    }
}
