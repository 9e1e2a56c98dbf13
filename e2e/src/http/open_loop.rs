//! Open-loop load: requests are sent at their times whether or not earlier ones are answered. It is
//! made by oha, one run for each phase; this runs beside it in a pod and sums up what oha says.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::process::Command;

/// Where its image has oha.
const PROGRAM: &str = "/oha";
/// A request without an answer for this long is lost.
const TIMEOUT: &str = "120s";
/// Width of a bin.
const BIN_SECONDS: f64 = 0.25;

/// What to send, and when.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// Whole URL.
    pub url: String,
    /// `Host` header; empty for that of `url`.
    pub host: String,
    /// `NAME: VALUE` each.
    pub headers: Vec<String>,
    /// Connections, each over HTTP/1.1.
    pub connections: usize,
    /// One after the other; one may begin while requests of the one before are under way.
    pub phases: Vec<Phase>,
}

/// A stretch of steady load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Phase {
    /// Requests a second; 0 for as many as the connections bear, each after the one before.
    pub rate: f64,
    /// How long it lasts.
    pub seconds: f64,
}

/// What came back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenReport {
    /// Requests that were sent.
    pub sent: usize,
    /// Those that were answered with 200.
    pub good: usize,
    /// Answers by status. What is missing to `sent` got no answer.
    pub statuses: BTreeMap<u16, usize>,
    /// Time of all phases.
    pub seconds: f64,
    /// Latency, from the time at which a request was due: the middle.
    pub p50_milliseconds: f64,
    /// What 95 % stay under.
    pub p95_milliseconds: f64,
    /// What 99 % stay under.
    pub p99_milliseconds: f64,
    /// The longest.
    pub max_milliseconds: f64,
    /// Begin of the first phase, in milliseconds since 1970.
    pub begun_epoch_milliseconds: f64,
    /// Latency over time.
    pub bins: Vec<Bin>,
}

/// The requests of a quarter of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bin {
    /// Its begin, from the first phase's.
    pub seconds: f64,
    /// Requests sent in it, as a rate by the second.
    pub rate: f64,
    /// Their latency: the middle.
    pub p50_milliseconds: f64,
    /// The longest.
    pub max_milliseconds: f64,
}

/// One answered request.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    seconds: f64,
    milliseconds: f64,
    status: u16,
}

impl Schedule {
    /// Sends it all.
    ///
    /// # Errors
    /// oha does not run, or says something unexpected. Lost requests are no error: see the report.
    pub async fn run(self) -> Result<OpenReport> {
        ensure!(!self.phases.is_empty(), "the schedule has no phase");
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let begun = Instant::now();
        let mut runs = Vec::new();
        let mut due = 0.0;
        for phase in &self.phases {
            tokio::time::sleep_until(begun + Duration::from_secs_f64(due)).await;
            let at = begun.elapsed().as_secs_f64();
            let oha = self.command(phase);
            runs.push((at, requests(phase), tokio::spawn(oha.output())));
            due += phase.seconds;
        }
        let (mut sent, mut samples) = (0, Vec::new());
        for (at, count, run) in runs {
            let said = run.await.context("a run of oha crashed")??;
            let answered = parse(&said, at)?;
            sent += count.unwrap_or(answered.len());
            samples.extend(answered);
        }
        Ok(OpenReport {
            begun_epoch_milliseconds: epoch.as_secs_f64() * 1000.0,
            seconds: due,
            ..report(sent, samples)
        })
    }

    fn command(&self, phase: &Phase) -> Command {
        let mut oha = Command::new(PROGRAM)
            .args(["--no-tui", "--output-format", "csv", "-t", TIMEOUT, "-c"])
            .arg(self.connections.max(1).to_string());
        oha = match requests(phase) {
            Some(count) => oha
                .args(["--latency-correction", "-q"])
                .arg(phase.rate.to_string())
                .args(["-n", &count.to_string()]),
            None => oha.arg("-w").arg("-z").arg(format!("{}s", phase.seconds)),
        };
        if !self.host.is_empty() {
            oha = oha.args(["--host", &self.host]);
        }
        for header in &self.headers {
            oha = oha.args(["-H", header]);
        }
        oha.arg(&self.url)
    }
}

/// How many requests a phase sends; none where the answers decide.
fn requests(phase: &Phase) -> Option<usize> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = (phase.rate * phase.seconds).round().max(1.0) as usize;
    (phase.rate > 0.0).then_some(count)
}

/// oha's lines: begin, three parts of the time, the whole time, bytes, status.
fn parse(said: &str, offset_seconds: f64) -> Result<Vec<Sample>> {
    let sample = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [begin, _, _, _, time, _, status] = fields.as_slice() else {
            bail!("oha said `{line}`");
        };
        Ok(Sample {
            seconds: offset_seconds + begin.parse::<f64>()?,
            milliseconds: time.parse::<f64>()? * 1000.0,
            status: status.parse()?,
        })
    };
    said.lines().skip(1).map(sample).collect()
}

fn report(sent: usize, mut samples: Vec<Sample>) -> OpenReport {
    let mut statuses = BTreeMap::new();
    for sample in &samples {
        *statuses.entry(sample.status).or_default() += 1;
    }
    let good = statuses.get(&200).copied().unwrap_or(0);
    let bins = bins(&samples);
    samples.sort_by(|left, right| left.milliseconds.total_cmp(&right.milliseconds));
    let at = |percent: usize| {
        let rank = (samples.len() * percent).div_ceil(100).max(1);
        samples
            .get(rank - 1)
            .map_or(0.0, |sample| sample.milliseconds)
    };
    OpenReport {
        sent,
        good,
        statuses,
        p50_milliseconds: at(50),
        p95_milliseconds: at(95),
        p99_milliseconds: at(99),
        max_milliseconds: at(100),
        bins,
        ..OpenReport::default()
    }
}

fn bins(samples: &[Sample]) -> Vec<Bin> {
    let mut by_bin: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for sample in samples {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let bin = (sample.seconds / BIN_SECONDS).max(0.0) as u32;
        by_bin.entry(bin).or_default().push(sample.milliseconds);
    }
    let bin = |(bin, mut times): (u32, Vec<f64>)| {
        times.sort_by(f64::total_cmp);
        #[allow(clippy::cast_precision_loss)]
        let rate = times.len() as f64 / BIN_SECONDS;
        Bin {
            seconds: f64::from(bin) * BIN_SECONDS,
            rate,
            p50_milliseconds: times[times.len() / 2],
            max_milliseconds: times[times.len() - 1],
        }
    };
    by_bin.into_iter().map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "request-start,DNS,DNS+dialup,Response-delay,request-duration,bytes,status\n\
                        0.01,0,0,0.1,0.101,12,200\n\
                        0.02,0,0,0.1,0.103,12,200\n\
                        0.51,0,0,0.1,0.2,40,503\n";

    #[test]
    fn what_oha_says_is_summed_up() {
        let samples = parse(SAID, 1.0).expect("it is as oha writes it");
        assert_eq!(samples[2].status, 503);
        let report = report(4, samples);
        assert_eq!((report.sent, report.good), (4, 2));
        assert_eq!(report.statuses, BTreeMap::from([(200, 2), (503, 1)]));
        assert!((report.p50_milliseconds - 103.0).abs() < 1e-6);
        assert!((report.max_milliseconds - 200.0).abs() < 1e-6);
        let begins: Vec<f64> = report.bins.iter().map(|bin| bin.seconds).collect();
        assert_eq!(begins, [1.0, 1.5]);
        assert!((report.bins[0].rate - 8.0).abs() < 1e-6);
    }

    #[test]
    fn something_else_is_an_error() {
        assert!(parse("head\nno comma\n", 0.0).is_err());
    }

    #[test]
    fn a_phase_of_a_rate_has_a_number_of_requests() {
        let phase = |rate, seconds| Phase { rate, seconds };
        assert_eq!(requests(&phase(200.0, 0.2)), Some(40));
        assert_eq!(requests(&phase(0.0, 5.0)), None);
    }
}
