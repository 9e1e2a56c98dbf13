//! How many functions are ready, and why others are not, for Prometheus: looked up when it asks.

use std::{collections::BTreeMap, fmt};

use kube::runtime::reflector::Store;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::{MetricType, gauge::Gauge},
};
use wasmfn_crds::{ConditionType, Reason, condition::find};

use crate::caches::{self, Guarded};

/// What functions have in common that are counted together.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Readiness {
    namespace: String,
    ready: String,
    reason: String,
}

impl Readiness {
    fn of(function: &Guarded) -> Self {
        let namespace = caches::key(function).namespace;
        let status = function
            .0
            .as_ref()
            .ok()
            .and_then(|function| function.status.as_ref());
        let ready = status.and_then(|status| find(&status.conditions, ConditionType::Ready));
        match ready {
            Some(ready) => Self {
                namespace,
                ready: ready.status.clone(),
                reason: ready.reason.clone(),
            },
            None => Self {
                namespace,
                ready: "Unknown".to_owned(),
                reason: Reason::Pending.as_str().to_owned(),
            },
        }
    }
}

/// Counts the functions of a cache, while this operator leads: whoever sums over operators counts each once.
#[derive(Debug)]
pub(crate) struct ReadyFunctions {
    pub(crate) functions: Store<Guarded>,
    pub(crate) leader: Gauge,
}

impl ReadyFunctions {
    fn counts(&self) -> BTreeMap<Readiness, i64> {
        let mut counts = BTreeMap::new();
        if self.leader.get() > 0 {
            for function in self.functions.state() {
                *counts.entry(Readiness::of(&function)).or_default() += 1;
            }
        }
        counts
    }
}

impl Collector for ReadyFunctions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(
            "functions",
            "Functions by namespace and by status and reason of their condition Ready",
            None,
            MetricType::Gauge,
        )?;
        for (readiness, count) in self.counts() {
            metric.encode_family(&readiness)?.encode_gauge(&count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        fixtures::{self, ApiServer, function},
        metrics::Metrics,
    };

    fn condition(status: &str, reason: &str) -> Value {
        json!({ "replicas": 0, "readyReplicas": 0, "conditions": [{
            "type": "Ready", "status": status, "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] })
    }

    #[tokio::test]
    async fn functions_are_counted_by_their_readiness_where_this_one_leads() {
        let (context, mut writers) = fixtures::context(&ApiServer::scripted(Vec::new()));
        for (name, status) in [
            ("one", condition("True", "Answering")),
            ("two", condition("True", "Answering")),
            ("three", condition("False", "ImageNotFound")),
            ("new", json!({ "replicas": 0, "readyReplicas": 0 })),
        ] {
            writers.put_function(&function(name, json!({}), status));
        }
        let metrics = Metrics::new();
        metrics.counts(context.caches.functions.clone());
        assert!(
            !metrics
                .text()
                .unwrap()
                .contains("wasmfn_operator_functions{")
        );
        metrics.leads();
        let text = metrics.text().unwrap();
        for line in [
            r#"wasmfn_operator_functions{namespace="a",ready="True",reason="Answering"} 2"#,
            r#"wasmfn_operator_functions{namespace="a",ready="False",reason="ImageNotFound"} 1"#,
            r#"wasmfn_operator_functions{namespace="a",ready="Unknown",reason="Pending"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
