//! The figures as bars.

use std::fmt::Write as _;

use super::{cases::Peer, table::Summary};

/// Sizes, in units of the picture.
const WIDTH: f64 = 900.0;
const LABELS: f64 = 380.0;
const NUMBERS: f64 = 90.0;
const BAR: f64 = 16.0;
const GAP: f64 = 6.0;

/// A bar for each server of each case: its requests per second, with a line from the least to the most.
pub(super) fn svg(summaries: &[Summary]) -> String {
    let longest = summaries
        .iter()
        .map(|summary| summary.per_second.most)
        .fold(1.0, f64::max);
    let scale = (WIDTH - LABELS - NUMBERS) / longest;
    let mut bars = String::new();
    for (place, summary) in summaries.iter().enumerate() {
        bar(&mut bars, summary, place as f64 * (BAR + GAP) + GAP, scale);
    }
    let height = summaries.len() as f64 * (BAR + GAP) + GAP;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n{bars}</svg>\n"
    )
}

fn bar(text: &mut String, summary: &Summary, top: f64, scale: f64) {
    let colour = match summary.peer {
        Peer::Ours => "#2a6f97",
        Peer::Native => "#a9a9a9",
        Peer::WasmtimeServe => "#e09f3e",
    };
    let base = top + BAR - 4.0;
    let middle = top + BAR / 2.0;
    let speed = summary.per_second;
    let _ = writeln!(
        text,
        "<text x=\"{label:.0}\" y=\"{base:.0}\" text-anchor=\"end\">{case}: {name}</text>\
         <rect x=\"{LABELS}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
         <line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle:.0}\" y2=\"{middle:.0}\" stroke=\"black\"/>\
         <text x=\"{after:.0}\" y=\"{base:.0}\">{number:.0}/s</text>",
        label = LABELS - GAP,
        case = summary.case,
        name = summary.peer.name(),
        width = speed.median * scale,
        from = LABELS + speed.least * scale,
        to = LABELS + speed.most * scale,
        after = LABELS + speed.most * scale + GAP,
        number = speed.median,
    );
}
