//! What was measured, as a table for people and as one for programs.

use std::{fmt::Write as _, time::Duration};

use anyhow::Result;

use super::{cases::Peer, load::Score};

/// Prints what two ways to do the same took, one time after the other.
pub(super) fn print_times(title: &str, rows: [(&str, Vec<Duration>); 2]) -> Result<()> {
    println!("\n| {title} | p50 | p99 |\n|---|---|---|");
    for (name, times) in rows {
        let length = times.iter().sum();
        let score = Score::of(times, length)?;
        println!(
            "| {name} | {} µs | {} µs |",
            score.p50.as_micros(),
            score.p99.as_micros()
        );
    }
    Ok(())
}

/// One server's turn in one round.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) case: String,
    pub(super) peer: Peer,
    pub(super) round: u32,
    pub(super) score: Score,
}

/// One server in one case.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    pub(super) case: String,
    pub(super) peer: Peer,
    pub(super) per_second: Spread,
    pub(super) p50_microseconds: Spread,
    pub(super) p99_microseconds: Spread,
    /// Our requests per second as a multiple of its, round by round.
    pub(super) ours: Spread,
}

/// The middle of several numbers, and their ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    pub(super) least: f64,
    pub(super) median: f64,
    pub(super) most: f64,
}

impl Spread {
    fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |place: usize| numbers.get(place).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            median: at(numbers.len() / 2),
            most: at(numbers.len().saturating_sub(1)),
        }
    }
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    /// A line for each turn.
    pub(super) fn csv(&self) -> String {
        let mut text =
            "case,server,round,requests_per_second,p50_microseconds,p99_microseconds\n".to_owned();
        for row in &self.0 {
            let _ = writeln!(
                text,
                "\"{}\",{},{},{:.0},{},{}",
                row.case,
                row.peer.name(),
                row.round,
                row.score.per_second,
                row.score.p50.as_micros(),
                row.score.p99.as_micros()
            );
        }
        text
    }

    /// A summary for each server of each case, in the order in which they were measured.
    pub(super) fn summaries(&self) -> Vec<Summary> {
        let mut summaries: Vec<Summary> = Vec::new();
        for row in self.0.iter().filter(|row| row.round == 0) {
            summaries.push(self.summary(&row.case, row.peer));
        }
        summaries
    }

    fn summary(&self, case: &str, peer: Peer) -> Summary {
        let scores = |peer| {
            self.0
                .iter()
                .filter(move |row| row.case == case && row.peer == peer)
                .map(|row| row.score)
        };
        let ratios = scores(Peer::Ours)
            .zip(scores(peer))
            .map(|(ours, other)| ours.per_second / other.per_second);
        let microseconds = |of: fn(Score) -> Duration| {
            Spread::of(
                scores(peer)
                    .map(|score| of(score).as_secs_f64() * 1e6)
                    .collect(),
            )
        };
        Summary {
            case: case.to_owned(),
            peer,
            per_second: Spread::of(scores(peer).map(|score| score.per_second).collect()),
            p50_microseconds: microseconds(|score| score.p50),
            p99_microseconds: microseconds(|score| score.p99),
            ours: Spread::of(ratios.collect()),
        }
    }

    /// Prints one case.
    pub(super) fn print(&self, case: &str) {
        println!("\n{case}");
        println!("| server | requests/s | p50 | p99 | wasmfn is |\n|---|---|---|---|---|");
        for summary in self
            .summaries()
            .iter()
            .filter(|summary| summary.case == case)
        {
            println!(
                "| {} | {:.0} ({:.0} to {:.0}) | {:.0} µs | {:.0} µs | {:.2} times ({:.2} to {:.2}) |",
                summary.peer.name(),
                summary.per_second.median,
                summary.per_second.least,
                summary.per_second.most,
                summary.p50_microseconds.median,
                summary.p99_microseconds.median,
                summary.ours.median,
                summary.ours.least,
                summary.ours.most,
            );
        }
    }
}
