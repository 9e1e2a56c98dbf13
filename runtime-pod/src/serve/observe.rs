//! Sees each request to the end of its answer: for the metrics, and for who else wants to know.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, Request, StatusCode};
use wasmfn_connection::Upload;

use crate::metrics::Metrics;

/// Outcome of an answer that came from the guest.
const ANSWERED: &str = "Answered";
/// Outcome of an answer that was cut short.
const BROKEN: &str = "Broken";

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// The status of the answer.
    pub status: StatusCode,
    /// Whether the answer was cut short.
    pub is_broken: bool,
    /// From the request's head to the answer's last byte.
    pub duration: Duration,
}

/// Is told of each request that was answered.
pub type Observer = Arc<dyn Fn(&Observed) + Send + Sync>;

/// Watches one request; tells when dropped.
pub(super) struct Watch {
    metrics: Arc<Metrics>,
    observer: Option<Observer>,
    started_at: Instant,
    method: Method,
    /// Kept only for an observer.
    path: String,
    function: Option<String>,
    status: StatusCode,
    outcome: &'static str,
    _upload: Option<Upload>,
}

impl Watch {
    pub(super) fn new<B>(
        request: &Request<B>,
        upload: Option<Upload>,
        metrics: Arc<Metrics>,
        observer: Option<Observer>,
    ) -> Self {
        let path = match &observer {
            Some(_) => request
                .uri()
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            None => String::new(),
        };
        Self {
            metrics,
            observer,
            started_at: Instant::now(),
            method: request.method().clone(),
            path,
            function: None,
            status: StatusCode::OK,
            // What stands here if the client goes away before there is an answer.
            outcome: BROKEN,
            _upload: upload,
        }
    }

    /// Says which function was asked. Names that no function has are not counted one by one.
    pub(super) fn function(&mut self, name: &str) {
        self.function = Some(name.to_owned());
    }

    /// wasmfn answers, with this word.
    pub(super) const fn instead(&mut self, status: StatusCode, word: &'static str) {
        self.status = status;
        self.outcome = word;
    }

    /// The guest answers.
    pub(super) const fn answers(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// The guest's answer is complete.
    pub(super) const fn complete(&mut self) {
        self.outcome = ANSWERED;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let duration = self.started_at.elapsed();
        let function = self.function.as_deref().unwrap_or_default();
        self.metrics.answered(function, self.outcome, duration);
        if let Some(observer) = &self.observer {
            observer(&Observed {
                method: self.method.clone(),
                path: std::mem::take(&mut self.path),
                status: self.status,
                is_broken: self.outcome == BROKEN,
                duration,
            });
        }
    }
}
