//! gRPC as it goes over the wire: HTTP/2 with trailers, in both directions at once.

use std::convert::Infallible;

use axum::{body::Body, extract::Request as PodRequest, response::Response as PodResponse};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, channel::mpsc};
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::json;
use wasmfn_gateway::endpoints::Phase::Ready;

use crate::{
    client::{self, HOST, full},
    pod,
    setup::Running,
};

fn trailers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

/// A call of gRPC.
fn call(method: &str) -> http::request::Builder {
    Request::post(format!("http://{HOST}/echo.Echo/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

/// A pod that sends each piece back as it comes, and says in the end how it went.
async fn echo() -> std::net::SocketAddr {
    pod::start(|request: PodRequest| async move {
        assert_eq!(request.headers()["te"], "trailers");
        if request.uri().path().ends_with("/Failing") {
            let builder = PodResponse::builder().header("grpc-status", "12");
            return builder.body(Body::empty()).unwrap();
        }
        let pieces = request.into_body().into_data_stream();
        let pieces = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece.unwrap())));
        let end = Frame::trailers(trailers(&[("grpc-status", "0"), ("grpc-message", "fine")]));
        let body = pieces.chain(futures::stream::once(async { Ok(end) }));
        let builder = PodResponse::builder().header("content-type", "application/grpc");
        builder.body(Body::new(StreamBody::new(body))).unwrap()
    })
    .await
}

#[tokio::test]
async fn a_unary_call_ends_in_trailers() {
    let running = Running::serving(&json!({}), &[(echo().await, Ready)]).await;
    let mut connection = client::connect2(running.public).await;
    let asked = call("Unary").body(full("\0\0\0\0\u{2}hi")).unwrap();
    let response = connection.send_request(asked).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let collected = response.into_body().collect().await.unwrap();
    let end = collected.trailers().unwrap();
    assert_eq!(end["grpc-status"], "0");
    assert_eq!(end["grpc-message"], "fine");
    assert_eq!(collected.to_bytes(), "\0\0\0\0\u{2}hi");
}

#[tokio::test]
async fn a_call_may_fail_with_nothing_but_headers() {
    let running = Running::serving(&json!({}), &[(echo().await, Ready)]).await;
    let mut connection = client::connect2(running.public).await;
    let asked = call("Failing").body(full("\0\0\0\0\0")).unwrap();
    let response = connection.send_request(asked).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    let collected = response.into_body().collect().await.unwrap();
    assert!(collected.to_bytes().is_empty());
}

#[tokio::test]
async fn messages_go_both_ways_one_after_another() {
    let running = Running::serving(&json!({}), &[(echo().await, Ready)]).await;
    let mut connection = client::connect2(running.public).await;
    let (mut sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    sender.send(Ok(Frame::data("0".into()))).await.unwrap();
    let asked = call("Chat").body(StreamBody::new(receiver)).unwrap();
    let mut response = connection.send_request(asked).await.unwrap();
    for number in 0..100 {
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), number.to_string());
        // The next is written only once the last has come back.
        let next = Frame::data((number + 1).to_string().into());
        sender.send(Ok(next)).await.unwrap();
    }
    let last = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(last.into_data().unwrap(), "100");
    drop(sender);
    let end = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(end.into_trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn trailers_forge_nothing() {
    let (seen, mut heard) = mpsc::channel(1);
    let pod = pod::start(move |request: PodRequest| {
        let mut seen = seen.clone();
        async move {
            let collected = request.into_body().collect().await.unwrap();
            seen.send(collected.trailers().cloned()).await.unwrap();
            "ok"
        }
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let mut connection = client::connect2(running.public).await;
    let end = trailers(&[
        ("x-sum", "1"),
        ("wasmfn-function", "other"),
        ("x-forwarded-for", "203.0.113.9"),
    ]);
    let frames = [
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a"))),
        Ok(Frame::trailers(end)),
    ];
    let body = StreamBody::new(futures::stream::iter(frames));
    let asked = call("Unary").body(body).unwrap();
    let response = connection.send_request(asked).await.unwrap();
    assert_eq!(response.status(), 200);
    let heard = heard.next().await.unwrap().unwrap();
    assert_eq!(heard, trailers(&[("x-sum", "1")]));
}
