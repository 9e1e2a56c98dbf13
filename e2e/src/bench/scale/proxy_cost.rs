//! What the way through the gateway costs: one function asked directly, through a gateway, and through
//! nginx in front of the same pod, in turn.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::json;
use wasmfn_crds::names::{
    FUNCTION_HEADER, GATEWAY_PUBLIC_PORT, KEYS_SECRET, RUNTIME_DATA_PORT, TOKEN_HEADER,
};

use super::{Rows, nginx};
use crate::context::address;
use crate::http::{OpenReport, Phase, Schedule};

const DEADLINE: Duration = Duration::from_secs(120);
/// Length of one run; so many of each follow one another.
const RUN_SECONDS: f64 = 10.0;
/// Field of the Secret that holds the token which a pod's data port asks for.
const DATA_TOKEN: &str = "data-token";

/// A way to the pod.
struct Way {
    name: &'static str,
    url: String,
    latency: Vec<OpenReport>,
    throughput: Vec<f64>,
}

impl Rows<'_> {
    pub(super) async fn gateway_beside_nginx(&self) -> Result<()> {
        let spec = json!({ "placement": "Dedicated", "replicas": 1 });
        self.context.deploy("plain", &self.guest, &spec).await?;
        let replicas = self.context.observe_replicas("plain").await?;
        replicas.are_ready(Instant::now(), 1, DEADLINE).await?;
        let mut ways = self.ways().await?;
        let headers = vec![
            format!("{FUNCTION_HEADER}: plain"),
            format!("{TOKEN_HEADER}: {}", self.data_token().await?),
        ];
        // Latency first: a run of as much as the machine bears leaves it busy for a while.
        for index in self.turns() {
            let way = &mut ways[index];
            let steady = self.run(way, &headers, self.options.rate).await?;
            way.latency.push(steady);
        }
        for index in self.turns() {
            let way = &mut ways[index];
            let most = self.run(way, &headers, 0.0).await?;
            let answers = u32::try_from(most.good)?;
            way.throughput.push(f64::from(answers) / most.seconds);
        }
        print(&ways, self.options.rate);
        self.context.delete("pod", "nginx").await?;
        self.context.delete("configmap", "nginx").await?;
        self.context.delete("wasmfunction", "plain").await
    }

    /// Whose turn it is: each is the first, the second and the last equally often.
    fn turns(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.options.samples).flat_map(|round| (0..3).map(move |index| (index + round) % 3))
    }

    /// The gateway is the one on the pod's node, where there is one, and nginx goes there too.
    async fn ways(&self) -> Result<[Way; 3]> {
        let pods = self.context.pods_of("plain").await?;
        let pod = pods.first().context("a pod")?;
        let node = node_of(pod).context("the pod has a node")?;
        let gateways = self.context.gateway_pods().await?;
        let near = gateways
            .iter()
            .find(|gateway| node_of(gateway) == Some(node));
        let gateway = near.or(gateways.first()).context("a gateway")?;
        let target = format!("{}:{RUNTIME_DATA_PORT}", address(pod)?);
        let beside = node_of(gateway).unwrap_or(node);
        let nginx = nginx::start(self.context, &self.nginx, &target, beside).await?;
        let way = |name, origin: String| Way {
            name,
            url: format!("http://{origin}/id"),
            latency: Vec::new(),
            throughput: Vec::new(),
        };
        let gateway = format!("{}:{GATEWAY_PUBLIC_PORT}", address(gateway)?);
        Ok([
            way("direct", target),
            way("gateway", gateway),
            way("nginx", format!("{nginx}:8080")),
        ])
    }

    /// The gateway takes these headers away and sets its own.
    async fn run(&self, way: &Way, headers: &[String], rate: f64) -> Result<OpenReport> {
        let schedule = Schedule {
            url: way.url.clone(),
            host: self.context.host("plain"),
            headers: headers.to_vec(),
            connections: 32,
            phases: vec![Phase {
                rate,
                seconds: RUN_SECONDS,
            }],
        };
        let report = self.context.open_loop(&self.generator, &schedule).await?;
        ensure!(report.good == report.sent, "{}: {report:?}", way.name);
        Ok(report)
    }

    async fn data_token(&self) -> Result<String> {
        let secret = self.context.api::<Secret>().get(KEYS_SECRET).await?;
        let token = secret.data.and_then(|mut data| data.remove(DATA_TOKEN));
        let token = token.with_context(|| format!("{KEYS_SECRET} has no {DATA_TOKEN}"))?;
        Ok(String::from_utf8(token.0)?)
    }
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The middle of all rounds for each figure.
fn print(ways: &[Way], rate: f64) {
    println!(
        "{:<10} {:>10} {:>10} {:>10} {:>16}   latency at {rate:.0} requests a second",
        "", "p50 ms", "p95 ms", "p99 ms", "most a second"
    );
    for way in ways {
        let of = |figure: fn(&OpenReport) -> f64| middle(way.latency.iter().map(figure).collect());
        println!(
            "{:<10} {:>10.2} {:>10.2} {:>10.2} {:>16.0}",
            way.name,
            of(|report| report.p50_milliseconds),
            of(|report| report.p95_milliseconds),
            of(|report| report.p99_milliseconds),
            middle(way.throughput.clone())
        );
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_round_does_not_move_the_middle() {
        assert!((middle(vec![3.0, 100.0, 1.0]) - 3.0).abs() < f64::EPSILON);
        assert!(middle(Vec::new()).abs() < f64::EPSILON);
    }
}
