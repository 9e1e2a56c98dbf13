//! A request reaches its guest whole, and its answer the client.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use support::{World, client, guests};
use tokio::net::TcpStream;

async fn world() -> World {
    let mut world = World::new().await;
    world.registry.push("r/answer:1", guests::bytes("answer"));
    world
        .serve(
            "hello",
            json!({
                "image": "r/answer:1",
                "env": [{"name": "GREETING", "value": "hei"}],
            }),
        )
        .await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_with_status_headers_and_environment() {
    let world = world().await;
    let answer = world.get("hello", "/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text, "answer answer\n");
    assert_eq!(world.get("hello", "/status/418").await.status, 418);
    assert_eq!(world.get("hello", "/env/GREETING").await.text, "hei\n");

    let headers = world.get("hello", "/headers?a=b&c=%20").await.text;
    assert!(headers.starts_with("GET /headers?a=b&c=%20\n"), "{headers}");
    assert!(!headers.contains("wasmfn-"), "{headers}");
    assert!(!headers.contains(support::TOKEN), "{headers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_comes_back_whole() {
    let world = world().await;
    let body = vec![b'x'; 5 << 20];
    let request = client::request("hello", "/echo")
        .method("POST")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let answer = client::read(client::send(world.address, request).await).await;
    assert_eq!(answer.text.len(), 5 << 20);
    assert!(!answer.is_broken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_comes_while_the_guest_waits_with_the_next() {
    let world = world().await;
    let request = client::request("hello", "/stream?chunks=3&pauseMilliseconds=20000")
        .body(Full::<Bytes>::default())
        .unwrap();
    let mut answer = client::send(world.address, request).await.into_body();
    let first = answer.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "chunk 0\n");
    assert_eq!(world.report("hello").unwrap().in_flight, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_answers_while_the_request_still_comes() {
    let world = world().await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<&str>(1);
    let frames = futures::stream::unfold(receiver, async |mut receiver| {
        let text = receiver.recv().await?;
        Some((
            Ok::<_, std::io::Error>(Frame::data(Bytes::from(text))),
            receiver,
        ))
    });
    let request = client::request("hello", "/echo")
        .method("POST")
        .body(StreamBody::new(Box::pin(frames)))
        .unwrap();
    let mut answer = client::send(world.address, request).await.into_body();
    for text in ["first", "second"] {
        sender.send(text).await.unwrap();
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    drop(sender);
    assert!(answer.collect().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_reach_the_client() {
    let world = world().await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = client::request("hello", "http://hello/trailers")
        .body(Full::<Bytes>::default())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let collected = answer.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-trailer"], "after the body");
    assert_eq!(collected.to_bytes(), "body\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_anything_without_the_token() {
    let world = world().await;
    for token in ["", "guess"] {
        let request = http::Request::builder()
            .uri("/")
            .header("host", "h")
            .header("wasmfn-token", token)
            .header("wasmfn-function", "hello")
            .body(Full::<Bytes>::default())
            .unwrap();
        let answer = client::read(client::send(world.address, request).await).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.text, "");
        assert_eq!(answer.header("wasmfn-refused"), "Unauthorized");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_are_refused() {
    let world = world().await;
    let request = client::request("hello", "/")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .body(Full::<Bytes>::default())
        .unwrap();
    let answer = client::read(client::send(world.address, request).await).await;
    assert_eq!(answer.status, 501);
    assert_eq!(answer.header("wasmfn-reason"), "UpgradeRefused");
}
