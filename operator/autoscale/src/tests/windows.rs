//! The extremes of a moving window.

use proptest::prelude::*;

use crate::{
    Function,
    window::{Extreme, Window},
};

use super::*;

#[test]
fn what_held_at_the_windows_edge_counts() {
    let start = Instant::now();
    let mut window = Window::new(Extreme::Highest, WINDOW, 0, start);
    window.record(7, start);
    let end = start + millis(10);
    window.record(3, end);
    assert_eq!(window.value(end + WINDOW - millis(1)), 7);
    assert_eq!(window.changes_at(end), Some(end + WINDOW));
    assert_eq!(window.value(end + WINDOW), 3);
    assert_eq!(window.changes_at(end + WINDOW), None);
}

#[test]
fn a_value_that_held_for_no_time_is_forgotten() {
    let start = Instant::now();
    let mut window = Window::new(Extreme::Highest, WINDOW, 0, start);
    window.record(7, start + millis(1));
    window.record(3, start + millis(1));
    assert_eq!(window.value(start + millis(2)), 3);
}

#[test]
fn a_falling_load_takes_little_room_however_often_it_is_told() {
    let start = Instant::now();
    let length = Duration::from_secs(3600);
    let mut window = Window::new(Extreme::Highest, length, 0, start);
    for step in 0..100_000_u32 {
        window.record(u64::from(200_000 - step), start + millis(36) * step);
    }
    assert!(window.steps() <= 258, "{} steps", window.steps());
    let now = start + millis(36) * 100_000;
    assert_eq!(window.value(now), 200_000);
}

#[test]
fn a_thousand_functions_are_decided_on_in_a_moment() {
    let functions = (0..1000)
        .map(|index| Function {
            in_flight: index % 7,
            min_replicas: 0,
            scale_down_window: Duration::from_secs(1 + index % 3600),
            ..function()
        })
        .collect();
    let mut scene = Scene::new(3, functions);
    let took = (0..50)
        .map(|_| {
            let begun = Instant::now();
            scene.decide();
            begun.elapsed()
        })
        .min();
    // Without optimisation, on a machine that does other things: a tenth of that is usual.
    assert!(took < Some(millis(20)), "{took:?}");
}

proptest! {
    /// Against a list of all that was recorded.
    #[test]
    fn agrees_with_a_plain_search(samples in proptest::collection::vec((0_u64..5_000, 0_u64..20), 1..200), lowest: bool) {
        let extreme = if lowest { Extreme::Lowest } else { Extreme::Highest };
        let mut now = Instant::now();
        let mut window = Window::new(extreme, WINDOW, 0, now);
        let mut all = vec![(now.checked_sub(WINDOW).unwrap_or(now), 0)];
        for (pause, value) in samples {
            now += millis(pause);
            window.record(value, now);
            all.push((now, value));
            let ends = all.iter().skip(1).map(|(at, _)| *at).chain([now + millis(1)]);
            let held = all.iter().zip(ends).filter(|((began, _), end)| *end > *began).map(|((_, value), end)| (*value, end));
            // What ended within a part of the window may last that much longer.
            let slack = WINDOW / 256;
            let (mut surely, mut maybe) = (value, value);
            for (value, end) in held {
                let further = |best: u64| if lowest { best.min(value) } else { best.max(value) };
                if end + WINDOW > now {
                    surely = further(surely);
                }
                if end + WINDOW + slack > now {
                    maybe = further(maybe);
                }
            }
            let found = window.value(now);
            let range = if lowest { maybe..=surely } else { surely..=maybe };
            prop_assert!(range.contains(&found), "{found} is not in {range:?}");
        }
    }
}
