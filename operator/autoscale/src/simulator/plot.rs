use std::fmt::Write as _;

use super::Point;

/// Width and height of the picture and of the margin around the curves, in pixels.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 50.0;

/// Draws load, desired and ready pods over time, as SVG.
#[must_use]
pub fn svg(title: &str, points: &[Point]) -> String {
    let seconds = points
        .last()
        .map_or(1.0, |last| last.at.as_secs_f64())
        .max(0.001);
    let requests = points
        .iter()
        .map(|point| as_f64(point.in_flight))
        .fold(1.0, f64::max);
    let pods = points
        .iter()
        .map(|point| f64::from(point.desired.max(point.ready).max(point.needed)))
        .fold(1.0, f64::max);
    let axes = Axes { seconds };
    let load = axes.curve(points, requests, |point| as_f64(point.in_flight));
    let desired = axes.curve(points, pods, |point| f64::from(point.desired));
    let ready = axes.curve(points, pods, |point| f64::from(point.ready));
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let (right, bottom) = (WIDTH - MARGIN, HEIGHT - MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"20\" font-size=\"14\">{title}</text>\n\
         <path d=\"M{MARGIN} {MARGIN}V{bottom}H{right}V{MARGIN}\" fill=\"none\" stroke=\"black\"/>\n"
    );
    let _ = writeln!(
        svg,
        "<path d=\"{load}V{bottom}H{MARGIN}Z\" fill=\"gainsboro\"/>"
    );
    for (curve, colour) in [(ready, "seagreen"), (desired, "crimson")] {
        let _ = writeln!(
            svg,
            "<path d=\"{curve}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
    }
    for (x, y, anchor, text) in [
        (
            MARGIN,
            MARGIN - 6.0,
            "start",
            format!("{requests} requests in flight (grey)"),
        ),
        (
            right,
            MARGIN - 6.0,
            "end",
            format!("{pods} pods: desired (red), ready (green)"),
        ),
        (MARGIN, bottom + 18.0, "middle", "0 s".to_owned()),
        (right, bottom + 18.0, "middle", format!("{seconds} s")),
    ] {
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }
    svg.push_str("</svg>\n");
    svg
}

struct Axes {
    seconds: f64,
}

impl Axes {
    /// A curve of steps: a point only where the value changes.
    fn curve(&self, points: &[Point], most: f64, value: impl Fn(&Point) -> f64) -> String {
        let x =
            |point: &Point| MARGIN + point.at.as_secs_f64() / self.seconds * (WIDTH - 2.0 * MARGIN);
        let y = |point: &Point| HEIGHT - MARGIN - value(point) / most * (HEIGHT - 2.0 * MARGIN);
        let Some((first, last)) = points.first().zip(points.last()) else {
            return String::new();
        };
        let mut path = format!("M{:.1} {:.1}", x(first), y(first));
        for pair in points.windows(2) {
            if value(&pair[0]) != value(&pair[1]) {
                let _ = write!(path, "H{:.1}V{:.1}", x(&pair[1]), y(&pair[1]));
            }
        }
        let _ = write!(path, "H{:.1}", x(last));
        path
    }
}

/// Exact up to 2^53 requests.
#[allow(clippy::cast_precision_loss, reason = "a picture shows no more")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
