//! What has happened, for Prometheus. Series of a function go when it does; none has a path or a
//! host in it, which clients choose.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use wasmfn_crds::answer::AnswerReason;

use crate::{
    proxy::Gateway,
    routes::{Entrance, Function},
};

mod collect;
mod fault;
mod outcome;

pub use fault::Fault;
pub use outcome::Outcome;

/// Upper bounds of the histogram of durations, in seconds.
const BUCKETS_SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// First digit of a status, and wasmfn's reason if it was wasmfn that answered.
type Answered = (u16, String);

/// What became of one function's requests.
#[derive(Debug)]
pub struct FunctionMetrics {
    answers: Mutex<BTreeMap<Answered, u64>>,
    duration: Histogram,
}

impl Default for FunctionMetrics {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
            duration: Histogram::new(BUCKETS_SECONDS),
        }
    }
}

impl FunctionMetrics {
    /// A request was answered: its head went out.
    pub fn answered(&self, status: u16, reason: Option<&str>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = (status / 100, reason.unwrap_or_default().to_owned());
        *answers.entry(outcome).or_default() += 1;
    }

    fn answers(&self) -> BTreeMap<Answered, u64> {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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

    /// Whose request it is.
    #[must_use]
    pub const fn function(&self) -> &Arc<Function> {
        &self.function
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.function.metrics.duration.observe(seconds);
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
    unrouted: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    faults: Mutex<BTreeMap<(&'static str, Fault), u64>>,
    answers: Mutex<BTreeMap<Outcome, Histogram>>,
}

impl GatewayMetrics {
    /// A request was answered before a function was found for it.
    pub fn unrouted(&self, entrance: Entrance, reason: AnswerReason) {
        let mut unrouted = self.unrouted.lock().unwrap_or_else(PoisonError::into_inner);
        *unrouted
            .entry((entrance.as_str(), reason.as_str()))
            .or_default() += 1;
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
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .entry(outcome)
            .or_insert_with(|| Histogram::new(BUCKETS_SECONDS))
            .observe(took.as_secs_f64());
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
