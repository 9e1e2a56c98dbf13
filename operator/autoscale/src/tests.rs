use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::{Cause, Function, Inputs, decide};

const IDLE: Duration = Duration::from_secs(60);

fn function() -> Function {
    Function {
        fixed: None,
        min_replicas: 0,
        max_replicas: 10,
        idle: IDLE,
        suspended: false,
        loading: false,
        demand: 0,
        last_demand: None,
    }
}

/// A deployment whose gateways have been known for long.
fn deployment(now: Instant, current: u32, functions: Vec<Function>) -> Inputs {
    Inputs {
        current,
        keep_warm: 0,
        functions,
        known_since: Some(now - 2 * IDLE),
    }
}

#[test]
fn each_floor_holds() {
    let now = Instant::now() + 10 * IDLE;
    let just = now - Duration::from_secs(1);
    let long_ago = now - 2 * IDLE;
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
                demand: 5,
                ..function()
            },
            0,
            Cause::Idle,
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
            "asked for",
            Function {
                demand: 1,
                ..function()
            },
            1,
            Cause::Demand,
        ),
        (
            "asked for just now",
            Function {
                last_demand: Some(just),
                ..function()
            },
            1,
            Cause::RecentDemand,
        ),
        (
            "asked for long ago",
            Function {
                last_demand: Some(long_ago),
                ..function()
            },
            0,
            Cause::Idle,
        ),
        (
            "suspended",
            Function {
                suspended: true,
                min_replicas: 2,
                demand: 1,
                loading: true,
                ..function()
            },
            0,
            Cause::Idle,
        ),
    ];
    for (name, function, replicas, cause) in cases {
        let decision = decide(&deployment(now, 1, vec![function]), now);
        assert_eq!(
            (decision.replicas, decision.cause),
            (replicas, cause),
            "{name}"
        );
    }
}

#[test]
fn the_highest_floor_of_a_namespace_counts() {
    let now = Instant::now() + 10 * IDLE;
    let mut inputs = deployment(
        now,
        1,
        vec![
            function(),
            Function {
                min_replicas: 4,
                ..function()
            },
            Function {
                demand: 9,
                ..function()
            },
        ],
    );
    inputs.keep_warm = 2;
    assert_eq!(decide(&inputs, now).replicas, 4);
    inputs.keep_warm = 5;
    assert_eq!(decide(&inputs, now).cause, Cause::KeepWarm);
}

#[test]
fn a_deployment_without_functions_stays_as_it_is_until_it_is_removed() {
    let now = Instant::now() + 10 * IDLE;
    let mut inputs = deployment(now, 2, Vec::new());
    inputs.keep_warm = 1;
    let decision = decide(&inputs, now);
    assert_eq!((decision.replicas, decision.cause), (2, Cause::NoFunctions));
}

#[test]
fn the_last_pod_leaves_when_the_idle_time_is_over() {
    let now = Instant::now() + 10 * IDLE;
    let last = now - Duration::from_secs(20);
    let inputs = deployment(
        now,
        1,
        vec![Function {
            last_demand: Some(last),
            ..function()
        }],
    );
    let decision = decide(&inputs, now);
    assert_eq!(decision.again_at, Some(last + IDLE));
    assert_eq!(decide(&inputs, last + IDLE).replicas, 0);
}

#[test]
fn a_new_operator_waits_the_idle_time_before_it_lets_the_last_pod_go() {
    let now = Instant::now() + 10 * IDLE;
    let mut inputs = deployment(now, 1, vec![function()]);
    inputs.known_since = Some(now);
    let decision = decide(&inputs, now);
    assert_eq!(
        (decision.replicas, decision.cause),
        (1, Cause::RecentDemand)
    );
    assert_eq!(decision.again_at, Some(now + IDLE));
    inputs.current = 0;
    assert_eq!(
        decide(&inputs, now).replicas,
        0,
        "what is not there stays so"
    );
}

#[test]
fn unknown_gateways_hold_what_runs() {
    let now = Instant::now();
    let mut inputs = deployment(now, 3, vec![function()]);
    inputs.known_since = None;
    let decision = decide(&inputs, now);
    assert_eq!((decision.replicas, decision.cause), (3, Cause::MissingData));
    inputs.functions[0].fixed = Some(1);
    assert_eq!(
        decide(&inputs, now).replicas,
        1,
        "a fixed count needs no data"
    );
}

fn any_function() -> impl Strategy<Value = Function> {
    (
        proptest::option::of(0_u32..20),
        0_u32..5,
        any::<(bool, bool)>(),
        0_u64..3,
    )
        .prop_map(
            |(fixed, min_replicas, (suspended, loading), demand)| Function {
                fixed,
                min_replicas,
                suspended,
                loading,
                demand,
                ..function()
            },
        )
}

proptest! {
    #[test]
    fn never_drops_on_missing_data(functions in proptest::collection::vec(any_function(), 1..8), current in 0_u32..30, keep_warm in 0_u32..4) {
        let functions: Vec<Function> = functions.into_iter().map(|function| Function { fixed: None, ..function }).collect();
        let inputs = Inputs { current, keep_warm, functions, known_since: None };
        prop_assert!(decide(&inputs, Instant::now()).replicas >= current);
    }

    #[test]
    fn more_demand_never_means_fewer_pods(functions in proptest::collection::vec(any_function(), 1..8), more in 1_u64..100) {
        let now = Instant::now() + 10 * IDLE;
        let less = deployment(now, 0, functions);
        let mut greater = less.clone();
        for function in &mut greater.functions {
            function.demand += more;
        }
        prop_assert!(decide(&greater, now).replicas >= decide(&less, now).replicas);
    }

    #[test]
    fn stays_where_it_decided_to_be(functions in proptest::collection::vec(any_function(), 0..8), current in 0_u32..30) {
        let now = Instant::now() + 10 * IDLE;
        let mut inputs = deployment(now, current, functions);
        let first = decide(&inputs, now).replicas;
        inputs.current = first;
        prop_assert_eq!(decide(&inputs, now).replicas, first);
    }

    #[test]
    fn whoever_is_asked_for_has_a_pod(function in any_function()) {
        let now = Instant::now();
        let asked = Function { demand: 1, fixed: None, suspended: false, ..function };
        prop_assert!(decide(&deployment(now, 0, vec![asked]), now).replicas >= 1);
    }
}
