//! What passes a limit ends, alone, with the right answer.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::FuturesUnordered};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use support::{
    Plan, TOKEN, World,
    client::{self, Answer, Held},
    commands, guests,
    registry::Shelf,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::watch, task::JoinSet};
use wasmfn_runtime::compile::Program;

async fn world(limits: Value) -> World {
    let mut world = World::new().await;
    world.registry.push("r/answer:1", guests::bytes("answer"));
    world
        .serve("hello", json!({"image": "r/answer:1", "limits": limits}))
        .await;
    world
        .serve("neighbour", json!({"image": "r/answer:1"}))
        .await;
    world
}

fn is_error(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("wasmfn-reason"), reason, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    let body: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(body["reason"], reason);
    assert!(!body["message"].as_str().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_is_answered_and_the_next_request_is_well() {
    let world = world(json!({})).await;
    let answer = world.get("hello", "/trap").await;
    is_error(&answer, 500, "Trapped");
    assert!(answer.text.contains("unreachable"), "{}", answer.text);
    assert!(!answer.text.contains("0x"), "{}", answer.text);
    assert_eq!(world.get("hello", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_computes_for_ever_runs_out_of_cpu() {
    let world = world(json!({"cpuMillisecondsPerRequest": 200})).await;
    let start = Instant::now();
    let answer = world.get("hello", "/spin").await;
    is_error(&answer, 500, "OutOfCpu");
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn spinners_do_not_keep_a_neighbour_waiting() {
    let world =
        Arc::new(world(json!({"cpuMillisecondsPerRequest": 1000, "timeoutSeconds": 120})).await);
    let spinners: Vec<_> = (0..8)
        .map(|_| {
            let address = world.address;
            tokio::spawn(async move { client::get(address, "hello", "/spin").await })
        })
        .collect();
    world.until("hello", |report| report.in_flight == 8).await;
    let mut answered = 0;
    while world.report("hello").unwrap().in_flight == 8 {
        let answer = world.get("neighbour", "/").await;
        assert_eq!(answer.status, 200);
        answered += 1;
    }
    assert!(answered >= 10, "{answered} answers beside 8 spinners");
    for spinner in spinners {
        is_error(&spinner.await.unwrap(), 500, "OutOfCpu");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_grows_for_ever_runs_out_of_memory() {
    let world = world(json!({"memoryPerRequest": "16Mi"})).await;
    is_error(&world.get("hello", "/grow").await, 500, "OutOfMemory");
    assert_eq!(world.get("neighbour", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_comes_back() {
    let world = world(json!({})).await;
    let before = world.runtime.picture().holdings().memory_bytes;
    for _ in 0..5 {
        is_error(&world.get("hello", "/grow").await, 500, "OutOfMemory");
    }
    world.until("hello", |report| report.in_flight == 0).await;
    let after = world.runtime.picture().holdings();
    assert_eq!(after.memory_bytes, before);
    assert_eq!(after.in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_waits_too_long_is_answered_for() {
    let world = world(json!({"timeoutSeconds": 1})).await;
    let start = Instant::now();
    let answer = world.get("hello", "/slow?milliseconds=60000").await;
    is_error(&answer, 504, "Timeout");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_has_begun_is_cut_and_never_completed() {
    let world = world(json!({"timeoutSeconds": 5, "responseBytes": "1Mi"})).await;
    let late = world
        .get("hello", "/stream?chunks=100&pauseMilliseconds=200")
        .await;
    assert_eq!(late.status, 200);
    assert!(late.is_broken, "{late:?}");
    assert!(late.text.starts_with("chunk 0\n"), "{late:?}");

    let large = world.get("hello", "/big?bytes=3000000").await;
    assert!(large.is_broken);
    assert!(large.text.len() <= 1 << 20, "{}", large.text.len());
    assert_eq!(
        world.get("hello", "/big?bytes=1048576").await.text.len(),
        1 << 20
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_refused() {
    let world = world(json!({"requestBytes": "1Mi"})).await;
    let with_length = client::request("hello", "/echo")
        .method("POST")
        .body(Full::new(Bytes::from(vec![0; (1 << 20) + 1])))
        .unwrap();
    let answer = client::read(client::send(world.address, with_length).await).await;
    is_error(&answer, 413, "RequestTooLarge");

    // Without a length it is seen as it passes; `/slow` has not answered by then.
    let chunk = Bytes::from(vec![0; 64 << 10]);
    let frames =
        stream::iter((0..17).map(move |_| Ok::<_, std::io::Error>(Frame::data(chunk.clone()))));
    let without_length = client::request("hello", "/echo")
        .method("POST")
        .body(StreamBody::new(frames))
        .unwrap();
    let answer = client::read(client::send(world.address, without_length).await).await;
    let is_refused = answer.status == 413 || answer.is_broken;
    assert!(is_refused, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_concurrency_are_refused_unread() {
    let world = Arc::new(world(json!({"maxConcurrency": 1})).await);
    let slow = Held::start(world.address, "hello");
    let report = world.until("hello", |report| report.in_flight == 1).await;
    assert!(report.full);
    let refused = world.get("hello", "/").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("wasmfn-refused"), "Full");
    assert_eq!(world.get("neighbour", "/").await.status, 200);
    assert_eq!(slow.end().await.text, "end");
    world.until("hello", |report| report.in_flight == 0).await;
    assert_eq!(world.get("hello", "/").await.status, 200);
}

/// A small pod, and a guest for it.
async fn with_memory_of(memory_budget_bytes: u64) -> World {
    let plan = Plan {
        memory_budget_bytes,
        // A child would need more than this pod has.
        compiler: Program::InProcess,
        ..Plan::default()
    };
    let world = World::with(plan, Arc::new(Shelf::default())).await;
    world.registry.push("r/answer:1", guests::bytes("answer"));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_without_memory_says_that_it_is_full() {
    let mut world = with_memory_of(24 << 20).await;
    world.serve("hello", json!({"image": "r/answer:1"})).await;
    let address = world.address;
    let slow: Vec<_> = (0..40)
        .map(|_| {
            tokio::spawn(
                async move { client::get(address, "hello", "/slow?milliseconds=1000").await },
            )
        })
        .collect();
    let seen_full = AtomicBool::new(false);
    let mut answered = 0;
    for request in slow {
        let answer = request.await.unwrap();
        if answer.status == 200 {
            answered += 1;
        } else {
            assert_eq!(answer.header("wasmfn-refused"), "Full", "{answer:?}");
            seen_full.store(true, Ordering::Relaxed);
        }
    }
    assert!(answered > 0);
    assert!(seen_full.load(Ordering::Relaxed), "{answered} answered");
    assert_eq!(world.get("hello", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_takes_all_memory_it_gets_leaves_room_for_another() {
    let mut world = with_memory_of(48 << 20).await;
    for name in ["greedy", "hello"] {
        world.serve(name, json!({"image": "r/answer:1"})).await;
        assert_eq!(world.get(name, "/").await.status, 200);
    }
    let address = world.address;
    let greedy: Vec<_> = (0..200)
        .map(|_| {
            tokio::spawn(
                async move { client::get(address, "greedy", "/slow?milliseconds=3000").await },
            )
        })
        .collect();
    world.until("greedy", |report| report.in_flight > 5).await;
    for _ in 0..20 {
        assert_eq!(world.get("hello", "/").await.status, 200);
    }
    let mut refused = 0;
    for request in greedy {
        let answer = request.await.unwrap();
        if answer.status != 200 {
            assert_eq!(answer.header("wasmfn-refused"), "Full", "{answer:?}");
            refused += 1;
        }
    }
    assert!(refused > 0, "all found room");
}

/// A pod of 48 MiB with a function whose guests need 8 MiB each, which nobody has seen yet.
async fn with_large_guests(module: Bytes) -> World {
    let mut world = with_memory_of(48 << 20).await;
    world.registry.push("r/large:1", module);
    world.serve("large", json!({"image": "r/large:1"})).await;
    world
}

/// A request whose body goes on until `end` is dropped, which its guest copies.
async fn held(address: SocketAddr, mut end: watch::Receiver<()>) -> Answer {
    let ended = async move {
        let _ = end.changed().await;
    };
    client::post_once(address, "large", "/", ended).await
}

/// Sends so many requests at once: those for which there is no room are refused, all others answered.
async fn finds_no_room_for_all(world: &World, requests: usize) {
    let (end, ends) = watch::channel(());
    let mut all: FuturesUnordered<_> = (0..requests)
        .map(|_| held(world.address, ends.clone()))
        .collect();
    let first = all.next().await.unwrap();
    assert_eq!(first.header("wasmfn-refused"), "Full", "{first:?}");
    drop(end);
    let (answered, refused): (Vec<_>, Vec<_>) = all
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .partition(|answer| answer.text == "end");
    assert!(!answered.is_empty());
    for answer in refused {
        assert_eq!(answer.header("wasmfn-refused"), "Full", "{answer:?}");
    }
}

const WHOLE: &str = "Status: 200\n\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_first_request_is_admitted_on_what_its_guest_lays_out() {
    let module = commands::with_pages(128, WHOLE, commands::COPY);
    let world = with_large_guests(module).await;
    finds_no_room_for_all(&world, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_admitted_on_what_those_before_them_have_grown_to() {
    let grows = "(if (i32.lt_s (memory.grow (i32.const 126)) (i32.const 0)) (then unreachable))";
    let module = commands::printing(WHOLE, &format!("{grows} {}", commands::COPY));
    let world = with_large_guests(module).await;
    let (end, ends) = watch::channel(());
    let first = tokio::spawn(held(world.address, ends));
    world
        .until("large", |report| report.memory_bytes >= 8 << 20)
        .await;
    finds_no_room_for_all(&world, 19).await;
    drop(end);
    assert_eq!(first.await.unwrap().text, "end");
}

/// Eight ninths of the pod's thousand slots.
const SHARE_OF_SLOTS: u32 = 888;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_takes_all_slots_it_gets_leaves_some_to_another() {
    let most = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, all).unwrap();
    let mut world = with_memory_of(64 << 30).await;
    for name in ["greedy", "hello"] {
        let limits = json!({"timeoutSeconds": 300});
        world
            .serve(name, json!({"image": "r/answer:1", "limits": limits}))
            .await;
        assert_eq!(world.get(name, "/").await.status, 200);
    }
    let address = world.address;
    let mut greedy = JoinSet::new();
    for _ in 0..1000 {
        greedy.spawn(
            async move { client::get(address, "greedy", "/slow?milliseconds=200000").await },
        );
    }
    // The first answers are refusals: all others wait.
    for _ in SHARE_OF_SLOTS..1000 {
        let answer = greedy.join_next().await.unwrap().unwrap();
        assert_eq!(answer.header("wasmfn-refused"), "Full", "{answer:?}");
    }
    world
        .until("greedy", |report| report.in_flight == SHARE_OF_SLOTS)
        .await;
    for _ in 0..20 {
        assert_eq!(world.get("hello", "/").await.status, 200);
    }
    greedy.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_guest() {
    let world = world(json!({})).await;
    let request = client::request("hello", "/slow?milliseconds=25000")
        .body(Full::<Bytes>::default())
        .unwrap();
    let address = world.address;
    let asking = tokio::spawn(async move { client::send(address, request).await });
    world.until("hello", |report| report.in_flight == 1).await;
    asking.abort();
    let start = Instant::now();
    world.until("hello", |report| report.in_flight == 0).await;
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_its_body_unread_ends_its_guest_too() {
    let world = world(json!({})).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = "POST /slow?milliseconds=25000 HTTP/1.1\r\nhost: a.example\r\n\
        wasmfn-function: hello\r\ncontent-length: 100000\r\n";
    let part = format!("{head}wasmfn-token: {TOKEN}\r\n\r\n{}", "a".repeat(30_000));
    stream.write_all(part.as_bytes()).await.unwrap();
    world.until("hello", |report| report.in_flight == 1).await;
    drop(stream);
    let start = Instant::now();
    world.until("hello", |report| report.in_flight == 0).await;
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_denied_unless_listed() {
    let world = world(json!({})).await;
    let answer = world
        .get("hello", "/outbound?url=http%3A%2F%2F127.0.0.1%3A9%2F")
        .await;
    assert_eq!(answer.status, 502);
    assert!(answer.text.contains("HttpRequestDenied"), "{answer:?}");
}
