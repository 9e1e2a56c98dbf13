//! WASI 0.3 services.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use support::{World, client, client::Answer, guests};

async fn world(limits: Value) -> World {
    let mut world = World::new().await;
    world.registry.push("r/service:1", guests::service());
    world
        .serve("hello", json!({"image": "r/service:1", "limits": limits}))
        .await;
    world
}

fn is_error(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("wasmfn-reason"), reason, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_answers_in_a_fresh_instance_each_time() {
    let world = world(json!({})).await;
    let answer = world.get("hello", "/").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (200, "Hello, 0.3!")
    );
    assert!(!answer.is_broken);
    for _ in 0..3 {
        assert_eq!(world.get("hello", "/count").await.text, "1");
    }
    let serving = world.report("hello").unwrap().serving.unwrap();
    assert_eq!(serving.kind, "Component");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_there_at_once_comes_in_one_piece() {
    let world = world(json!({})).await;
    let end = "Hello, 0.3!\r\n0\r\n\r\n";
    assert!(client::come_in_one_piece(world.address, "hello", "/", end).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_begins_before_its_guest_has_computed_the_rest() {
    let world = world(json!({"cpuMillisecondsPerRequest": 500})).await;
    let answer = world.get("hello", "/spins-midway").await;
    assert_eq!((answer.status.as_u16(), answer.is_broken), (200, true));
    assert_eq!(answer.text, "begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_at_once_is_refused() {
    let world = world(json!({"responseBytes": "8"})).await;
    for _ in 0..50 {
        let answer = world.get("hello", "/").await;
        if !answer.is_broken {
            return is_error(&answer, 500, "ResponseTooLarge");
        }
        // It was interrupted after its head.
        assert_eq!(answer.status, 200);
    }
    panic!("its body never came with its head");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_streamed_both_ways() {
    let world = world(json!({})).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        let bytes: Bytes = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(Frame::data(bytes)), receiver))
    });
    let request = client::request("hello", "/echo")
        .method("POST")
        .body(StreamBody::new(Box::pin(frames)))
        .unwrap();
    let mut answer = client::send(world.address, request).await;
    for piece in ["one", "two", "three"] {
        sender.send(Bytes::from(piece)).await.unwrap();
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
    drop(sender);
    assert!(answer.body_mut().frame().await.is_none());
    world.until("hello", |report| report.in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_services() {
    let world = world(json!({
        "cpuMillisecondsPerRequest": 200,
        "memoryPerRequest": "16Mi",
        "requestBytes": "64Ki",
        "responseBytes": "64Ki",
    }))
    .await;
    is_error(&world.get("hello", "/trap").await, 500, "Trapped");
    is_error(&world.get("hello", "/spin").await, 500, "OutOfCpu");
    is_error(&world.get("hello", "/grow").await, 500, "OutOfMemory");
    let given_up = world.get("hello", "/error").await;
    is_error(&given_up, 500, "Trapped");
    assert!(given_up.text.contains("gave up"), "{given_up:?}");
    let large = client::request("hello", "/echo")
        .method("POST")
        .body(Full::new(Bytes::from(vec![0; (64 << 10) + 1])))
        .unwrap();
    let answer = client::read(client::send(world.address, large).await).await;
    is_error(&answer, 413, "RequestTooLarge");
    assert_eq!(world.get("hello", "/").await.status, 200);
    world.until("hello", |report| report.in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_takes_too_long_is_answered_for() {
    let world = world(json!({"timeoutSeconds": 1})).await;
    let start = Instant::now();
    is_error(&world.get("hello", "/slow").await, 504, "Timeout");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_service() {
    let world = world(json!({})).await;
    let request = client::request("hello", "/slow").body(Full::<Bytes>::default());
    let address = world.address;
    let asking = tokio::spawn(async move { client::send(address, request.unwrap()).await });
    world.until("hello", |report| report.in_flight == 1).await;
    asking.abort();
    world.until("hello", |report| report.in_flight == 0).await;
}
