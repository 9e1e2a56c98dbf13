//! Instances that serve several requests at the same time, where the function asks for it.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::{convert::Infallible, num::NonZeroUsize, sync::Arc};

use bytes::Bytes;
use futures::{future::join_all, stream};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use serde_json::{Value, json};
use support::{
    Plan, World,
    client::{self, Answer, Held},
    guests,
};

/// Requests that a guest serves one after another before others join them, and the first one.
const UNTIL_TRUSTED: u32 = 17;
/// Longer than it takes for requests that are sent at the same time to be there.
const A_WHILE: &str = "/stay?milliseconds=300";

fn spec(reuse: &Value, limits: &Value) -> Value {
    json!({"image": "r/service:1", "reuse": reuse, "limits": limits})
}

/// One thread, so that all requests meet the same instances; and a function whose guest is trusted.
async fn world(reuse: Value, limits: Value) -> World {
    let plan = Plan {
        threads: NonZeroUsize::MIN,
        ..Plan::default()
    };
    let mut world = World::with(plan, Arc::default()).await;
    world.registry.push("r/service:1", guests::service());
    world.serve("hello", spec(&reuse, &limits)).await;
    for served in 1..=UNTIL_TRUSTED {
        assert_eq!(ask(&world, "/count").await.text, served.to_string());
    }
    world
}

/// Asks and waits until the guest has returned.
async fn ask(world: &World, path: &str) -> Answer {
    let answer = world.get("hello", path).await;
    world.until("hello", |report| report.in_flight == 0).await;
    answer
}

/// Asks so many times at once.
async fn ask_at_once(world: &World, path: &str, times: usize) -> Vec<Answer> {
    join_all((0..times).map(|_| world.get("hello", path))).await
}

/// Waits until so many are there.
async fn are_there(world: &World, requests: u32) {
    world
        .until("hello", |report| report.in_flight == requests)
        .await;
}

fn is_error(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("wasmfn-reason"), reason, "{answer:?}");
}

/// What a path does ends the one that asks and another that is there, and nobody who comes later.
async fn ends_all(world: &World, path: &str, reason: &str) {
    let (waits, ends) = tokio::join!(world.get("hello", "/stay?milliseconds=15000"), async {
        are_there(world, 1).await;
        world.get("hello", path).await
    });
    is_error(&ends, 500, reason);
    is_error(&waits, 500, reason);
    assert_eq!(ask(world, "/count").await.text, "1");
}

fn has_counted(world: &World, line: &str) -> bool {
    let holdings = world.runtime.picture().holdings();
    let text = world.runtime.metrics().text(holdings).unwrap();
    text.contains(line)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_meet_in_one_instance() {
    let world = world(json!({"maxConcurrent": 8}), json!({})).await;
    for answer in ask_at_once(&world, "/meet?of=8", 8).await {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.text, "met");
    }
    // It is the same one that served all before, and serves on.
    assert_eq!(ask(&world, "/count").await.text, "18");
    let line = "wasmfn_runtime_reused_requests_total{function=\"hello\"} 25";
    assert!(has_counted(&world, line));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_may_are_in_one_at_the_same_time() {
    let world = world(json!({"maxConcurrent": 3}), json!({})).await;
    let answers = ask_at_once(&world, A_WHILE, 7).await;
    let present = answers
        .iter()
        .map(|answer| answer.text.parse::<u32>().unwrap());
    assert_eq!(present.max(), Some(3), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_instance_serves_more_requests_than_it_may() {
    let reuse = json!({"maxConcurrent": 8, "maxRequests": 24});
    let world = world(reuse, json!({})).await;
    // Its own number lies between 18 and 24: not all of these find room in it.
    for answer in ask_at_once(&world, A_WHILE, 8).await {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_ne!(answer.text, "8");
    }
    world.until("hello", |report| report.in_flight == 0).await;
    let line = "wasmfn_runtime_discarded_instances_total{function=\"hello\",cause=\"Quota\"}";
    assert!(has_counted(&world, line));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_ends_all_who_are_there_and_nobody_who_comes_later() {
    let world = world(json!({"maxConcurrent": 8}), json!({})).await;
    ends_all(&world, "/trap", "Trapped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_guest_is_that_of_one_request() {
    let world = world(json!({"maxConcurrent": 8}), json!({})).await;
    let waits = Held::start(world.address, "hello");
    are_there(&world, 1).await;
    let fails = world.get("hello", "/error").await;
    is_error(&fails, 500, "Trapped");
    assert_eq!(waits.end().await.text, "end");
    are_there(&world, 0).await;
    assert_eq!(ask(&world, "/count").await.text, "18");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_computes_for_ever_ends_with_all_who_are_there() {
    let limits = json!({"cpuMillisecondsPerRequest": 100, "timeoutSeconds": 20});
    let world = world(json!({"maxConcurrent": 8}), limits).await;
    ends_all(&world, "/spin", "OutOfCpu").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_that_of_all() {
    let world = world(
        json!({"maxConcurrent": 8}),
        json!({"memoryPerRequest": "16Mi"}),
    )
    .await;
    ends_all(&world, "/grow", "OutOfMemory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_its_own_time() {
    let world = world(json!({"maxConcurrent": 8}), json!({"timeoutSeconds": 10})).await;
    let (late, in_time) = tokio::join!(world.get("hello", "/stay?milliseconds=40000"), async {
        are_there(&world, 1).await;
        // So long before the other's, its time is not up.
        let between = world.get("hello", "/stay?milliseconds=5000").await;
        assert_eq!(between.text, "2");
        Held::start(world.address, "hello")
    });
    is_error(&late, 504, "Timeout");
    let in_time = in_time.end().await;
    assert_eq!(in_time.status, 200, "{in_time:?}");
    assert_eq!(in_time.text, "end");
    are_there(&world, 0).await;
    // What is left of the late one is not met by others.
    assert_eq!(ask(&world, "/count").await.text, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_the_others_alone() {
    let world = world(json!({"maxConcurrent": 8}), json!({})).await;
    let request = client::request("hello", "/slow").body(Full::<Bytes>::default());
    let address = world.address;
    let asking = tokio::spawn(async move { client::send(address, request.unwrap()).await });
    are_there(&world, 1).await;
    let stays = Held::start(address, "hello");
    are_there(&world, 2).await;
    asking.abort();
    are_there(&world, 1).await;
    let stays = stays.end().await;
    assert_eq!(stays.status, 200, "{stays:?}");
    assert_eq!(stays.text, "end");
    are_there(&world, 0).await;
    assert_eq!(ask(&world, "/count").await.text, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_midway_has_its_instance_to_itself() {
    let world = world(json!({"maxConcurrent": 8}), json!({})).await;
    let request = client::request("hello", "/drip?milliseconds=20000");
    let request = request.body(Full::<Bytes>::default()).unwrap();
    drop(client::send(world.address, request).await);
    are_there(&world, 0).await;
    assert_eq!(ask(&world, "/count").await.text, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_that_a_trap_cuts_is_taken_for_whole() {
    let world = world(json!({"maxConcurrent": 8}), json!({})).await;
    let others = ask_at_once(&world, "/drip?milliseconds=20000", 6);
    let (others, traps) = tokio::join!(others, async {
        are_there(&world, 6).await;
        world.get("hello", "/drip-and-trap?milliseconds=2000").await
    });
    for answer in others.iter().chain([&traps]) {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.is_broken, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_behind_one_that_computes_bears_nothing_of_it() {
    let limits = json!({"cpuMillisecondsPerRequest": 400, "timeoutSeconds": 8});
    let world = world(json!({"maxConcurrent": 60}), limits).await;
    let (spins, others) = tokio::join!(world.get("hello", "/spin"), async {
        are_there(&world, 1).await;
        ask_at_once(&world, "/count", 50).await
    });
    // Divided by all, its time would have been up before.
    is_error(&spins, 500, "OutOfCpu");
    for answer in others {
        let is_full = answer.header("wasmfn-refused") == "Full";
        assert!(is_full || answer.status == 200, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_after_the_last_answer_counts_as_its_request_and_ends_with_its_time() {
    let world = world(json!({"maxConcurrent": 8}), json!({"timeoutSeconds": 5})).await;
    for path in ["/works-on", "/spins-on"] {
        assert_eq!(world.get("hello", path).await.text, "answered", "{path}");
        assert_eq!(world.report("hello").unwrap().in_flight, 1, "{path}");
        world.is_idle("hello").await;
        assert_eq!(ask(&world, "/count").await.text, "1", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_there_at_once_comes_in_one_piece() {
    let world = world(json!({"maxConcurrent": 8}), json!({})).await;
    let end = "Hello, 0.3!\r\n0\r\n\r\n";
    assert!(client::come_in_one_piece(world.address, "hello", "/", end).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_all_are_streamed() {
    let world = world(json!({"maxConcurrent": 8}), json!({})).await;
    let echo = async |letter: u8| {
        let body = Bytes::from(vec![letter; 1 << 20]);
        let request = client::request("hello", "/echo")
            .method("POST")
            .body(Full::new(body.clone()))
            .unwrap();
        let answer = client::read(client::send(world.address, request).await).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.as_bytes() == body, "{letter}");
    };
    join_all((b'a'..b'i').map(echo)).await;
    world.until("hello", |report| report.in_flight == 0).await;
    assert_eq!(ask(&world, "/count").await.text, "18");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_begins_before_its_body_does() {
    let world = world(json!({"maxConcurrent": 8}), json!({"timeoutSeconds": 10})).await;
    let begun = (0..4).map(async |_| {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let request = client::request("hello", "/echo").method("POST");
        client::send(world.address, request.body(body).unwrap()).await
    });
    for answer in join_all(begun).await {
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_begins_before_its_guest_has_computed_the_rest() {
    let limits = json!({"cpuMillisecondsPerRequest": 500});
    let world = world(json!({"maxConcurrent": 8}), limits).await;
    let answer = world.get("hello", "/spins-midway").await;
    assert_eq!((answer.status.as_u16(), answer.is_broken), (200, true));
    assert_eq!(answer.text, "begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_refused_leaves_its_instance_to_others() {
    let world = world(json!({"maxConcurrent": 8, "maxRequests": 1000}), json!({})).await;
    for _ in 0..50 {
        let before: u32 = ask(&world, "/count").await.text.parse().unwrap();
        let answer = world.get("hello", "/half-and-error").await;
        let after = ask(&world, "/count").await.text;
        if !answer.is_broken {
            assert_eq!(answer.header("wasmfn-reason"), "InvalidResponse");
            return assert_eq!(after, (before + 1).to_string());
        }
        // It was interrupted after its head.
    }
    panic!("it never broke off at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_meets_nobody_of_the_old_one() {
    let mut world = world(json!({"maxConcurrent": 8}), json!({})).await;
    let address = world.address;
    let old = tokio::spawn(client::get(address, "hello", "/stay?milliseconds=10000"));
    are_there(&world, 1).await;
    let changed = spec(
        &json!({"maxConcurrent": 8, "idleSeconds": 11}),
        &json!({"timeoutSeconds": 30}),
    );
    world.serve("hello", changed).await;
    assert_eq!(world.get("hello", "/count").await.text, "1");
    assert_eq!(old.await.unwrap().text, "1");
}
