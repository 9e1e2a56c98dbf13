//! What came back for requests that carry ids of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::Answer;

/// Header that carries a request's id, and that an answer may give it back in.
pub(super) const ID_HEADER: &str = "x-request-id";
/// Failures that a report keeps. More would not fit a pod's log, and nobody reads them.
const FAILURES_KEPT: usize = 5000;
/// Failures that an error spells out.
const FAILURES_TOLD: usize = 20;
/// Characters of an answer that a failure quotes.
const QUOTED: usize = 200;

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
    /// The first failures.
    pub failures: Vec<Failure>,
    /// Time from sending to the answer's end, in milliseconds: the middle, and what 99 % stay under.
    pub p50_milliseconds: f64,
    /// See [`Self::p50_milliseconds`].
    pub p99_milliseconds: f64,
}

/// A request that was not answered with 200 and its own id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Its id.
    pub id: String,
    /// Status of its answer; 0 where there was none.
    pub status: u16,
    /// The answer's header `wasmfn-reason`.
    pub reason: String,
    /// The answer's header `retry-after`.
    pub retry_after: String,
    /// The begin of its body, or why there was no answer.
    pub said: String,
    /// Time from sending, in milliseconds.
    pub milliseconds: f64,
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
            self.told()
        );
        Ok(())
    }

    /// How many failed for each reason that wasmfn gave; the empty word for none.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<&str, usize> {
        let mut reasons = BTreeMap::new();
        for failure in &self.failures {
            *reasons.entry(failure.reason.as_str()).or_default() += 1;
        }
        reasons
    }

    fn told(&self) -> String {
        let told = self.failures.iter().take(FAILURES_TOLD).map(|failure| {
            let Failure {
                id,
                status,
                reason,
                said,
                milliseconds,
                ..
            } = failure;
            format!("{id} after {milliseconds:.0} ms: {status} {reason} {said}")
        });
        told.collect::<Vec<_>>().join("; ")
    }
}

/// Counts answers as they come.
#[derive(Default)]
pub(super) struct Tally {
    expects_id: bool,
    report: LoadReport,
    milliseconds: Vec<f64>,
}

impl Tally {
    pub(super) fn new(expects_id: bool) -> Self {
        Self {
            expects_id,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, id: &str, answer: Result<Answer>, time: Duration) {
        let milliseconds = time.as_secs_f64() * 1000.0;
        self.report.sent += 1;
        self.milliseconds.push(milliseconds);
        let mut failure = Failure {
            id: id.to_owned(),
            milliseconds,
            ..Failure::default()
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                failure.said = format!("{error:#}");
                return self.fail(failure);
            }
        };
        let status = answer.status.as_u16();
        *self.report.statuses.entry(status).or_default() += 1;
        let text = answer.text();
        let own = text.contains(id) || answer.header(ID_HEADER) == id;
        if status == 200 && (own || !self.expects_id) {
            self.report.good += 1;
            let body = text.replace(id, "{id}");
            *self.report.bodies.entry(body).or_default() += 1;
            return;
        }
        let quoted: String = text.chars().take(QUOTED).collect();
        failure.said = if status == 200 {
            format!("the answer is not its own: {quoted}")
        } else {
            quoted
        };
        failure.status = status;
        failure.reason = answer.header("wasmfn-reason");
        failure.retry_after = answer.header("retry-after");
        self.fail(failure);
    }

    fn fail(&mut self, failure: Failure) {
        if self.report.failures.len() < FAILURES_KEPT {
            self.report.failures.push(failure);
        }
    }

    pub(super) fn report(&mut self) -> LoadReport {
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
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((percentile(&values, 0.5) - 50.0).abs() < f64::EPSILON);
        assert!((percentile(&values, 0.99) - 99.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn failures_are_counted_by_reason() {
        let answer = |status: u16, reason: &str| {
            let mut headers = http::HeaderMap::new();
            let reason = reason.parse().expect("a header's value");
            headers.insert("wasmfn-reason", reason);
            Ok(Answer {
                status: http::StatusCode::from_u16(status).expect("a status"),
                headers,
                body: bytes::Bytes::from_static(b"1"),
                trailers: http::HeaderMap::new(),
            })
        };
        let mut tally = Tally::new(true);
        tally.add("1", answer(200, ""), Duration::ZERO);
        tally.add("2", answer(503, "QueueFull"), Duration::ZERO);
        tally.add("3", answer(503, "QueueFull"), Duration::ZERO);
        tally.add("4", answer(200, ""), Duration::ZERO);
        let report = tally.report();
        assert_eq!((report.sent, report.good), (4, 1));
        assert_eq!(
            report.reasons(),
            BTreeMap::from([("QueueFull", 2), ("", 1)])
        );
    }
}
