//! Load that can tell whether anything was lost: each request carries an id of its own, and its answer
//! must hold that id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};

use super::{Answer, Origin};

/// Header that carries a request's id, and that an answer may give it back in.
const ID_HEADER: &str = "x-request-id";
/// How many failures a report spells out.
const FAILURES_TOLD: usize = 20;

/// What to send.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadPlan {
    /// Where to, such as `http://hello.default.svc`.
    pub base: String,
    /// `Host` header; empty for that of `base`.
    pub host: String,
    /// `GET` or another.
    pub method: String,
    /// Path and query. `{id}` stands for the request's id.
    pub path: String,
    /// Body. `{id}` stands for the request's id.
    pub body: String,
    /// Requests at the same time, each over a connection that is kept.
    pub concurrency: usize,
    /// Ends after so many requests; 0 for no such end.
    pub requests: usize,
    /// Ends after so long; 0 for no such end.
    pub seconds: f64,
    /// Whether an answer must hold the id in its body or its header `x-request-id`.
    pub expects_id: bool,
}

impl Default for LoadPlan {
    fn default() -> Self {
        Self {
            base: String::new(),
            host: String::new(),
            method: "GET".into(),
            path: "/?id={id}".into(),
            body: String::new(),
            concurrency: 10,
            requests: 0,
            seconds: 0.0,
            expects_id: true,
        }
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// Requests that were sent.
    pub sent: usize,
    /// Those that were answered with 200 and their own id.
    pub good: usize,
    /// Answers by status.
    pub statuses: BTreeMap<u16, usize>,
    /// Bodies of good answers, with the id taken out, and how often each came.
    pub bodies: BTreeMap<String, usize>,
    /// The first failures, in words.
    pub failures: Vec<String>,
    /// Time from sending to the answer's end, in milliseconds: the middle, and what 99 % stay under.
    pub p50_milliseconds: f64,
    /// See [`Self::p50_milliseconds`].
    pub p99_milliseconds: f64,
}

impl LoadReport {
    /// Fails unless every request was answered with its own id.
    ///
    /// # Errors
    /// Something was lost; says what.
    pub fn none_lost(&self) -> Result<()> {
        ensure!(self.sent > 0, "no request was sent, so nothing is proven");
        ensure!(
            self.good == self.sent,
            "{} of {} requests were lost; statuses {:?}; {}",
            self.sent - self.good,
            self.sent,
            self.statuses,
            self.failures.join("; ")
        );
        Ok(())
    }
}

/// Load that goes on until it is stopped.
pub struct RunningLoad {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    task: JoinHandle<Result<LoadReport>>,
}

impl RunningLoad {
    /// Starts sending.
    #[must_use]
    pub fn start(plan: LoadPlan) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(send_all(plan, stop.clone(), sent.clone()));
        Self { stop, sent, task }
    }

    /// Requests sent so far: for stories that wait until load flows.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends no more, waits for what is under way, and tells how it went.
    ///
    /// # Errors
    /// The plan could not be carried out at all.
    pub async fn stop(mut self) -> Result<LoadReport> {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.task).await.context("the load crashed")?
    }
}

impl Drop for RunningLoad {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries out a plan that ends by itself.
///
/// # Errors
/// The plan has no end, or cannot be carried out at all. Lost requests are no error: see the report.
pub async fn run_load(plan: LoadPlan) -> Result<LoadReport> {
    let ends = plan.requests > 0 || plan.seconds > 0.0;
    ensure!(ends, "the load has no end: set `requests` or `seconds`");
    send_all(plan, Arc::default(), Arc::default()).await
}

async fn send_all(
    plan: LoadPlan,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
) -> Result<LoadReport> {
    let origin = Origin::new(&plan.base)?;
    Method::try_from(plan.method.as_str()).context("`method` is no HTTP method")?;
    let run = hex::encode(rand::random::<[u8; 4]>());
    let end = (plan.seconds > 0.0).then(|| Instant::now() + Duration::from_secs_f64(plan.seconds));
    let plan = Arc::new(plan);
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut workers = JoinSet::new();
    for _ in 0..plan.concurrency.max(1) {
        let (origin, plan, run) = (origin.clone(), plan.clone(), run.clone());
        let (stop, sent, tally) = (stop.clone(), sent.clone(), tally.clone());
        workers.spawn(async move {
            while !stop.load(Ordering::Relaxed) && end.is_none_or(|end| Instant::now() < end) {
                let number = sent.fetch_add(1, Ordering::Relaxed);
                if plan.requests > 0 && number >= plan.requests {
                    break;
                }
                let id = format!("{run}-{number}");
                let started = Instant::now();
                let answer = send_one(&origin, &plan, &id).await;
                tally
                    .lock()
                    .await
                    .add(&plan, &id, answer, started.elapsed());
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.context("a worker of the load crashed")?;
    }
    let report = tally.lock().await.report();
    Ok(report)
}

async fn send_one(origin: &Origin, plan: &LoadPlan, id: &str) -> Result<Answer> {
    let method = Method::try_from(plan.method.as_str())?;
    let mut request = origin
        .request(method, &plan.host, &plan.path.replace("{id}", id))
        .header(ID_HEADER, id);
    if !plan.body.is_empty() {
        request = request.body(plan.body.replace("{id}", id));
    }
    request.send().await
}

#[derive(Default)]
struct Tally {
    report: LoadReport,
    milliseconds: Vec<f64>,
}

impl Tally {
    fn add(&mut self, plan: &LoadPlan, id: &str, answer: Result<Answer>, time: Duration) {
        self.report.sent += 1;
        self.milliseconds.push(time.as_secs_f64() * 1000.0);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.fail(format!("{id}: {error:#}")),
        };
        *self
            .report
            .statuses
            .entry(answer.status.as_u16())
            .or_default() += 1;
        let text = answer.text();
        if answer.status != http::StatusCode::OK {
            let said: String = text.chars().take(200).collect();
            return self.fail(format!("{id}: {} {said}", answer.status));
        }
        if plan.expects_id && !text.contains(id) && answer.header(ID_HEADER) != id {
            let said: String = text.chars().take(200).collect();
            return self.fail(format!("{id}: the answer is not its own: {said}"));
        }
        self.report.good += 1;
        *self
            .report
            .bodies
            .entry(text.replace(id, "{id}"))
            .or_default() += 1;
    }

    fn fail(&mut self, failure: String) {
        if self.report.failures.len() < FAILURES_TOLD {
            self.report.failures.push(failure);
        }
    }

    fn report(&mut self) -> LoadReport {
        self.milliseconds.sort_by(f64::total_cmp);
        self.report.p50_milliseconds = percentile(&self.milliseconds, 0.5);
        self.report.p99_milliseconds = percentile(&self.milliseconds, 0.99);
        self.report.clone()
    }
}

/// The value that the share `rank` of the sorted `values` does not exceed; 0 for none.
fn percentile(values: &[f64], rank: f64) -> f64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )]
    let index = (values.len() as f64 * rank).ceil() as usize;
    values.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
