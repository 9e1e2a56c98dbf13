//! Open-loop load in shapes, on a guest that answers after 100 ms: what is lost, how long it takes, and
//! what the replicas do meanwhile.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::Rows;
use super::timeline::Timeline;
use crate::context::{Observed, Replicas};
use crate::http::{OpenReport, Phase, Schedule};
use crate::settings::SYSTEM_NAMESPACE;
use crate::wait::wait_until;

/// How long the guest takes, by the clock.
const ANSWER_MILLISECONDS: f64 = 100.0;
/// Longest wait for pods.
const DEADLINE: Duration = Duration::from_secs(180);
/// Shortest phase of a ramp, in seconds.
const RAMP_STEP_SECONDS: f64 = 2.0;
/// Of a burst and of the pause after it, in seconds.
const BURST_SECONDS: f64 = 0.1;
const PAUSE_SECONDS: f64 = 4.9;
/// A phase in which next to nothing is sent still needs a request.
const LOWEST_RATE: f64 = 1.0;

impl Rows<'_> {
    /// From no pod at all to the highest rate.
    pub(super) async fn ramp(&self) -> Result<()> {
        self.deploy_shaped(
            "ramp",
            &json!({ "minReplicas": 0, "idleSeconds": 1, "scaleDownWindowSeconds": 1 }),
        )
        .await?;
        wait_until("no pod is left", DEADLINE, async || {
            Ok(self.context.pods_of("ramp").await?.is_empty().then_some(()))
        })
        .await?;
        let mut phases = Vec::new();
        let mut at = RAMP_STEP_SECONDS;
        while at <= self.options.seconds {
            phases.push(Phase {
                rate: (self.options.rate * at / self.options.seconds).max(LOWEST_RATE),
                seconds: RAMP_STEP_SECONDS,
            });
            at += RAMP_STEP_SECONDS;
        }
        let (report, _) = self.shaped("ramp", phases).await?;
        print("ramp from no pod", &report);
        self.context.delete("wasmfunction", "ramp").await
    }

    /// A second of the highest rate, a second of a tenth of it.
    pub(super) async fn saw(&self) -> Result<()> {
        self.deploy_shaped("saw", &json!({ "minReplicas": 1 }))
            .await?;
        let mut phases = Vec::new();
        let mut left = self.options.seconds;
        while left > 0.0 {
            for rate in [self.options.rate, self.options.rate / 10.0] {
                phases.push(Phase { rate, seconds: 1.0 });
            }
            left -= 2.0;
        }
        let (report, most) = self.shaped("saw", phases).await?;
        print("swings every second", &report);
        println!("    {}", changes(&most));
        self.context.delete("wasmfunction", "saw").await
    }

    /// Several times what a pod is meant to carry, sent in 100 ms and answered 100 ms later.
    pub(super) async fn bursts(&self) -> Result<()> {
        self.deploy_shaped("bursts", &json!({ "minReplicas": 1 }))
            .await?;
        let mut phases = Vec::new();
        let mut left = self.options.seconds;
        while left > 0.0 {
            let burst = (self.options.rate, BURST_SECONDS);
            for (rate, seconds) in [burst, (LOWEST_RATE, PAUSE_SECONDS)] {
                phases.push(Phase { rate, seconds });
            }
            left -= BURST_SECONDS + PAUSE_SECONDS;
        }
        let (report, seen) = self.shaped("bursts", phases).await?;
        print("bursts of 200 ms", &report);
        println!("    {}", changes(&seen));
        self.context.delete("wasmfunction", "bursts").await
    }

    /// Everything is replaced, one after the other, under steady load.
    pub(super) async fn rollouts(&self) -> Result<()> {
        self.deploy_shaped("rollouts", &json!({ "minReplicas": 2 }))
            .await?;
        let phase = Phase {
            rate: self.options.rate / 2.0,
            seconds: self.options.seconds.max(120.0),
        };
        let rolled = async {
            let note = json!({ "template": { "annotations": { "example.com/note": "rolled" } } });
            self.context.change("rollouts", note).await?;
            let own = self.context.clone();
            self.rolled_out(&own, "deployment/wasmfn-fn-rollouts", false)
                .await?;
            let system = self.context.in_namespace(SYSTEM_NAMESPACE);
            for part in ["gateway", "operator"] {
                let deployment = format!("deployment/wasmfn-{part}");
                self.rolled_out(&system, &deployment, true).await?;
            }
            Ok(())
        };
        let (shaped, rolled) = tokio::join!(self.shaped("rollouts", vec![phase]), rolled);
        let rolled: Result<()> = rolled;
        rolled?;
        print("three rollouts", &shaped?.0);
        self.context.delete("wasmfunction", "rollouts").await
    }

    async fn rolled_out(
        &self,
        context: &crate::context::Context,
        deployment: &str,
        restart: bool,
    ) -> Result<()> {
        if restart {
            let restart = ["rollout", "restart", deployment];
            context.kubectl().args(restart).run().await?;
        }
        let begun = Instant::now();
        let status = ["rollout", "status", deployment, "--timeout=180s"];
        context.kubectl().args(status).run().await?;
        println!("    {deployment} rolled out in {:.1?}", begun.elapsed());
        Ok(())
    }

    /// A pod is meant to carry a fifth of the highest rate.
    async fn deploy_shaped(&self, name: &str, scaling: &Value) -> Result<()> {
        let mut scaling = scaling.clone();
        let in_flight = self.options.rate * ANSWER_MILLISECONDS / 1000.0;
        scaling["targetConcurrency"] = json!((in_flight / 5.0).ceil().max(1.0) as i64);
        scaling["maxReplicas"] = 8.into();
        let requests = json!({ "cpu": "20m", "memory": "64Mi" });
        let spec = json!({
            "placement": "Dedicated",
            "scaling": scaling,
            "template": { "resources": { "requests": requests } },
        });
        self.context.deploy(name, &self.guest, &spec).await
    }

    async fn shaped(
        &self,
        function: &str,
        phases: Vec<Phase>,
    ) -> Result<(OpenReport, Observed<Replicas>)> {
        let replicas = self.context.observe_replicas(function).await?;
        let mut timeline = Timeline::begin(function, "requests a second");
        let schedule = Schedule {
            url: format!(
                "{}/slow?milliseconds={ANSWER_MILLISECONDS:.0}",
                self.context.gateway_inside()
            ),
            host: self.context.host(function),
            connections: 200,
            phases,
            ..Schedule::default()
        };
        let report = self.context.open_loop(&self.generator, &schedule).await?;
        timeline.add_replicas(&replicas);
        timeline.add_load(&report);
        timeline.write(&self.options.output())?;
        Ok((report, replicas))
    }
}

fn print(name: &str, report: &OpenReport) {
    println!(
        "{name}: {} sent in {:.0} s, {} lost; p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms, most {:.0} ms {:?}",
        report.sent,
        report.seconds,
        report.sent - report.good,
        report.p50_milliseconds,
        report.p95_milliseconds,
        report.p99_milliseconds,
        report.max_milliseconds,
        report.statuses
    );
}

/// How often the replicas that are asked for changed, and between what.
fn changes(replicas: &Observed<Replicas>) -> String {
    let mut desired: Vec<i32> = replicas
        .all()
        .iter()
        .map(|(_, seen)| seen.desired)
        .collect();
    desired.dedup();
    let changes = desired.len().saturating_sub(1);
    let (least, most) = (desired.iter().min(), desired.iter().max());
    format!(
        "replicas asked for: {} to {}, changed {changes} times",
        least.unwrap_or(&0),
        most.unwrap_or(&0)
    )
}
