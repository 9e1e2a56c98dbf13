//! Whole loads, replayed.

use crate::{
    Cause,
    simulator::{Load, Point, Settings, replay, svg},
};

use super::*;

/// What a change may take to show: the report, the rule, and one step of simulated time.
const SHOWS_AFTER: Duration = Duration::from_millis(100 + 250 + 10);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settings(pods: u32) -> Settings {
    Settings {
        max_replicas: 100,
        pods,
        ..Settings::default()
    }
}

fn changes(points: &[Point]) -> Vec<(Duration, u32)> {
    let changed = points
        .windows(2)
        .filter(|pair| pair[0].desired != pair[1].desired);
    changed.map(|pair| (pair[1].at, pair[1].desired)).collect()
}

#[test]
fn a_step_of_any_size_shows_at_once() {
    for (high, pods) in [(1200, 12), (1500, 15), (2500, 25), (10_000, 100)] {
        let load = Load::step(1000, high, seconds(5), seconds(20));
        let changes = changes(&replay(&load, &settings(10)));
        assert_eq!(changes.len(), 1, "{high}: {changes:?}");
        let (at, desired) = changes[0];
        assert_eq!(desired, pods);
        assert!(at <= seconds(5) + SHOWS_AFTER, "{high}: {at:?}");
    }
}

#[test]
fn the_first_pod_is_asked_for_within_a_step_of_time() {
    let load = Load::new(vec![(seconds(1), 1)], seconds(5));
    let points = replay(&load, &settings(0));
    assert_eq!(changes(&points), [(seconds(1), 1)]);
    let ready = points.iter().find(|point| point.ready == 1).unwrap();
    assert_eq!(ready.at, seconds(3), "a pod takes two seconds");
}

#[test]
fn a_ramp_is_never_far_behind() {
    let load = Load::ramp(2000, seconds(30));
    let points = replay(&load, &settings(0));
    let late = usize::try_from(SHOWS_AFTER.as_millis() / 10).unwrap();
    for (earlier, later) in points.iter().zip(&points[late..]) {
        assert!(later.desired >= earlier.needed, "{earlier:?} {later:?}");
    }
}

#[test]
fn everything_leaves_once_nobody_asks() {
    let load = Load::new(vec![(seconds(1), 950), (seconds(11), 0)], seconds(80));
    let points = replay(&load, &settings(0));
    let last = changes(&points).pop();
    assert_eq!(last, Some((seconds(71), 0)));
    assert_eq!(points.last().unwrap().cause, Cause::Idle);
    let least = points[200..7000].iter().map(|point| point.desired).min();
    assert_eq!(least, Some(10), "until the window is over");
}

#[test]
fn a_recorded_load_is_read_and_drawn() {
    let load = Load::from_csv("seconds,in_flight,p99\n0,100,1\n\n2.5, 350\n10,100\n").unwrap();
    assert_eq!(load.length(), seconds(10));
    for (at, in_flight) in [
        (0, 100),
        (2499, 100),
        (2500, 350),
        (9999, 350),
        (20_000, 100),
    ] {
        assert_eq!(load.at(millis(at)), in_flight, "{at}");
    }
    let points = replay(&load, &settings(1));
    assert_eq!(points.last().unwrap().desired, 4);
    let picture = svg("2 < 3 & so on", &points);
    assert!(picture.contains("2 &lt; 3 &amp; so on"), "{picture}");
    assert_eq!(
        picture.matches("<path").count(),
        4,
        "the axes and three curves"
    );
}

#[test]
fn a_line_that_is_no_load_is_named() {
    for (text, line) in [
        ("0,1\nx,2", 2),
        ("0,1\n1", 2),
        ("0,1\n5,1\n4,1", 3),
        ("-1,1", 1),
        ("seconds,in_flight\n0,-1", 2),
    ] {
        assert_eq!(Load::from_csv(text).unwrap_err().line, line, "{text}");
    }
}
