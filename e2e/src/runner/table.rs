//! How stories went, as text.

use std::fmt::Write;
use std::time::Duration;

use crate::story::Need;

/// How a story went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of it is true.
    Passed,
    /// Something in it is not.
    Failed,
    /// The cluster lacks what it needs.
    Skipped(Need),
}

/// One story of a run.
pub(super) struct Row {
    pub name: &'static str,
    pub outcome: Outcome,
    pub time: Duration,
}

impl Row {
    /// One line, for as soon as the story has ended.
    pub fn line(&self) -> String {
        let outcome = match self.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed => "FAILED".to_owned(),
            Outcome::Skipped(need) => format!("skipped (no {need:?})"),
        };
        let seconds = self.time.as_secs_f64();
        format!("{:<44} {outcome:<28} {seconds:>7.1} s", self.name)
    }
}

/// All lines, and how many passed and failed on the last one.
pub(super) fn render(rows: &[Row]) -> String {
    let mut text = format!("\n{:<44} {:<28} {:>9}\n", "story", "result", "time");
    for row in rows {
        let _ = writeln!(text, "{}", row.line());
    }
    let count = |outcome| rows.iter().filter(|row| row.outcome == outcome).count();
    let (passed, failed) = (count(Outcome::Passed), count(Outcome::Failed));
    let _ = writeln!(text, "\n{passed} passed, {failed} failed");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let row = |name, outcome| Row {
            name,
            outcome,
            time: Duration::from_millis(1500),
        };
        let rows = [
            row("serves", Outcome::Passed),
            row("scales", Outcome::Failed),
            row("fences", Outcome::Skipped(Need::NetworkPolicy)),
        ];
        let text = render(&rows);
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed"));
        assert!(text.contains("skipped (no NetworkPolicy)"), "{text}");
        assert!(text.contains("1.5 s"), "{text}");
    }
}
