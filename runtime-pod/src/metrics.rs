//! Numbers for Prometheus.

use std::{
    fmt,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{sandbox::Refused, serve::Discard};

/// Buckets of durations: from half a millisecond to about 16 seconds.
const FIRST_BUCKET_SECONDS: f64 = 0.0005;
const BUCKETS: u16 = 16;

/// Words that requests of a function are counted under.
const OUTCOMES: [&str; 21] = [
    "Answered",
    "BadRequest",
    "Broken",
    "Failed",
    "Full",
    "HeadersTooLarge",
    "HostCallTooLarge",
    "Internal",
    "InvalidResponse",
    "Leaving",
    "Loading",
    "OutOfCpu",
    "OutOfFuel",
    "OutOfMemory",
    "RequestTooLarge",
    "ResponseTooLarge",
    "StackOverflow",
    "Timeout",
    "TooManyHandles",
    "Trapped",
    "UpgradeRefused",
];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    function: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Refusal {
    function: String,
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Discarded {
    function: String,
    cause: Discard,
}

/// Counts refusals of one kind.
pub type RefusalCounter = Counter;

/// Counts requests that instances serve after their first.
pub type ReusedCounter = Counter;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Of {
    function: String,
}

/// Where the code of a function came from when it was loaded.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum LoadedFrom {
    /// It was on disk.
    Disk,
    /// A sibling sent it.
    Sibling,
    /// This pod compiled it.
    Compiler,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct From {
    from: LoadedFrom,
}

/// What the pod as a whole holds right now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holdings {
    /// Functions that it holds.
    pub functions: usize,
    /// Requests in flight.
    pub in_flight: u32,
    /// Memory in use.
    pub memory_bytes: u64,
    /// Memory that it may use.
    pub memory_budget_bytes: u64,
}

/// All metrics of a pod.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Outcome, Counter>,
    refusals: Family<Refusal, Counter>,
    seconds: Family<Of, Histogram, fn() -> Histogram>,
    loads: Family<From, Counter>,
    made: Family<Of, Counter>,
    reused: Family<Of, ReusedCounter>,
    discarded: Family<Discarded, Counter>,
    mapped: Gauge<u64, AtomicU64>,
    functions: Gauge<u64, AtomicU64>,
    in_flight: Gauge<u64, AtomicU64>,
    memory: Gauge<u64, AtomicU64>,
    budget: Gauge<u64, AtomicU64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(FIRST_BUCKET_SECONDS, 2.0, BUCKETS))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("wasmfn_runtime");
        let metrics = Self {
            requests: Family::default(),
            refusals: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            loads: Family::default(),
            made: Family::default(),
            reused: Family::default(),
            discarded: Family::default(),
            mapped: Gauge::default(),
            functions: Gauge::default(),
            in_flight: Gauge::default(),
            memory: Gauge::default(),
            budget: Gauge::default(),
            registry: Mutex::default(),
        };
        registry.register(
            "requests",
            "Requests by function and outcome: Answered, Broken, or the word of the answer",
            metrics.requests.clone(),
        );
        registry.register(
            "refusals",
            "What guests were refused while their requests went on, by function and reason",
            metrics.refusals.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to the last byte of its answer",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register(
            "loads",
            "Modules that were loaded, by where their compiled code came from",
            metrics.loads.clone(),
        );
        registry.register(
            "made_instances",
            "Instances of functions with `reuse` that have begun",
            metrics.made.clone(),
        );
        registry.register(
            "reused_requests",
            "Requests of functions with `reuse` that an instance served after its first",
            metrics.reused.clone(),
        );
        registry.register(
            "discarded_instances",
            "Instances of functions with `reuse` that have ended, by function and cause",
            metrics.discarded.clone(),
        );
        registry.register_with_unit(
            "code_mapped",
            "Memory that mapped modules cost besides the pages of their files",
            Unit::Bytes,
            metrics.mapped.clone(),
        );
        registry.register(
            "functions",
            "Functions that the pod holds",
            metrics.functions.clone(),
        );
        registry.register("in_flight", "Requests in flight", metrics.in_flight.clone());
        registry.register_with_unit(
            "memory_used",
            "Memory that guests, code and compilation use",
            Unit::Bytes,
            metrics.memory.clone(),
        );
        registry.register_with_unit(
            "memory_budget",
            "Memory that they may use",
            Unit::Bytes,
            metrics.budget.clone(),
        );
        Self {
            registry: Mutex::new(registry),
            ..metrics
        }
    }
}

impl Metrics {
    /// Counts a request that was answered.
    pub fn answered(&self, function: &str, outcome: &'static str, duration: Duration) {
        self.requests
            .get_or_create(&Outcome {
                function: function.to_owned(),
                outcome,
            })
            .inc();
        self.seconds
            .get_or_create(&Of {
                function: function.to_owned(),
            })
            .observe(duration.as_secs_f64());
    }

    /// Counts what guests of a function are refused for one reason.
    pub fn refusals(&self, function: &str, reason: Refused) -> RefusalCounter {
        self.refusals
            .get_or_create(&Refusal {
                function: function.to_owned(),
                reason: reason.as_str(),
            })
            .clone()
    }

    /// Counts an instance of a function with `reuse` that begins.
    pub fn made(&self, function: &str) {
        let function = function.to_owned();
        self.made.get_or_create(&Of { function }).inc();
    }

    /// Counts requests of a function that its instances serve after their first.
    pub fn reused(&self, function: &str) -> ReusedCounter {
        let function = function.to_owned();
        self.reused.get_or_create(&Of { function }).clone()
    }

    /// Counts an instance of a function with `reuse` that has ended.
    pub fn discarded(&self, function: &str, cause: Discard) {
        let function = function.to_owned();
        let labels = Discarded { function, cause };
        self.discarded.get_or_create(&labels).inc();
    }

    /// Counts a module that was loaded.
    pub fn loaded(&self, from: LoadedFrom) {
        self.loads.get_or_create(&From { from }).inc();
    }

    /// Mapped modules cost so much, in bytes.
    pub fn mapped(&self, bytes: u64) {
        self.mapped.set(bytes);
    }

    /// Modules that were loaded from there so far.
    #[must_use]
    pub fn loads(&self, from: LoadedFrom) -> u64 {
        self.loads.get_or_create(&From { from }).get()
    }

    /// Forgets a function that the pod no longer holds.
    pub fn forget(&self, function: &str) {
        let of = Of {
            function: function.to_owned(),
        };
        self.seconds.remove(&of);
        self.made.remove(&of);
        self.reused.remove(&of);
        for cause in Discard::ALL {
            self.discarded.remove(&Discarded {
                function: function.to_owned(),
                cause,
            });
        }
        for outcome in OUTCOMES {
            self.requests.remove(&Outcome {
                function: function.to_owned(),
                outcome,
            });
        }
        for reason in Refused::ALL {
            self.refusals.remove(&Refusal {
                function: function.to_owned(),
                reason: reason.as_str(),
            });
        }
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// If a metric cannot be written.
    pub fn text(&self, holdings: Holdings) -> Result<String, fmt::Error> {
        self.functions.set(holdings.functions as u64);
        self.in_flight.set(holdings.in_flight.into());
        self.memory.set(holdings.memory_bytes);
        self.budget.set(holdings.memory_budget_bytes);
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_function_and_outcome() {
        let metrics = Metrics::default();
        let millisecond = Duration::from_millis(1);
        metrics.answered("hello", "Answered", millisecond);
        metrics.answered("hello", "Trapped", millisecond);
        metrics.answered("gone", "Answered", millisecond);
        metrics.refusals("hello", Refused::OutboundDenied).inc();
        metrics.refusals("gone", Refused::LogRate).inc();
        metrics.forget("gone");
        let text = metrics
            .text(Holdings {
                in_flight: 3,
                ..Holdings::default()
            })
            .unwrap();
        for line in [
            "wasmfn_runtime_requests_total{function=\"hello\",outcome=\"Trapped\"} 1",
            "wasmfn_runtime_refusals_total{function=\"hello\",reason=\"OutboundDenied\"} 1",
            "wasmfn_runtime_request_duration_seconds_count{function=\"hello\"} 2",
            "wasmfn_runtime_in_flight 3",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("gone"), "{text}");
    }
}
