//! Neither side is read faster than the other takes it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, extract::Request as PodRequest};
use bytes::Bytes;
use futures::StreamExt;
use http::Request;
use http_body_util::StreamBody;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use wasmfn_gateway::{endpoints::Phase::Ready, proxy::body::KEPT_BYTES};

use crate::{
    client::{self, HOST},
    pod,
    raw::head,
    setup::{Running, until},
};

/// One piece of a body.
const PIECE: usize = 64 * 1024;
/// More than the buffers of four sockets and of a gateway that keeps one window of a body take,
/// and far less than what is offered.
const BUFFERS: usize = 24 << 20;
/// What is offered.
const OFFERED: usize = 512 << 20;

/// Pieces that count what was taken of them.
fn pieces(
    taken: Arc<AtomicUsize>,
) -> impl futures::Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let piece = Bytes::from(vec![b'a'; PIECE]);
    futures::stream::repeat(piece)
        .take(OFFERED / PIECE)
        .map(move |piece| {
            taken.fetch_add(piece.len(), Ordering::Relaxed);
            Ok(piece)
        })
}

/// Waits until `taken` has not grown for a while.
async fn settled(taken: &AtomicUsize) -> usize {
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = taken.load(Ordering::Relaxed);
        if now == last && now > 0 {
            return now;
        }
        last = now;
    }
}

/// A gateway before a pod that reads the first piece of a body and no more.
async fn not_reading() -> Running {
    let pod = pod::start(|request: PodRequest| async move {
        let mut body = request.into_body().into_data_stream();
        body.next().await;
        futures::future::pending::<()>().await;
        "never"
    })
    .await;
    Running::serving(&json!({}), &[(pod, Ready)]).await
}

#[tokio::test]
async fn a_pod_that_does_not_read_stops_a_client_of_http1() {
    let running = not_reading().await;
    let taken = Arc::new(AtomicUsize::new(0));
    let mut stream = TcpStream::connect(running.public).await.unwrap();
    let asked = head("POST / HTTP/1.1", &format!("content-length: {OFFERED}\r\n"));
    stream.write_all(asked.as_bytes()).await.unwrap();
    let (count, piece) = (taken.clone(), vec![b'a'; PIECE]);
    let writing = tokio::spawn(async move {
        while let Ok(bytes) = stream.write(&piece).await {
            count.fetch_add(bytes, Ordering::Relaxed);
        }
    });
    let bytes = settled(&taken).await;
    assert!(bytes < BUFFERS, "{bytes}");
    let held = running.gateway.held_bytes();
    assert!(held <= KEPT_BYTES, "{held}");
    writing.abort();
}

#[tokio::test]
async fn a_pod_that_does_not_read_stops_a_client_of_http2() {
    let running = not_reading().await;
    let taken = Arc::new(AtomicUsize::new(0));
    let mut connection = client::connect2(running.public).await;
    let body = pieces(taken.clone()).map(|piece| piece.map(http_body::Frame::data));
    let asked = Request::post(format!("http://{HOST}/")).body(StreamBody::new(Box::pin(body)));
    let asking = tokio::spawn(connection.send_request(asked.unwrap()));
    let bytes = settled(&taken).await;
    assert!(bytes < BUFFERS, "{bytes}");
    let held = running.gateway.held_bytes();
    assert!(held <= KEPT_BYTES, "{held}");
    asking.abort();
    until("nothing is counted", || running.counts() == (0, 0)).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_pod() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let pod = pod::start(move |_| {
        let body = Body::from_stream(pieces(count.clone()));
        async move { body }
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let mut over1 = TcpStream::connect(running.public).await.unwrap();
    let asked = head("GET / HTTP/1.1", "");
    over1.write_all(asked.as_bytes()).await.unwrap();
    let bytes = settled(&taken).await;
    assert!(bytes < BUFFERS, "over HTTP/1.1: {bytes}");
    drop(over1);
    until("nothing is counted", || running.counts() == (0, 0)).await;

    taken.store(0, Ordering::Relaxed);
    let mut over2 = client::connect2(running.public).await;
    let asked = Request::get(format!("http://{HOST}/")).body(client::full(""));
    let response = over2.send_request(asked.unwrap()).await.unwrap();
    let bytes = settled(&taken).await;
    assert!(bytes < BUFFERS, "over HTTP/2: {bytes}");
    drop(response);
    until("nothing is counted", || running.counts() == (0, 0)).await;
}
