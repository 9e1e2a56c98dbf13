//! Load that can tell whether anything was lost: each request carries an id of its own, and its answer
//! must hold that id.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};

use super::tally::{ID_HEADER, Tally};
use super::{Answer, LoadReport, Origin};

/// What a body of zeros is sent in.
const CHUNK_BYTES: usize = 64 << 10;

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
    /// Sends so many zero bytes instead of `body`, made as they are sent; 0 for `body`.
    pub body_bytes: usize,
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
            body_bytes: 0,
            concurrency: 10,
            requests: 0,
            seconds: 0.0,
            expects_id: true,
        }
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
    let tally = Arc::new(Mutex::new(Tally::new(plan.expects_id)));
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
                tally.lock().await.add(&id, answer, started.elapsed());
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
    if plan.body_bytes > 0 {
        request = request.stream(zeros(plan.body_bytes));
    } else if !plan.body.is_empty() {
        request = request.body(plan.body.replace("{id}", id));
    }
    request.send().await
}

/// A body of zero bytes that holds one chunk in memory, however long it is.
fn zeros(bytes: usize) -> impl Body<Data = Bytes, Error = Infallible> + Send + Sync {
    let chunk = Bytes::from_static(&[0; CHUNK_BYTES]);
    let sizes = (0..bytes.div_ceil(CHUNK_BYTES)).map(move |index| {
        let left = bytes - index * CHUNK_BYTES;
        Ok(Frame::data(chunk.slice(..left.min(CHUNK_BYTES))))
    });
    StreamBody::new(futures::stream::iter(sizes))
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
