//! The fewest pods that will do, whatever the load.

use crate::{Cause, Function};

use super::*;

#[test]
fn each_floor_holds() {
    let cases = [
        ("idle", function(), 0, Cause::Idle),
        (
            "fixed",
            Function {
                fixed: Some(3),
                ..function()
            },
            3,
            Cause::Fixed,
        ),
        (
            "fixed at zero",
            Function {
                fixed: Some(0),
                in_flight: 5,
                ..function()
            },
            0,
            Cause::Fixed,
        ),
        (
            "fixed above the bounds",
            Function {
                fixed: Some(30),
                ..function()
            },
            30,
            Cause::Fixed,
        ),
        (
            "least",
            Function {
                min_replicas: 2,
                ..function()
            },
            2,
            Cause::MinReplicas,
        ),
        (
            "loading",
            Function {
                loading: true,
                ..function()
            },
            1,
            Cause::Loading,
        ),
        (
            "still answering",
            Function {
                hands_over: true,
                ..function()
            },
            1,
            Cause::Handover,
        ),
        (
            "suspended",
            Function {
                suspended: true,
                fixed: Some(2),
                min_replicas: 2,
                in_flight: 1,
                loading: true,
                ..function()
            },
            0,
            Cause::Suspended,
        ),
    ];
    for (name, function, replicas, cause) in cases {
        let decision = Scene::new(1, vec![function]).decide();
        assert_eq!(
            (decision.replicas, decision.cause),
            (replicas, cause),
            "{name}"
        );
    }
}

#[test]
fn keep_warm_is_the_least_of_a_namespace() {
    let mut scene = Scene::new(
        1,
        vec![
            function(),
            Function {
                min_replicas: 2,
                ..function()
            },
        ],
    );
    scene.inputs.keep_warm = 1;
    assert_eq!(scene.decide().replicas, 2);
    scene.inputs.keep_warm = 5;
    let decision = scene.decide();
    assert_eq!((decision.replicas, decision.cause), (5, Cause::KeepWarm));
    for function in &mut scene.inputs.functions {
        function.suspended = true;
    }
    assert_eq!(scene.decide().replicas, 5);
}

#[test]
fn one_that_is_suspended_hands_nothing_over() {
    let moving = Function {
        hands_over: true,
        suspended: true,
        ..function()
    };
    let decision = Scene::new(3, vec![function(), moving]).decide();
    assert_eq!((decision.replicas, decision.cause), (0, Cause::Idle));
}

#[test]
fn many_that_load_need_one_pod() {
    let loading = Function {
        loading: true,
        ..function()
    };
    let decision = Scene::new(0, vec![loading; 100]).decide();
    assert_eq!((decision.replicas, decision.cause), (1, Cause::Loading));
}

#[test]
fn a_deployment_without_functions_stays_as_it_is_until_it_is_removed() {
    let mut scene = Scene::new(2, Vec::new());
    scene.inputs.keep_warm = 1;
    let decision = scene.decide();
    assert_eq!((decision.replicas, decision.cause), (2, Cause::NoFunctions));
}

#[test]
fn the_last_pod_is_kept_for_its_idle_time_and_the_others_for_the_window() {
    for (idle, window) in [(5, 60), (60, 5), (60, 60)] {
        let (idle, window) = (Duration::from_secs(idle), Duration::from_secs(window));
        let mut scene = Scene::new(
            1,
            vec![Function {
                idle,
                scale_down_window: window,
                ..function()
            }],
        );
        scene.load(10);
        scene.wait(millis(500));
        scene.load(0);
        let end = scene.now;
        scene.inputs.functions[0].last_demand = Some(end);
        let decision = scene.decide();
        assert_eq!(
            (decision.replicas, decision.cause),
            (1, Cause::RecentDemand)
        );
        scene.wait(idle - millis(1));
        let decision = scene.decide();
        assert_eq!(decision.replicas, 1, "{idle:?} {window:?}");
        assert_eq!(decision.again_at, Some(end + idle));
        scene.wait(millis(1));
        assert_eq!(scene.decide().replicas, 0, "{idle:?} {window:?}");
    }
}

#[test]
fn a_new_operator_waits_the_idle_time_before_it_lets_the_last_pod_go() {
    let idle = Duration::from_secs(5);
    let mut scene = Scene::new(1, vec![Function { idle, ..function() }]);
    scene.history = History::default();
    scene.inputs.known_since = Some(scene.now);
    let decision = scene.decide();
    assert_eq!(
        (decision.replicas, decision.cause),
        (1, Cause::RecentDemand)
    );
    assert_eq!(decision.again_at, Some(scene.now + idle));
    scene.wait(idle);
    assert_eq!(scene.decide().replicas, 0, "the window is the others'");
    scene.inputs.known_since = None;
    let decision = scene.decide();
    assert_eq!((decision.replicas, decision.cause), (1, Cause::MissingData));
}

#[test]
fn somebodys_word_counts_at_once() {
    let mut scene = Scene::under_load(5, 450);
    scene.inputs.rolling = true;
    scene.inputs.known_since = None;
    let function = scene.inputs.functions[0].clone();
    let mut decide = |function: Function, no_capacity| {
        scene.inputs.functions[0] = function;
        scene.inputs.no_capacity = no_capacity;
        scene.decide().replicas
    };
    assert_eq!(decide(function.clone(), false), 5);
    assert_eq!(
        decide(
            Function {
                fixed: Some(2),
                ..function.clone()
            },
            false
        ),
        2
    );
    assert_eq!(
        decide(
            Function {
                fixed: Some(9),
                ..function.clone()
            },
            true
        ),
        9
    );
    assert_eq!(
        decide(
            Function {
                max_replicas: 3,
                ..function.clone()
            },
            false
        ),
        3
    );
    assert_eq!(
        decide(
            Function {
                min_replicas: 7,
                ..function.clone()
            },
            false
        ),
        7
    );
    assert_eq!(
        decide(
            Function {
                suspended: true,
                ..function
            },
            false
        ),
        0
    );
}

#[test]
fn fewer_at_least_leave_at_once() {
    let mut scene = Scene::new(
        5,
        vec![Function {
            min_replicas: 5,
            ..function()
        }],
    );
    scene.load(250);
    scene.wait(LONG);
    assert_eq!(scene.act().replicas, 5);
    scene.inputs.functions[0].min_replicas = 1;
    let decision = scene.act();
    assert_eq!((decision.replicas, decision.cause), (3, Cause::Demand));
}

#[test]
fn more_than_the_most_is_told_so() {
    let mut scene = Scene::under_load(10, 2000);
    assert_eq!(scene.decide().cause, Cause::MaxReplicas);
    scene.load(950);
    scene.wait(LONG);
    assert_eq!(scene.decide().cause, Cause::Demand);
}
