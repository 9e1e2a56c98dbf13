//! Instances that serve one request after another, where the function asks for it.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::{num::NonZeroUsize, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};
use support::{
    Plan, World,
    callee::Callee,
    client::{self, Answer},
    guests,
};

/// One thread, so that all requests meet the same instances.
async fn world_with(plan: Plan) -> World {
    let plan = Plan {
        threads: NonZeroUsize::MIN,
        ..plan
    };
    let world = World::with(plan, Arc::default()).await;
    world
        .registry
        .push("r/repeated:1", guests::bytes("repeated"));
    world
}

async fn world(reuse: &Value) -> World {
    let mut world = world_with(Plan::default()).await;
    world.serve("hello", spec(reuse)).await;
    world
}

fn spec(reuse: &Value) -> Value {
    json!({"image": "r/repeated:1", "reuse": reuse})
}

/// Asks and waits until the guest has returned: its answer may be there before.
async fn ask(world: &World, function: &str, path: &str) -> Answer {
    let answer = world.get(function, path).await;
    world.until(function, |report| report.in_flight == 0).await;
    answer
}

async fn post(world: &World, path: &str) -> Answer {
    let request = client::request("hello", path)
        .method("POST")
        .body(Full::new(Bytes::from("body")))
        .unwrap();
    let answer = client::read(client::send(world.address, request).await).await;
    world.until("hello", |report| report.in_flight == 0).await;
    answer
}

/// How many requests the instance that answers has served, with this one.
async fn count(world: &World, function: &str) -> u32 {
    let answer = ask(world, function, "/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text.parse().unwrap()
}

fn is_error(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("wasmfn-reason"), reason, "{answer:?}");
}

fn is_given_up(world: &World) -> bool {
    world.report("hello").unwrap().serving.unwrap().not_reused
}

/// Whether the metrics hold this line about instances or requests.
fn has_counted(world: &World, line: &str) -> bool {
    let holdings = world.runtime.picture().holdings();
    world
        .runtime
        .metrics()
        .text(holdings)
        .unwrap()
        .contains(line)
}

fn discarded(world: &World, cause: &str) -> bool {
    let line =
        format!("wasmfn_runtime_discarded_instances_total{{function=\"hello\",cause=\"{cause}\"}}");
    has_counted(world, &line)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_sees_the_state_only_where_that_is_asked_for() {
    let mut world = world(&json!({})).await;
    for expected in 1..=5 {
        assert_eq!(count(&world, "hello").await, expected);
    }
    for line in [
        "wasmfn_runtime_made_instances_total{function=\"hello\"} 1",
        "wasmfn_runtime_reused_requests_total{function=\"hello\"} 4",
    ] {
        assert!(has_counted(&world, line), "{line}");
    }
    world.serve("fresh", json!({"image": "r/repeated:1"})).await;
    for _ in 0..3 {
        assert_eq!(count(&world, "fresh").await, 1);
    }
}

/// The connection lets a body go once it has as much of it as was announced, and asks for no end.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_says_how_long_it_is_is_as_whole_as_others() {
    let world = world(&json!({})).await;
    for expected in 1..=5 {
        let answer = ask(&world, "hello", "/announced").await;
        assert_eq!(answer.text, expected.to_string());
    }
    // Its body is for nobody.
    let request = client::request("hello", "/")
        .method("HEAD")
        .body(Full::<Bytes>::default());
    client::read(client::send(world.address, request.unwrap()).await).await;
    world.until("hello", |report| report.in_flight == 0).await;
    for line in [
        "wasmfn_runtime_made_instances_total{function=\"hello\"} 1",
        "wasmfn_runtime_requests_total{function=\"hello\",outcome=\"Answered\"} 6",
    ] {
        assert!(has_counted(&world, line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_never_share_an_instance() {
    let mut world = world(&json!({})).await;
    world.serve("other", spec(&json!({}))).await;
    for expected in 1..=3 {
        assert_eq!(count(&world, "hello").await, expected);
        assert_eq!(count(&world, "other").await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_instance_serves_more_requests_than_it_may() {
    let world = world(&json!({"maxRequests": 4})).await;
    let mut begun = 0;
    for _ in 0..20 {
        let served = count(&world, "hello").await;
        assert!(served <= 4, "{served}");
        begun += u32::from(served == 1);
    }
    // Each serves three or four.
    assert!((5..=7).contains(&begun), "{begun}");
    assert!(discarded(&world, "Quota"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_nobody_asks_leaves_and_gives_back_what_it_holds() {
    let world = world(&json!({"idleSeconds": 1})).await;
    assert_eq!(count(&world, "hello").await, 1);
    assert!(world.report("hello").unwrap().memory_bytes > 0);
    world
        .until("hello", |report| report.memory_bytes == 0)
        .await;
    assert!(discarded(&world, "Idle"));
    assert_eq!(count(&world, "hello").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_ends_its_instance_and_no_other_request() {
    let mut spec = spec(&json!({}));
    spec["limits"] = json!({"cpuMillisecondsPerRequest": 300});
    let mut world = world_with(Plan::default()).await;
    world.serve("hello", spec).await;
    for (path, reason) in [("/trap", "Trapped"), ("/spin", "OutOfCpu")] {
        assert_eq!(count(&world, "hello").await, 1, "{path}");
        assert_eq!(count(&world, "hello").await, 2, "{path}");
        is_error(&ask(&world, "hello", path).await, 500, reason);
    }
    assert_eq!(count(&world, "hello").await, 1);
    assert!(discarded(&world, "Failed"));
    assert!(!is_given_up(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_the_instance_along() {
    let world = world(&json!({})).await;
    assert_eq!(count(&world, "hello").await, 1);
    let request = client::request("hello", "/wait?seconds=25")
        .body(Full::<Bytes>::default())
        .unwrap();
    let address = world.address;
    let asking = tokio::spawn(async move { client::send(address, request).await });
    world.until("hello", |report| report.in_flight == 1).await;
    asking.abort();
    world.until("hello", |report| report.in_flight == 0).await;
    assert_eq!(count(&world, "hello").await, 1);
    assert!(discarded(&world, "Failed"));
    assert!(!is_given_up(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_its_own_cpu_time() {
    let limits = json!({"cpuMillisecondsPerRequest": 400});
    let mut world = world_with(Plan::default()).await;
    let fresh = json!({"image": "r/repeated:1", "limits": limits});
    world.serve("fresh", fresh).await;
    let burn = |rounds: u64| format!("/burn?rounds={rounds}");
    // As much as no request may.
    let mut rounds = 1 << 20;
    while ask(&world, "fresh", &burn(rounds)).await.status == 200 {
        rounds *= 2;
    }
    let mut reused = spec(&json!({}));
    reused["limits"] = limits;
    world.serve("hello", reused).await;
    // Together twice as much.
    for served in 1..=16 {
        let answer = ask(&world, "hello", &burn(rounds / 8)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.text, served.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_its_own_calls() {
    let callee = Callee::start().await;
    let mut world = world_with(Plan::default()).await;
    world.registry.push("r/hostile:1", guests::bytes("hostile"));
    let outbound = json!({"hosts": ["127.0.0.0/8"]});
    let limits = json!({"timeoutSeconds": 300});
    let spec = json!({
        "image": "r/hostile:1", "reuse": {}, "outbound": outbound, "limits": limits,
    });
    world.serve("hello", spec).await;
    let path = format!("/calls?count=600&authority={}", callee.address);
    // Together more than one request may.
    for _ in 0..2 {
        assert_eq!(ask(&world, "hello", &path).await.text, "600 200");
    }
    assert_eq!(callee.requests(), 1200);
    let line = "wasmfn_runtime_reused_requests_total{function=\"hello\"} 1";
    assert!(has_counted(&world, line));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_has_called_out_is_not_run_twice() {
    let callee = Callee::start().await;
    let mut world = world_with(Plan::default()).await;
    let mut spec = spec(&json!({}));
    spec["outbound"] = json!({"hosts": ["127.0.0.0/8"]});
    world.serve("hello", spec).await;
    let path = format!("/call-once?authority={}", callee.address);
    assert_eq!(ask(&world, "hello", &path).await.text, "1");
    is_error(&ask(&world, "hello", &path).await, 500, "Trapped");
    assert_eq!(callee.requests(), 2);
    assert!(is_given_up(&world));
    assert_eq!(ask(&world, "hello", &path).await.text, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_never_meets_an_instance_of_another() {
    let mut world = world(&json!({})).await;
    assert_eq!(count(&world, "hello").await, 1);
    assert_eq!(count(&world, "hello").await, 2);
    let mut changed = spec(&json!({}));
    changed["env"] = json!([{"name": "A", "value": "b"}]);
    world.serve("hello", changed.clone()).await;
    assert_eq!(count(&world, "hello").await, 1);
    changed["suspend"] = json!(true);
    world.apply("hello", changed);
    world
        .until("hello", |report| report.memory_bytes == 0)
        .await;
    assert!(discarded(&world, "Replaced"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_function_that_is_deleted_nothing_stays() {
    let mut world = world(&json!({"idleSeconds": 3600})).await;
    assert_eq!(count(&world, "hello").await, 1);
    let mut changes = world.runtime.picture().changes().follow();
    world.delete("hello");
    while has_counted(&world, "function=\"hello\"") {
        changes.changed().await.unwrap();
    }
    assert!(world.report("hello").is_none());
    world.serve("hello", spec(&json!({}))).await;
    assert_eq!(count(&world, "hello").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_cannot_serve_twice_is_given_up_and_no_client_notices() {
    for path in ["/once", "/silent-once", "/error-once", "/leak?count=750"] {
        let world = world(&json!({})).await;
        for _ in 0..6 {
            let answer = ask(&world, "hello", path).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        assert!(is_given_up(&world), "{path}");
        for _ in 0..3 {
            assert_eq!(count(&world, "hello").await, 1, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_read_is_not_run_twice() {
    let world = world(&json!({})).await;
    assert_eq!(post(&world, "/once-read").await.text, "1");
    is_error(&post(&world, "/once-read").await, 500, "Trapped");
    assert!(is_given_up(&world));
    for _ in 0..3 {
        assert_eq!(post(&world, "/once-read").await.text, "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_has_begun_is_not_run_twice() {
    let world = world(&json!({})).await;
    assert_eq!(ask(&world, "hello", "/begun-once").await.text, "1");
    is_error(&ask(&world, "hello", "/begun-once").await, 500, "Trapped");
    assert!(is_given_up(&world));
    assert_eq!(ask(&world, "hello", "/begun-once").await.text, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_on_to_a_request_or_its_answer_is_not_kept() {
    let world = world(&json!({})).await;
    assert_eq!(ask(&world, "hello", "/hold").await.status, 200);
    assert_eq!(count(&world, "hello").await, 1);
    assert_eq!(post(&world, "/hold-request").await.text, "2");
    assert_eq!(count(&world, "hello").await, 1);
    assert!(discarded(&world, "Held"));
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_wait_make_room_for_requests() {
    let mut world = world_with(Plan {
        memory_budget_bytes: 256 << 20,
        ..Plan::default()
    })
    .await;
    let mut spec = spec(&json!({}));
    spec["limits"] = json!({"memoryPerRequest": "200Mi"});
    world.serve("hello", spec.clone()).await;
    world.serve("other", spec).await;
    for function in ["hello", "other", "hello"] {
        let answer = ask(&world, function, "/grow?mebibytes=150").await;
        assert_eq!(answer.status, 200, "{function}: {answer:?}");
        assert_eq!(answer.text, "1", "{function}");
    }
    assert!(discarded(&world, "Room"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_waits_gives_its_slot_to_a_request() {
    let mut world = world_with(Plan {
        slots: 3,
        ..Plan::default()
    })
    .await;
    world.serve("hello", spec(&json!({}))).await;
    world.serve("other", json!({"image": "r/repeated:1"})).await;
    assert_eq!(count(&world, "hello").await, 1);
    let request = client::request("other", "/wait?seconds=300");
    let request = request.body(Full::default()).unwrap();
    let first = tokio::spawn(client::send(world.address, request));
    world.until("other", |report| report.in_flight == 1).await;
    // Beside the instance that waits one slot is left, which is for functions that have none.
    assert_eq!(world.get("other", "/").await.status, 200);
    assert!(discarded(&world, "Room"));
    assert_eq!(count(&world, "hello").await, 1);
    first.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_requests_at_a_time_in_one_instance_are_refused() {
    let mut world = world_with(Plan::default()).await;
    world.apply("hello", spec(&json!({"maxConcurrent": 2})));
    world.record("hello").await;
    let (reason, message) = world.failed("hello").await;
    assert_eq!(reason, "InvalidSpec");
    assert!(message.contains("`spec.reuse.maxConcurrent`"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_reused_too() {
    let mut world = world_with(Plan::default()).await;
    world.registry.push("r/service:1", guests::service());
    let spec = json!({"image": "r/service:1", "reuse": {}});
    world.serve("hello", spec).await;
    for expected in ["1", "2", "3"] {
        assert_eq!(ask(&world, "hello", "/count").await.text, expected);
    }
    assert_eq!(post(&world, "/echo").await.text, "body");
    assert_eq!(ask(&world, "hello", "/count").await.text, "4");
    is_error(&ask(&world, "hello", "/trap").await, 500, "Trapped");
    assert_eq!(ask(&world, "hello", "/count").await.text, "1");
}
