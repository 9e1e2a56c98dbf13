//! What a row saw over time: load, desired and ready pods, latency; as CSV.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::plot;
use crate::context::{Observed, Replicas};
use crate::http::OpenReport;

/// A value over time, in order: seconds from the begin, and the value.
pub(super) type Points = Vec<(f64, f64)>;

/// What a row saw over time.
pub(super) struct Timeline {
    /// The row's name.
    pub name: String,
    begun: Instant,
    begun_epoch_milliseconds: f64,
    /// Requests a second or in flight; its unit is [`Self::load_unit`].
    pub load: Points,
    /// What `load` counts.
    pub load_unit: &'static str,
    /// `spec.replicas`.
    pub desired: Points,
    /// Ready pods.
    pub ready: Points,
    /// Latency in milliseconds, the middle of each quarter of a second.
    pub p50: Points,
    /// Latency in milliseconds, the longest of each quarter of a second.
    pub max: Points,
}

impl Timeline {
    /// Begins now.
    pub fn begin(name: &str, load_unit: &'static str) -> Self {
        let epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            name: name.to_owned(),
            begun: Instant::now(),
            begun_epoch_milliseconds: epoch.unwrap_or_default().as_secs_f64() * 1000.0,
            load: Points::new(),
            load_unit,
            desired: Points::new(),
            ready: Points::new(),
            p50: Points::new(),
            max: Points::new(),
        }
    }

    /// The load changes now.
    pub fn load_is(&mut self, load: f64) {
        self.load.push((self.begun.elapsed().as_secs_f64(), load));
    }

    /// Takes over what was seen of the replicas.
    pub fn add_replicas(&mut self, replicas: &Observed<Replicas>) {
        for (at, seen) in replicas.all() {
            let seconds = at.saturating_duration_since(self.begun).as_secs_f64();
            self.desired.push((seconds, f64::from(seen.desired)));
            self.ready.push((seconds, f64::from(seen.ready)));
        }
    }

    /// Takes over what an open-loop load saw, by the clock that its pod shares with this machine.
    pub fn add_load(&mut self, report: &OpenReport) {
        let late = (report.begun_epoch_milliseconds - self.begun_epoch_milliseconds) / 1000.0;
        for bin in &report.bins {
            let seconds = late + bin.seconds;
            self.load.push((seconds, bin.rate));
            self.p50.push((seconds, bin.p50_milliseconds));
            self.max.push((seconds, bin.max_milliseconds));
        }
    }

    /// Writes `NAME.csv` and `NAME.svg` into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        for (ending, text) in [("csv", self.csv()), ("svg", plot::svg(self))] {
            let path = folder.join(format!("{}.{ending}", self.name));
            std::fs::write(&path, text)?;
            println!("    {}", path.display());
        }
        Ok(())
    }

    /// A line for each value: seconds, what it is, the value.
    fn csv(&self) -> String {
        let load = format!("load ({})", self.load_unit);
        let series = [
            (load.as_str(), &self.load),
            ("desired", &self.desired),
            ("ready", &self.ready),
            ("p50 ms", &self.p50),
            ("max ms", &self.max),
        ];
        let mut lines: Vec<(f64, &str, f64)> = Vec::new();
        for (name, points) in series {
            lines.extend(points.iter().map(|(at, value)| (*at, name, *value)));
        }
        lines.sort_by(|left, right| left.0.total_cmp(&right.0));
        let mut text = "seconds,series,value\n".to_owned();
        for (at, name, value) in lines {
            let _ = writeln!(text, "{at:.3},{name},{value}");
        }
        text
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn timeline() -> Timeline {
        let mut timeline = Timeline::begin("steps", "in flight");
        timeline.load = vec![(0.0, 10.0), (2.0, 25.0)];
        timeline.desired = vec![(0.0, 1.0), (2.3, 3.0)];
        timeline.ready = vec![(0.0, 1.0), (4.0, 3.0)];
        timeline
    }

    #[test]
    fn lines_are_in_the_order_of_time() {
        let text = timeline().csv();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "seconds,series,value");
        assert_eq!(lines[lines.len() - 1], "4.000,ready,3");
        assert!(
            text.contains("2.000,load (in flight),25\n2.300,desired,3\n"),
            "{text}"
        );
    }
}
