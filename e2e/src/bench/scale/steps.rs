//! Steps of load: the time from a change to the write of the right `spec.replicas`.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::Rows;
use super::timeline::Timeline;
use crate::bench::distribution::Distribution;
use crate::context::{Observed, Replicas};
use crate::http::{LoadPlan, run_load};
use crate::wait::wait_until;

/// The steps, in percent of the load before.
const STEPS_PERCENT: [usize; 4] = [120, 150, 250, 1000];
/// Requests in flight before a step, and those that a pod is meant to carry: one pod is full.
const BASE: usize = 10;
/// A function may have so many pods: the largest step needs ten.
const PODS_MOST: i32 = 12;
/// Longest wait for the right replicas; what takes longer is told as missing.
const RIGHT_DEADLINE: Duration = Duration::from_secs(30);
/// Longest wait for one pod alone, before the next sample.
const SETTLED_DEADLINE: Duration = Duration::from_secs(180);
/// How long computing guests compute: as long as the right replicas are waited for.
const BURN_MILLISECONDS: u64 = 30_000;
/// The base load of computing guests is there before the step comes.
const BURN_BEFORE: Duration = Duration::from_secs(2);
/// Computing guests that one pod carries for each of its cores, as the design says.
const GUESTS_A_CORE: usize = 2;
/// Cores that a pod of computing guests may use: what the machine has besides is left to those that decide.
const CORES: usize = 1;

impl Rows<'_> {
    /// The load is exact: each request stays until it is let go.
    pub(super) async fn blocking_steps(&self) -> Result<()> {
        self.deploy_stepped("blocking", BASE, &json!({})).await?;
        let replicas = self.context.observe_replicas("blocking").await?;
        let mut timeline = Timeline::begin("steps", "requests in flight");
        println!("{}", Distribution::head());
        for percent in STEPS_PERCENT {
            let mut times = Vec::new();
            for _ in 0..self.options.samples {
                self.settled("blocking", &replicas).await?;
                timeline.load_is(number(BASE));
                let mut held = self.context.hold("blocking", BASE);
                self.context
                    .begun("blocking", &held, RIGHT_DEADLINE)
                    .await?;
                let after = BASE * percent / 100;
                let step = Instant::now();
                timeline.load_is(number(after));
                held.join(self.context.hold("blocking", after - BASE));
                times.extend(right(&replicas, step, after.div_ceil(BASE)).await);
                timeline.load_is(0.0);
                held.release().await?.none_lost()?;
            }
            self.print_step(BASE, percent, times);
        }
        timeline.add_replicas(&replicas);
        timeline.write(&self.options.output())?;
        self.context.delete("wasmfunction", "blocking").await
    }

    /// As many guests compute as one pod's cores carry, and then more.
    pub(super) async fn computing_steps(&self) -> Result<()> {
        let base = CORES * GUESTS_A_CORE;
        let limits = json!({ "cpu": CORES.to_string() });
        self.deploy_stepped("computing", 10_000, &limits).await?;
        let replicas = self.context.observe_replicas("computing").await?;
        let mut timeline = Timeline::begin("cpu-steps", "computing guests");
        println!("{}", Distribution::head());
        for percent in STEPS_PERCENT {
            let mut times = Vec::new();
            for _ in 0..self.options.samples {
                self.settled("computing", &replicas).await?;
                timeline.load_is(number(base));
                let before = self.burn(base);
                tokio::time::sleep(BURN_BEFORE).await;
                let after = (base * percent).div_ceil(100);
                let step = Instant::now();
                timeline.load_is(number(after));
                let more = self.burn(after - base);
                times.extend(right(&replicas, step, after.div_ceil(base)).await);
                timeline.load_is(0.0);
                // They are not waited for: a client that goes ends its guest.
                drop((before, more));
            }
            self.print_step(base, percent, times);
        }
        timeline.add_replicas(&replicas);
        timeline.write(&self.options.output())?;
        self.context.delete("wasmfunction", "computing").await
    }

    /// Its pods ask for little CPU, so that ten of them leave the control plane its own.
    async fn deploy_stepped(
        &self,
        name: &str,
        target_concurrency: usize,
        limits: &Value,
    ) -> Result<()> {
        let scaling = json!({
            "minReplicas": 1,
            "maxReplicas": PODS_MOST,
            "targetConcurrency": target_concurrency,
            "scaleDownWindowSeconds": 1,
        });
        let requests = json!({ "cpu": "10m", "memory": "64Mi" });
        let spec = json!({
            "placement": "Dedicated",
            "scaling": scaling,
            "limits": { "cpuMillisecondsPerRequest": 60_000, "timeoutSeconds": 300 },
            "template": { "resources": { "requests": requests, "limits": limits } },
        });
        self.context.deploy(name, &self.guest, &spec).await
    }

    /// One pod is asked for and ready, and those of the sample before have gone: a node that takes
    /// nine down is busy with that.
    async fn settled(&self, name: &str, replicas: &Observed<Replicas>) -> Result<()> {
        let alone = Replicas {
            desired: 1,
            ready: 1,
        };
        let now = Instant::now();
        replicas
            .until(now, "one pod is asked for", SETTLED_DEADLINE, |seen| {
                *seen == alone
            })
            .await?;
        wait_until("one pod is left", SETTLED_DEADLINE, async || {
            let pods = self.context.pods_of(name).await?;
            Ok((pods.len() == 1).then_some(()))
        })
        .await
    }

    fn burn(&self, guests: usize) -> tokio::task::JoinSet<()> {
        let plan = LoadPlan {
            path: format!("/burn?milliseconds={BURN_MILLISECONDS}"),
            concurrency: guests,
            requests: guests,
            ..self.context.load_on("computing")
        };
        let mut burning = tokio::task::JoinSet::new();
        burning.spawn(async move {
            let _ = run_load(plan).await;
        });
        burning
    }

    fn print_step(&self, base: usize, percent: usize, times: Vec<Duration>) {
        let missing = self.options.samples - times.len();
        let name = format!("{base} x {percent} % to right replicas");
        println!("{}", Distribution::of(times).row(&name));
        if missing > 0 {
            println!("    {missing} not right within {RIGHT_DEADLINE:.0?}");
        }
    }
}

/// Time to the right replicas; none where they do not come in time.
async fn right(replicas: &Observed<Replicas>, step: Instant, count: usize) -> Option<Duration> {
    let count = i32::try_from(count).ok()?;
    replicas.asked_for(step, count, RIGHT_DEADLINE).await.ok()
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
