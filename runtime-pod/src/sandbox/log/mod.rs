//! What guests write, as structured log lines: at a limited rate and length, with the names of the
//! function and of the request.

mod lines;
mod rate;
mod request_id;
#[cfg(test)]
mod tests;
mod wasi;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

pub use request_id::RequestId;
pub(crate) use wasi::add_to_linker;
use wasmfn_crds::condition::cut;

use super::{Printer, Refused};
use crate::metrics::{Metrics, RefusalCounter};
use lines::Lines;
use rate::{Rate, Verdict};

/// Longest line; the rest of a longer one is cut.
const LINE_MAX_BYTES: usize = 8 << 10;

/// The log of one function.
#[derive(Debug)]
pub struct GuestLog {
    function: String,
    rate: Mutex<Rate>,
    metrics: Arc<Metrics>,
    dropped: RefusalCounter,
}

/// Who says a line.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    /// An output of the guest.
    Output(&'static str),
    /// `wasi:logging`.
    Logging {
        level: &'static str,
        context: &'a str,
    },
}

impl GuestLog {
    /// A log whose lines carry the function's name; what it is refused is counted in `metrics`.
    #[must_use]
    pub fn new(function: &str, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            function: function.to_owned(),
            rate: Mutex::new(Rate::new(Instant::now())),
            dropped: metrics.refusals(function, Refused::LogRate),
            metrics,
        })
    }

    /// Name of the function.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.function
    }

    /// Writes a line about the guest, under the same limit as its own.
    pub fn warn(&self, reason: &str, message: &str) {
        let message = cut(message, LINE_MAX_BYTES);
        if self.admits(message.len()) {
            tracing::warn!(target: "guest", function = self.function, reason, "{message}");
        }
    }

    /// Counts and writes down what the guest was refused.
    pub fn refused(&self, reason: Refused, message: &str) {
        self.metrics.refusals(&self.function, reason).inc();
        self.warn(reason.as_str(), message);
    }

    fn line(&self, request: Option<&RequestId>, source: Source<'_>, text: &str) {
        let context_bytes = match source {
            Source::Output(_) => 0,
            Source::Logging { context, .. } => context.len(),
        };
        if !self.admits(text.len() + context_bytes) {
            return;
        }
        let request = request.map(RequestId::to_string);
        let function = &self.function;
        match source {
            Source::Output(stream) => {
                tracing::info!(target: "guest", function, request, stream, "{text}");
            }
            Source::Logging { level, context } => match level {
                "error" | "critical" => {
                    tracing::error!(target: "guest", function, request, level, context, "{text}");
                }
                "warn" => {
                    tracing::warn!(target: "guest", function, request, level, context, "{text}");
                }
                // What a guest calls debugging is still its user's log: who does not want it turns
                // it off in the guest.
                _ => tracing::info!(target: "guest", function, request, level, context, "{text}"),
            },
        }
    }

    fn admits(&self, bytes: usize) -> bool {
        let verdict = self
            .rate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(u32::try_from(bytes).unwrap_or(u32::MAX), Instant::now());
        match verdict {
            Verdict::Dropped => {
                self.dropped.inc();
                false
            }
            Verdict::Admitted { dropped } => {
                if dropped > 0 {
                    let reason = Refused::LogRate.as_str();
                    tracing::warn!(target: "guest", function = self.function, reason, dropped, "lines were dropped: too many or too long");
                }
                true
            }
        }
    }
}

/// What one instance writes: its function's log, and the request that it serves now.
#[derive(Clone, Debug)]
pub struct RequestLog {
    log: Arc<GuestLog>,
    request: Arc<Mutex<Option<RequestId>>>,
}

/// An output of an instance: lines of its log.
pub(crate) type Output = Printer<Lines>;

impl RequestLog {
    /// The log of an instance that serves no request yet.
    #[must_use]
    pub fn new(log: Arc<GuestLog>) -> Self {
        Self {
            log,
            request: Arc::default(),
        }
    }

    /// Says which request the instance serves; none, where it serves several.
    pub fn serves(&self, request: Option<RequestId>) {
        *self.request() = request;
    }

    fn request(&self) -> MutexGuard<'_, Option<RequestId>> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An output of the instance.
    pub(crate) fn stream(&self, name: &'static str) -> Output {
        Printer::to(Lines::new(self.clone(), name))
    }

    /// The function's log.
    #[must_use]
    pub const fn of_function(&self) -> &Arc<GuestLog> {
        &self.log
    }

    fn line(&self, source: Source<'_>, text: &str) {
        self.log.line(self.request().as_ref(), source, text);
    }
}
