//! A timeline as a picture: load, pods and latency, one above the other over the same time.

use std::fmt::Write;

use super::timeline::{Points, Timeline};

const WIDTH: f64 = 900.0;
const LANE_HEIGHT: f64 = 140.0;
/// Room for text: left of the lanes, above each, below the last.
const LEFT: f64 = 70.0;
const ABOVE: f64 = 34.0;
const BELOW: f64 = 30.0;

/// Lines of one unit.
struct Lane<'a> {
    title: String,
    lines: Vec<Line<'a>>,
}

struct Line<'a> {
    name: &'a str,
    colour: &'a str,
    points: &'a Points,
    /// A value holds until the next one, rather than leading to it.
    is_step: bool,
}

/// The picture.
pub(super) fn svg(timeline: &Timeline) -> String {
    let lanes = lanes(timeline);
    let end = lanes
        .iter()
        .flat_map(|lane| &lane.lines)
        .filter_map(|line| line.points.last())
        .map(|(at, _)| *at)
        .fold(1.0, f64::max);
    let height = (LANE_HEIGHT + ABOVE) * f64::from(u8::try_from(lanes.len()).unwrap_or(3)) + BELOW;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        WIDTH + LEFT + 20.0
    );
    let mut top = ABOVE;
    for lane in &lanes {
        draw(&mut text, lane, top, end);
        top += LANE_HEIGHT + ABOVE;
    }
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{:.0}\">0 s</text><text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{end:.0} s</text>\n</svg>",
        height - 12.0,
        LEFT + WIDTH,
        height - 12.0
    );
    text
}

fn lanes(timeline: &Timeline) -> Vec<Lane<'_>> {
    let line = |name, colour, points, is_step| Line {
        name,
        colour,
        points,
        is_step,
    };
    // Held requests stay as they are until the next change; a rate is measured again and again.
    let load_is_step = timeline.p50.is_empty();
    let lanes = vec![
        Lane {
            title: format!("{}: load, {}", timeline.name, timeline.load_unit),
            lines: vec![line("load", "#1f77b4", &timeline.load, load_is_step)],
        },
        Lane {
            title: "pods".to_owned(),
            lines: vec![
                line("desired", "#d62728", &timeline.desired, true),
                line("ready", "#2ca02c", &timeline.ready, true),
            ],
        },
        Lane {
            title: "latency, ms".to_owned(),
            lines: vec![
                line("max", "#ff7f0e", &timeline.max, false),
                line("p50", "#9467bd", &timeline.p50, false),
            ],
        },
    ];
    let has_points = |lane: &Lane<'_>| lane.lines.iter().any(|line| !line.points.is_empty());
    lanes.into_iter().filter(has_points).collect()
}

fn draw(text: &mut String, lane: &Lane<'_>, top: f64, end: f64) {
    let values = lane.lines.iter().flat_map(|line| line.points);
    let most = values.map(|(_, value)| *value).fold(1.0, f64::max);
    let bottom = top + LANE_HEIGHT;
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{:.0}\" font-weight=\"bold\">{}</text>\n\
         <rect x=\"{LEFT}\" y=\"{top:.0}\" width=\"{WIDTH}\" height=\"{LANE_HEIGHT}\" fill=\"none\" stroke=\"#bbb\"/>\n\
         <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{most:.0}</text>\n\
         <text x=\"{:.0}\" y=\"{bottom:.0}\" text-anchor=\"end\">0</text>",
        top - 8.0,
        lane.title,
        LEFT - 6.0,
        top + 10.0,
        LEFT - 6.0,
    );
    let mut legend = LEFT + WIDTH;
    for line in &lane.lines {
        let place = |at: f64, value: f64| {
            let x = LEFT + at / end * WIDTH;
            let y = bottom - value / most * LANE_HEIGHT;
            format!("{x:.1},{y:.1}")
        };
        let points = path(line, end)
            .into_iter()
            .map(|(at, value)| place(at, value));
        let _ = writeln!(
            text,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" points=\"{}\"/>\n\
             <text x=\"{legend:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"{}\">{}</text>",
            line.colour,
            points.collect::<Vec<_>>().join(" "),
            top - 8.0,
            line.colour,
            line.name
        );
        legend -= 70.0;
    }
}

/// The corners of a line, up to the picture's end.
fn path(line: &Line<'_>, end: f64) -> Points {
    if !line.is_step {
        return line.points.clone();
    }
    let mut corners = Points::new();
    for (at, value) in line.points {
        if let Some((_, before)) = corners.last().copied() {
            corners.push((*at, before));
        }
        corners.push((*at, *value));
    }
    if let Some((_, last)) = corners.last().copied() {
        corners.push((end, last));
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scale::timeline::tests::timeline;

    #[test]
    fn a_step_holds_its_value_until_the_next() {
        let points = vec![(0.0, 1.0), (2.0, 3.0)];
        let line = Line {
            name: "desired",
            colour: "red",
            points: &points,
            is_step: true,
        };
        let corners = [(0.0, 1.0), (2.0, 1.0), (2.0, 3.0), (5.0, 3.0)];
        assert_eq!(path(&line, 5.0), corners);
    }

    #[test]
    fn there_is_a_lane_for_what_was_seen() {
        let text = svg(&timeline());
        assert!(
            text.starts_with("<svg") && text.ends_with("</svg>\n"),
            "{text}"
        );
        assert_eq!(text.matches("<polyline").count(), 3);
        assert!(!text.contains("latency"), "{text}");
    }
}
