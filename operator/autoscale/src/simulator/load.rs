use std::{error::Error, fmt, time::Duration};

/// Requests in flight over time: each number holds until the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    steps: Vec<(Duration, u64)>,
    length: Duration,
}

/// A line that is no load.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoadError {
    /// Which line, from 1.
    pub line: usize,
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "line {} is not `seconds,in_flight` with a time after that of the line before",
            self.line
        )
    }
}

impl Error for LoadError {}

impl Load {
    /// From `(since, requests in flight)`, ordered by time, and the time at which it ends. Before
    /// the first step nothing is in flight.
    #[must_use]
    pub fn new(steps: Vec<(Duration, u64)>, length: Duration) -> Self {
        Self { steps, length }
    }

    /// Reads `seconds,in_flight` from each line; further columns are left alone, and so are empty
    /// lines and a first line that is no numbers. It ends with the last line.
    ///
    /// # Errors
    /// [`LoadError`] names the first line that cannot be read.
    pub fn from_csv(text: &str) -> Result<Self, LoadError> {
        let mut steps: Vec<(Duration, u64)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let is_head = index == 0 && line.starts_with(|first: char| first.is_alphabetic());
            if is_head || line.trim().is_empty() {
                continue;
            }
            let step = step(line)
                .filter(|step| steps.last().is_none_or(|last| last.0 <= step.0))
                .ok_or(LoadError { line: index + 1 })?;
            steps.push(step);
        }
        let length = steps.last().map_or(Duration::ZERO, |last| last.0);
        Ok(Self { steps, length })
    }

    /// `low`, and from `at` on `high`.
    #[must_use]
    pub fn step(low: u64, high: u64, at: Duration, length: Duration) -> Self {
        Self::new(vec![(Duration::ZERO, low), (at, high)], length)
    }

    /// From nothing to `high` in steps of one request.
    #[must_use]
    pub fn ramp(high: u32, length: Duration) -> Self {
        let steps = (1..=high).map(|requests| {
            let at = length * requests / (high + 1);
            (at, u64::from(requests))
        });
        Self::new(steps.collect(), length)
    }

    /// `low`, and `high` for the last `on` of each `period`.
    #[must_use]
    pub fn pulses(low: u64, high: u64, on: Duration, period: Duration, length: Duration) -> Self {
        let period = period.max(Duration::from_millis(1));
        let mut steps = vec![(Duration::ZERO, low)];
        let mut end = period;
        while end < length {
            steps.push((end.saturating_sub(on), high));
            steps.push((end, low));
            end += period;
        }
        Self::new(steps, length)
    }

    /// Requests in flight at a time.
    #[must_use]
    pub fn at(&self, at: Duration) -> u64 {
        let next = self.steps.partition_point(|step| step.0 <= at);
        next.checked_sub(1).map_or(0, |index| self.steps[index].1)
    }

    /// When it ends.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.length
    }
}

fn step(line: &str) -> Option<(Duration, u64)> {
    let mut columns = line.split(',').map(str::trim);
    let seconds = columns.next()?.parse().ok()?;
    let at = Duration::try_from_secs_f64(seconds).ok()?;
    Some((at, columns.next()?.parse().ok()?))
}
