//! What the operator counts, for Prometheus.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use kube::runtime::reflector::Store;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{caches::Guarded, readiness::ReadyFunctions, scale::ScaleMetrics};

/// Names an outcome, error or cause by one word of a fixed set.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct Word {
    /// The word.
    pub what: &'static str,
}

/// What the operator counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Family<Word, Counter>,
    reconcile_seconds: Histogram,
    status_writes: Counter,
    /// What the scaler counts.
    pub scale: ScaleMetrics,
    removed: Counter,
    leader: Gauge,
    followed: Gauge,
    registry: Arc<Mutex<Registry>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("wasmfn_operator");
        let reconciles = Family::default();
        let reconcile_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let status_writes = Counter::default();
        let removed = Counter::default();
        let leader = Gauge::default();
        let followed = Gauge::default();
        registry.register(
            "reconciles",
            "Reconciles of functions by outcome",
            reconciles.clone(),
        );
        registry.register(
            "reconcile_seconds",
            "Time of one reconcile",
            reconcile_seconds.clone(),
        );
        registry.register(
            "status_writes",
            "Writes of a function's status",
            status_writes.clone(),
        );
        let scale = ScaleMetrics::register(&mut registry);
        registry.register(
            "removed_objects",
            "Objects that were needed no more",
            removed.clone(),
        );
        registry.register("leader", "1 while this operator leads", leader.clone());
        registry.register(
            "followed_pods",
            "Runtime pods and gateways whose state streams are read",
            followed.clone(),
        );
        Self {
            reconciles,
            reconcile_seconds,
            status_writes,
            scale,
            removed,
            leader,
            followed,
            registry: Arc::new(Mutex::new(registry)),
        }
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Word { what: outcome }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// An object was removed.
    pub fn removed(&self) {
        self.removed.inc();
    }

    /// This operator leads.
    pub fn leads(&self) {
        self.leader.set(1);
    }

    /// Counts the functions of this cache whenever somebody asks.
    pub fn counts(&self, functions: Store<Guarded>) {
        let leader = self.leader.clone();
        self.registry
            .lock()
            .expect("no code that holds this lock panics")
            .register_collector(Box::new(ReadyFunctions { functions, leader }));
    }

    /// How many pods are followed.
    pub fn follows(&self, pods: usize) {
        self.followed.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    /// All of it in the text format.
    ///
    /// # Errors
    /// Never in practice: text always has room for more text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let registry = self
            .registry
            .lock()
            .expect("no code that holds this lock panics");
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_show_up_in_the_text() {
        let metrics = Metrics::new();
        metrics.reconciled("Ok", Duration::from_millis(3));
        metrics.scale.wrote("Demand", Duration::from_millis(3));
        metrics.leads();
        metrics.follows(3);
        let text = metrics.text().unwrap();
        for line in [
            "wasmfn_operator_reconciles_total{what=\"Ok\"} 1",
            "wasmfn_operator_scale_writes_total{what=\"Demand\"} 1",
            "wasmfn_operator_leader 1",
            "wasmfn_operator_followed_pods 3",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
