//! Requests that ask for trailers: they go to pods over HTTP/2, and share connections.

use std::{
    collections::HashSet,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{ConnectInfo, Request as PodRequest},
    response::Response as PodResponse,
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, channel::mpsc};
use http::{Method, Version};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use wasmfn_gateway::endpoints::Phase::Ready;

use crate::{
    client::{connect, full, request, send, whole},
    pod,
    raw::{ask, head, statuses},
    setup::{PATIENCE, Running, until},
};

/// Lines of a head and their bytes, as many as a pod lets a guest have.
const LINES: usize = 200;
const BYTES: usize = 64 << 10;

#[tokio::test]
async fn heads_as_large_as_a_guest_may_send_pass() {
    let pod = pod::start(|_| async {
        let mut response = PodResponse::new("whole".to_owned());
        let line = "a".repeat(BYTES / LINES - "x".len() - 2);
        for _ in 0..LINES {
            response.headers_mut().append("x", line.parse().unwrap());
        }
        response
    })
    .await;
    for lines in ["", "te: trailers\r\n"] {
        let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
        let asked = head("POST / HTTP/1.1", &format!("{lines}connection: close\r\n"));
        let answer = ask(running.public, asked.as_bytes()).await;
        assert_eq!(statuses(&answer), ["200"], "{lines:?}");
        assert_eq!(answer.matches("\r\nx: a").count(), LINES, "{lines:?}");
        assert!(answer.ends_with("whole"), "{lines:?}");
    }
}

#[tokio::test]
async fn only_what_can_have_trailers_goes_over_http2() {
    let pod = pod::start(|request: PodRequest| async move {
        let version = format!("{:?}", request.version());
        PodResponse::builder()
            .header("x-version", version)
            .body("text".to_owned())
            .unwrap()
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    for (method, version) in [
        (Method::GET, Version::HTTP_2),
        (Method::HEAD, Version::HTTP_11),
    ] {
        let asked = request("/").method(&method).header("te", "trailers");
        let response = send(running.public, asked.body(full("")).unwrap()).await;
        let response = whole(response.unwrap()).await;
        let travelled = &response.headers()["x-version"];
        assert_eq!(travelled, &format!("{version:?}"), "{method}");
    }
}

/// A pod that notes by which connections requests come. It answers those that say `short`, and leaves the
/// bodies of the others unread.
async fn noting(connections: Arc<Mutex<HashSet<SocketAddr>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let noting = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: PodRequest| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        connections.lock().unwrap().insert(peer);
        if request.uri().path() != "/short" {
            futures::future::pending::<()>().await;
        }
        "short"
    };
    let service = Router::new()
        .fallback(noting)
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());
    address
}

#[tokio::test]
async fn a_body_that_streams_has_a_connection_of_its_own() {
    let connections = Arc::<Mutex<HashSet<SocketAddr>>>::default();
    let count = || connections.lock().unwrap().len();
    let pod = noting(connections.clone()).await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let asked = |path: &str| request(path).method(Method::POST).header("te", "trailers");
    for _ in 0..20 {
        let asked = asked("/short").body(full("x")).unwrap();
        let response = send(running.public, asked).await.unwrap();
        assert_eq!(whole(response).await.body(), "short");
    }
    let shared = count();
    assert!(shared <= 5, "{shared} connections for short ones");
    let mut streaming = Vec::new();
    for number in 1..=10 {
        let (mut sender, body) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
        sender.send(Ok(Frame::data("a".into()))).await.unwrap();
        let asked = asked("/long").body(StreamBody::new(body)).unwrap();
        streaming.push((sender, tokio::spawn(send(running.public, asked))));
        until("it has one", || count() == shared + number).await;
    }
}

/// Leads to `pod`, and tells of each connection's end.
async fn relay(pod: SocketAddr) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, ended) = mpsc::unbounded();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(pod).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                let _ = told.unbounded_send(());
            });
        }
    });
    (address, ended)
}

#[tokio::test]
async fn a_connection_for_one_ends_with_it() {
    let (pod, mut ended) = relay(pod::echo().await).await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    for gives_up in [false, true] {
        let (mut sender, body) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
        sender.send(Ok(Frame::data("a".into()))).await.unwrap();
        let asked = request("/").method(Method::POST).header("te", "trailers");
        let (mut client, task) = connect(running.public).await;
        let asked = asked.body(StreamBody::new(body)).unwrap();
        let response = client.send_request(asked).await.unwrap();
        if gives_up {
            task.abort();
        } else {
            drop(sender);
            assert_eq!(whole(response).await.body(), "a");
        }
        let ended = tokio::time::timeout(PATIENCE, ended.next()).await;
        assert_eq!(ended.ok().flatten(), Some(()), "{gives_up}");
    }
}
