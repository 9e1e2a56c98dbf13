//! WASI 0.3 services that never answer, never end, or keep all that they open.

use futures::future::join_all;
use serde_json::json;
use wasmfn_report::RuntimeLine;

use super::{
    cases::{Arena, HOSTILE, NEIGHBOUR, is_refused},
    support::{client::Answer, guests},
};

/// Requests of a case at the same time.
const AT_ONCE: usize = 4;
/// How often that is tried where it may be interrupted.
const ROUNDS: usize = 20;
/// Requests after which instances are shared.
const UNTIL_TRUSTED: usize = 17;

async fn arena() -> Arena {
    let mut arena = Arena::new().await;
    let limits = json!({
        "cpuMillisecondsPerRequest": 1000, "timeoutSeconds": 5, "memoryPerRequest": "16Mi",
    });
    arena.module("service", guests::service(), limits).await;
    arena
}

/// What comes of a few requests at the same time, while a neighbour is asked as well.
async fn beside_a_neighbour(arena: &Arena, path: &str) -> Vec<Option<Answer>> {
    let harm = join_all((0..AT_ONCE).map(|_| arena.get_cut(path)));
    let (answers, neighbour) = tokio::join!(harm, arena.world.get(NEIGHBOUR, "/"));
    assert_eq!(neighbour.status, 200, "{path}: {neighbour:?}");
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_never_answers_or_opens_without_end_is_ended() {
    let arena = arena().await;
    let before = arena.at_rest().await;
    let cases = [
        ("/no-answer", 504, "Timeout"),
        ("/endless-tasks", 500, "TooManyHandles"),
        ("/endless-spawns", 500, "OutOfMemory"),
        ("/endless-streams", 500, "TooManyHandles"),
        ("/endless-futures", 500, "TooManyHandles"),
    ];
    for (path, status, reason) in cases {
        for answer in beside_a_neighbour(&arena, path).await {
            is_refused(path, &answer.unwrap(), status, reason);
        }
        arena.is_well(path, before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_drops_its_body_midway_is_never_taken_for_whole() {
    let arena = arena().await;
    let before = arena.at_rest().await;
    for path in ["/half-a-length", "/half-and-error"] {
        // One that is interrupted after its head is cut.
        let mut is_one_refused = false;
        for _ in 0..ROUNDS {
            for answer in beside_a_neighbour(&arena, path).await {
                let answer = answer.unwrap();
                if !answer.is_broken {
                    is_refused(path, &answer, 500, "InvalidResponse");
                    is_one_refused = true;
                }
            }
            if is_one_refused {
                break;
            }
        }
        assert!(is_one_refused, "{path}");
        arena.is_well(path, before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_goes_on_after_its_answer_ends_within_its_limits() {
    let arena = arena().await;
    let before = arena.at_rest().await;
    for path in ["/works-on", "/spins-on"] {
        for answer in beside_a_neighbour(&arena, path).await {
            let answer = answer.unwrap();
            assert_eq!(
                (answer.text.as_str(), answer.is_broken),
                ("answered", false),
                "{path}: {answer:?}"
            );
        }
        arena.is_well(path, before).await;
    }
}

/// Whether the pod keeps requests of all functions away.
fn calls_itself_full(arena: &Arena) -> bool {
    let lines = arena.world.runtime.picture().lines();
    lines
        .iter()
        .any(|(_, line)| matches!(line, RuntimeLine::Pod(state) if state.full))
}

#[tokio::test(flavor = "multi_thread")]
async fn harm_in_a_shared_instance_leaves_nothing_behind() {
    let mut arena = Arena::new().await;
    arena.world.registry.push("r/service:1", guests::service());
    let spec = json!({
        "image": "r/service:1",
        "limits": {
            "cpuMillisecondsPerRequest": 1000, "timeoutSeconds": 5, "memoryPerRequest": "16Mi",
        },
        "reuse": {"maxConcurrent": AT_ONCE, "idleSeconds": 1},
    });
    arena.world.serve(HOSTILE, spec).await;
    let before = arena.at_rest().await;
    let cases = [
        "/no-answer",
        "/endless-tasks",
        "/endless-spawns",
        "/endless-streams",
        "/half-a-length",
        "/spin",
        "/works-on",
        "/spins-on",
    ];
    for path in cases {
        // Until instances are shared, and in each case again: harm ends those that there are.
        for _ in 0..UNTIL_TRUSTED {
            assert_eq!(arena.get("/count").await.status, 200, "{path}");
        }
        let harm = beside_a_neighbour(&arena, path);
        let others = join_all((0..AT_ONCE).map(|_| arena.get_cut("/count")));
        let (_, others) = tokio::join!(harm, others);
        for other in others.into_iter().flatten() {
            // It was there already, or had not begun.
            let word = [
                other.header("wasmfn-reason"),
                other.header("wasmfn-refused"),
            ]
            .concat();
            assert!(other.status == 200 || !word.is_empty(), "{path}: {other:?}");
        }
        arena.world.is_idle(HOSTILE).await;
        arena.is_well(path, before).await;
        assert!(!calls_itself_full(&arena), "{path}");
    }
}
