//! What the scaler counts, for Prometheus.

use std::{sync::atomic::AtomicU64, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use wasmfn_autoscale::Decision;

use super::tell::pods;
use crate::metrics::Word;

/// A runtime deployment.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Runtime {
    namespace: String,
    deployment: String,
}

/// A runtime deployment and what is short there.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Short {
    namespace: String,
    deployment: String,
    resource: &'static str,
}

/// What the scaler counts. Numbers of a deployment are told by the leader alone.
#[derive(Clone, Debug)]
pub struct ScaleMetrics {
    writes: Family<Word, Counter>,
    write_seconds: Histogram,
    current: Family<Runtime, Gauge>,
    desired: Family<Runtime, Gauge>,
    lacking: Family<Runtime, Gauge>,
    demand: Family<Short, Gauge<f64, AtomicU64>>,
}

impl ScaleMetrics {
    /// All at zero.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            writes: Family::default(),
            write_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 13)),
            current: Family::default(),
            desired: Family::default(),
            lacking: Family::default(),
            demand: Family::default(),
        };
        registry.register(
            "scale_writes",
            "Writes of replicas by what asked for them",
            metrics.writes.clone(),
        );
        registry.register(
            "scale_write_seconds",
            "Time from a decision until the API server has written it",
            metrics.write_seconds.clone(),
        );
        registry.register(
            "replicas_current",
            "Replicas of a runtime deployment",
            metrics.current.clone(),
        );
        registry.register(
            "replicas_desired",
            "Replicas that were decided on",
            metrics.desired.clone(),
        );
        registry.register(
            "replicas_lacking",
            "Replicas that there is no room for",
            metrics.lacking.clone(),
        );
        registry.register(
            "demand_pods",
            "Demand in pods by what asks for them, before any bounds",
            metrics.demand.clone(),
        );
        metrics
    }

    /// `replicas` was written.
    pub fn wrote(&self, cause: &'static str, took: Duration) {
        self.writes.get_or_create(&Word { what: cause }).inc();
        self.write_seconds.observe(took.as_secs_f64());
    }

    /// A decision was made.
    pub fn decided(&self, deployment: &Deployment, current: u32, decision: &Decision) {
        let runtime = Runtime::of(deployment);
        let set = |family: &Family<Runtime, Gauge>, number: u32| {
            family.get_or_create(&runtime).set(i64::from(number));
        };
        set(&self.current, current);
        set(&self.desired, decision.replicas);
        set(&self.lacking, decision.lacking);
        for (resource, micro_pods) in [
            ("requests", decision.demand.requests),
            ("cpu", decision.demand.cpu),
            ("memory", decision.demand.memory),
        ] {
            let demand = self.demand.get_or_create(&runtime.short_of(resource));
            demand.set(pods(micro_pods));
        }
    }

    /// A deployment is there no more.
    pub fn gone(&self, deployment: &Deployment) {
        let runtime = Runtime::of(deployment);
        for family in [&self.current, &self.desired, &self.lacking] {
            family.remove(&runtime);
        }
        for resource in ["requests", "cpu", "memory"] {
            self.demand.remove(&runtime.short_of(resource));
        }
    }
}

impl Runtime {
    fn of(deployment: &Deployment) -> Self {
        Self {
            namespace: deployment.namespace().unwrap_or_default(),
            deployment: deployment.name_any(),
        }
    }

    fn short_of(&self, resource: &'static str) -> Short {
        Short {
            namespace: self.namespace.clone(),
            deployment: self.deployment.clone(),
            resource,
        }
    }
}
