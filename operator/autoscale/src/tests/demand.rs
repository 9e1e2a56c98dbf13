//! What a function asks for, by what is short.

use crate::{Demand, Function, MICRO_PODS, PodLoad, Usage};

use super::*;

const POD: PodLoad = PodLoad {
    cores: 2,
    memory_budget_bytes: 1000,
    guests_memory_bytes: 400,
    full: false,
};

fn usage(pods: &[(PodLoad, u32, u64)]) -> Usage {
    let mut usage = Usage::default();
    for (pod, guests_runnable, memory_bytes) in pods {
        usage.add(pod, *guests_runnable, *memory_bytes);
    }
    usage
}

#[test]
fn the_shortest_resource_decides() {
    let full = PodLoad { full: true, ..POD };
    let unknown = PodLoad::default();
    let cases = [
        ("nothing", 0, 0, usage(&[]), 0),
        ("in flight", 250, 0, usage(&[]), 2_500_000),
        ("in flight and waiting", 50, 25, usage(&[]), 750_000),
        (
            "CPU: two a core is a whole pod",
            1,
            0,
            usage(&[(POD, 4, 0)]),
            1_000_000,
        ),
        (
            "CPU, over pods of different size",
            1,
            0,
            usage(&[(POD, 4, 0), (PodLoad { cores: 1, ..POD }, 4, 0)]),
            3_000_000,
        ),
        ("memory of its own", 1, 0, usage(&[(POD, 0, 300)]), 300_000),
        (
            "memory, over pods",
            1,
            0,
            usage(&[(POD, 0, 300), (POD, 0, 900)]),
            1_200_000,
        ),
        (
            "a full pod is used up by whose memory it is",
            1,
            0,
            usage(&[(full, 0, 100)]),
            250_000,
        ),
        (
            "what waits for a full pod needs as much each",
            4,
            6,
            usage(&[(full, 0, 400)]),
            2_500_000,
        ),
        (
            "requests that wait while a full pod is another's",
            0,
            50,
            usage(&[(full, 0, 0)]),
            500_000,
        ),
        (
            "a pod that says nothing",
            1,
            0,
            usage(&[(unknown, 9, 9)]),
            10_000,
        ),
    ];
    for (name, in_flight, queued, usage, micro_pods) in cases {
        let function = Function {
            in_flight,
            queued,
            usage,
            ..function()
        };
        assert_eq!(Demand::of(&function).largest(), micro_pods, "{name}");
    }
}

#[test]
fn shares_are_summed_before_they_are_rounded_up() {
    let asking = |in_flight, target_concurrency| Function {
        in_flight,
        target_concurrency,
        ..function()
    };
    let cases = [
        (vec![asking(1, 3), asking(1, 3), asking(1, 3)], 1),
        (vec![asking(60, 100), asking(60, 100)], 2),
        ((0..1000).map(|_| asking(1, 1000)).collect(), 1),
        ((0..1001).map(|_| asking(1, 1000)).collect(), 2),
        (
            vec![
                Function {
                    max_replicas: 2,
                    ..asking(1000, 100)
                },
                asking(50, 100),
            ],
            3,
        ),
        (
            vec![
                Function {
                    min_replicas: 2,
                    ..function()
                },
                asking(50, 100),
            ],
            3,
        ),
        (
            vec![Function {
                min_replicas: 2,
                ..asking(250, 100)
            }],
            3,
        ),
    ];
    for (functions, replicas) in cases {
        assert_eq!(
            Scene::new(0, functions.clone()).decide().replicas,
            replicas,
            "{functions:?}"
        );
    }
}

#[test]
fn numbers_without_bounds_do_no_harm() {
    let mut usage = Usage::default();
    let tiny = PodLoad {
        cores: 1,
        memory_budget_bytes: 1,
        guests_memory_bytes: 1,
        full: true,
    };
    for _ in 0..3 {
        usage.add(&tiny, u32::MAX, u64::MAX);
        usage.add(
            &PodLoad {
                full: false,
                ..tiny
            },
            u32::MAX,
            u64::MAX,
        );
    }
    let huge = Function {
        in_flight: u64::MAX,
        queued: u64::MAX,
        usage,
        target_concurrency: 0,
        max_replicas: 1000,
        ..function()
    };
    assert_eq!(Scene::new(0, vec![huge; 3]).decide().replicas, 3000);
    assert_eq!(MICRO_PODS, 1_000_000);
}
