//! What time changes.

use crate::{Cause, Function, LASTING};

use super::*;

#[test]
fn more_pods_come_for_what_has_lasted() {
    let mut scene = Scene::under_load(1, 50);
    scene.load(450);
    let decision = scene.act();
    assert_eq!(decision.replicas, 1);
    assert_eq!(decision.again_at, Some(scene.now + LASTING));
    scene.wait(LASTING - millis(1));
    assert_eq!(scene.act().replicas, 1);
    scene.wait(millis(1));
    let decision = scene.act();
    assert_eq!((decision.replicas, decision.cause), (5, Cause::Demand));
}

#[test]
fn the_lowest_of_the_last_moment_counts() {
    let mut scene = Scene::under_load(1, 50);
    for in_flight in [900, 450, 900] {
        scene.load(in_flight);
        scene.act();
        scene.wait(millis(125));
    }
    assert_eq!(scene.act().replicas, 5);
    scene.wait(millis(125));
    assert_eq!(scene.act().replicas, 9);
}

#[test]
fn from_zero_at_once() {
    let mut scene = Scene::new(0, vec![function()]);
    scene.inputs.functions[0].queued = 250;
    let decision = scene.act();
    assert_eq!((decision.replicas, decision.cause), (3, Cause::Demand));
    scene.inputs.functions[0].queued = 450;
    assert_eq!(scene.act().replicas, 3, "up from there what has lasted");
}

#[test]
fn pods_leave_down_to_the_highest_demand_of_the_window() {
    let mut scene = Scene::under_load(9, 900);
    scene.load(450);
    scene.decide();
    let first = scene.now;
    scene.wait(Duration::from_secs(20));
    scene.load(150);
    scene.decide();
    let second = scene.now;
    let decision = scene.act();
    assert_eq!(
        (decision.replicas, decision.cause),
        (9, Cause::RecentDemand)
    );
    assert_eq!(decision.again_at, Some(first + WINDOW));
    scene.wait(first + WINDOW - scene.now);
    let decision = scene.act();
    assert_eq!(
        (decision.replicas, decision.cause),
        (5, Cause::RecentDemand)
    );
    assert_eq!(decision.again_at, Some(second + WINDOW));
    scene.wait(second + WINDOW - scene.now);
    let decision = scene.act();
    assert_eq!((decision.replicas, decision.cause), (2, Cause::Demand));
}

#[test]
fn each_function_has_its_own_window() {
    let short = Function {
        scale_down_window: Duration::from_secs(10),
        ..function()
    };
    let mut scene = Scene::new(8, vec![short, function()]);
    for function in &mut scene.inputs.functions {
        function.in_flight = 400;
    }
    scene.wait(LONG);
    for function in &mut scene.inputs.functions {
        function.in_flight = 100;
    }
    assert_eq!(scene.act().replicas, 8);
    scene.wait(Duration::from_secs(10));
    assert_eq!(scene.act().replicas, 5);
    scene.wait(Duration::from_secs(50));
    assert_eq!(scene.act().replicas, 2);
}

#[test]
fn what_a_removed_function_asked_for_lasts_its_window() {
    let mut scene = Scene::new(
        6,
        vec![
            function(),
            Function {
                in_flight: 500,
                ..function()
            },
        ],
    );
    scene.wait(LONG);
    scene.inputs.functions.pop();
    scene.load(50);
    assert_eq!(scene.act().replicas, 5);
    scene.wait(WINDOW);
    assert_eq!(scene.act().replicas, 1);
}

#[test]
fn nothing_leaves_during_a_rollout() {
    let mut scene = Scene::under_load(5, 450);
    scene.inputs.rolling = true;
    scene.load(50);
    scene.wait(LONG);
    let decision = scene.act();
    assert_eq!((decision.replicas, decision.cause), (5, Cause::Rollout));
    scene.load(850);
    scene.decide();
    scene.wait(LASTING);
    assert_eq!(scene.act().replicas, 9, "more come all the same");
    scene.inputs.rolling = false;
    scene.load(50);
    scene.wait(LONG);
    assert_eq!(scene.act().replicas, 1);
}

#[test]
fn nothing_leaves_on_missing_data() {
    let mut scene = Scene::under_load(5, 450);
    scene.load(50);
    scene.inputs.known_since = None;
    scene.wait(LONG);
    let decision = scene.act();
    assert_eq!((decision.replicas, decision.cause), (5, Cause::MissingData));
    assert_eq!(
        decision.again_at,
        Some(scene.now + WINDOW),
        "the last pod's time"
    );
    scene.inputs.known_since = Some(scene.now);
    let known_at = scene.now + WINDOW;
    let decision = scene.act();
    assert_eq!((decision.replicas, decision.again_at), (5, Some(known_at)));
    scene.wait(WINDOW - millis(1));
    assert_eq!(scene.act().replicas, 5);
    scene.wait(millis(1));
    assert_eq!(scene.act().replicas, 1);
}

#[test]
fn a_new_operator_begins_with_what_runs() {
    let mut scene = Scene::new(5, vec![function()]);
    scene.history = History::default();
    scene.inputs.known_since = Some(scene.now);
    let decision = scene.act();
    assert_eq!((decision.replicas, decision.cause), (5, Cause::MissingData));
    assert_eq!(decision.again_at, Some(scene.now + WINDOW));
    scene.load(950);
    assert_eq!(scene.act().replicas, 5);
    scene.wait(LASTING);
    assert_eq!(scene.act().replicas, 10);
    scene.load(0);
    scene.wait(WINDOW - LASTING);
    assert_eq!(scene.act().replicas, 10, "its window is not over");
    scene.wait(LONG);
    assert_eq!(scene.act().replicas, 0);
}

#[test]
fn nobody_starts_a_pod_for_what_may_have_been() {
    let mut scene = Scene::new(0, vec![function()]);
    scene.history = History::default();
    scene.inputs.known_since = Some(scene.now);
    assert_eq!(scene.decide().replicas, 0);
}

#[test]
fn whoever_slept_waits_for_a_full_window() {
    let mut scene = Scene::under_load(5, 450);
    scene.load(50);
    scene.act();
    // Nobody looks meanwhile, as when the machine is suspended.
    scene.now += LONG;
    scene.inputs.functions[0].last_demand = Some(scene.now);
    let decision = scene.act();
    assert_eq!((decision.replicas, decision.cause), (5, Cause::MissingData));
    scene.wait(WINDOW);
    assert_eq!(scene.act().replicas, 1);
}

#[test]
fn a_sample_from_before_the_last_one_counts_as_now() {
    let mut scene = Scene::under_load(1, 50);
    scene.load(450);
    scene.act();
    scene
        .history
        .observe(&scene.inputs, scene.now - millis(200));
    scene.wait(LASTING);
    assert_eq!(scene.act().replicas, 5);
}

#[test]
fn without_room_for_pods_no_more_are_asked_for() {
    let mut scene = Scene::under_load(3, 250);
    scene.inputs.no_capacity = true;
    scene.load(850);
    scene.decide();
    scene.wait(LASTING);
    let decision = scene.act();
    assert_eq!(
        (decision.replicas, decision.cause, decision.lacking),
        (3, Cause::NoCapacity, 6)
    );
    scene.load(150);
    scene.wait(LONG);
    assert_eq!(scene.act().replicas, 2, "fewer all the same");
    scene.load(850);
    scene.decide();
    scene.wait(LASTING);
    scene.inputs.no_capacity = false;
    let decision = scene.act();
    assert_eq!((decision.replicas, decision.lacking), (9, 0));
}

#[test]
fn the_first_pod_is_asked_for_without_knowing_of_room() {
    let mut scene = Scene::new(
        0,
        vec![Function {
            queued: 1,
            ..function()
        }],
    );
    scene.inputs.no_capacity = true;
    assert_eq!(scene.decide().replicas, 1);
}
