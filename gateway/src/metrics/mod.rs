//! What has happened, for Prometheus. Series of a function go when it does; none has a path or a
//! host in it, which clients choose. Requests count without a lock.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::{encoding::text::encode, metrics::gauge::Gauge, registry::Registry};
use wasmfn_crds::answer::AnswerReason;

use crate::{
    proxy::Gateway,
    queue::Cause,
    routes::{Entrance, Function},
};

mod answers;
mod collect;
mod fault;
mod histogram;
mod outcome;

pub use fault::Fault;
pub use outcome::Outcome;

use answers::Answers;
use histogram::Histogram;

/// What became of one function's requests.
#[derive(Debug, Default)]
pub struct FunctionMetrics {
    answers: Answers,
    duration: Histogram,
    /// By [`Cause`].
    waits: [Histogram; Cause::ALL.len()],
    refusals: AtomicU64,
}

impl FunctionMetrics {
    /// A request was answered: its head went out.
    pub fn answered(&self, status: u16, reason: Option<&str>) {
        self.answers.count(status, reason);
    }

    /// A pod did not begin a request.
    pub fn refused(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }
}

/// How long a request takes, from its head to the last byte of its answer; noted when dropped.
#[derive(Debug)]
pub struct Timing {
    function: Arc<Function>,
    started: Instant,
}

impl Timing {
    /// The clock starts.
    #[must_use]
    pub fn start(function: Arc<Function>) -> Self {
        Self {
            function,
            started: Instant::now(),
        }
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        self.function
            .metrics
            .duration
            .observe(self.started.elapsed());
    }
}

/// How long a request waits in the queue, and why; noted when it ends or is dropped.
#[derive(Debug)]
pub struct Waiting {
    function: Arc<Function>,
    cause: Cause,
    since: Option<Instant>,
}

impl Waiting {
    /// The request begins to wait for `cause`.
    #[must_use]
    pub fn start(function: Arc<Function>, cause: Cause) -> Self {
        Self {
            function,
            cause,
            since: Some(Instant::now()),
        }
    }

    /// A pod seems to have begun it.
    pub fn end(&mut self) {
        if let Some(since) = self.since.take() {
            let waits = &self.function.metrics.waits[self.cause as usize];
            waits.observe(since.elapsed());
        }
    }

    /// The pod had not begun it: it waits on.
    pub fn resume(&mut self, cause: Cause) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            self.cause = cause;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

/// A connection of a client, counted until this is dropped.
#[derive(Debug)]
pub struct Connected(Arc<GatewayMetrics>);

impl Connected {
    /// One more.
    #[must_use]
    pub fn new(metrics: Arc<GatewayMetrics>) -> Self {
        metrics.connections.inc();
        Self(metrics)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

/// What has happened at the gateway as a whole.
#[derive(Debug, Default)]
pub struct GatewayMetrics {
    connections: Gauge,
    /// By [`Entrance`].
    unrouted: [Answers; Entrance::ALL.len()],
    /// Not of requests that go well.
    faults: Mutex<BTreeMap<(&'static str, Fault), u64>>,
    /// By [`Outcome`].
    durations: [Histogram; Outcome::COUNT],
}

impl GatewayMetrics {
    /// A request was answered before a function was found for it.
    pub fn unrouted(&self, entrance: Entrance, reason: AnswerReason) {
        self.unrouted[entrance as usize].count(reason.status(), Some(reason.as_str()));
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.connections.get()
    }

    /// A client was refused or cut off.
    pub fn fault(&self, entrance: Entrance, fault: Fault) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        *faults.entry((entrance.as_str(), fault)).or_default() += 1;
    }

    /// How often that has happened.
    #[must_use]
    pub fn faults(&self, entrance: Entrance, fault: Fault) -> u64 {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults
            .get(&(entrance.as_str(), fault))
            .copied()
            .unwrap_or_default()
    }

    /// A request has come to its end, so long after its head.
    pub fn answered(&self, outcome: Outcome, took: Duration) {
        self.durations[outcome.number()].observe(took);
    }
}

/// All metrics as `OpenMetrics` text.
///
/// # Errors
/// Only if a collector fails to write, which ours do not.
pub fn text(gateway: &Gateway) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("wasmfn_gateway");
    registry.register(
        "connections",
        "Connections of clients",
        gateway.metrics.connections.clone(),
    );
    let held = Gauge::<i64>::default();
    held.set(i64::try_from(gateway.held_bytes()).unwrap_or(i64::MAX));
    registry.register(
        "held_bytes",
        "Bytes set aside for bodies of requests that another pod may have to get",
        held,
    );
    registry.register_collector(Box::new(collect::Collected {
        metrics: gateway.metrics.clone(),
        world: gateway.world.clone(),
    }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
