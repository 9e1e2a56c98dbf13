//! Clients that take their time, on purpose or not.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request as PodRequest};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use wasmfn_gateway::{endpoints::Phase::Ready, listener::Rules, metrics::Fault, routes::Entrance};

use crate::{
    client::{self, HOST, full},
    pod,
    raw::{head, rest, statuses},
    setup::{Running, lenient, until},
};

/// Time enough for a test to see that it is kept.
const SHORT: Duration = Duration::from_millis(300);

fn faults(running: &Running, fault: Fault) -> u64 {
    running.gateway.metrics.faults(Entrance::Public, fault)
}

/// A pod that reads everything.
async fn reader() -> SocketAddr {
    pod::start(|request: PodRequest| async move {
        match request.into_body().collect().await {
            Ok(_) => "whole",
            Err(_) => "broken",
        }
    })
    .await
}

/// A gateway with these rules before such a pod.
async fn reading(rules: Rules) -> Running {
    let pod = reader().await;
    Running::start_by(rules, None)
        .await
        .with(&json!({}), &[(pod, Ready)])
}

#[tokio::test]
async fn a_head_must_come_to_its_end() {
    let rules = Rules {
        head_within: SHORT,
        ..lenient()
    };
    let running = reading(rules).await;
    for (number, begin) in ["G", "GET / HTTP/1.1\r\nhost: f.n.localhost\r\nx: "]
        .iter()
        .enumerate()
    {
        let mut stream = TcpStream::connect(running.public).await.unwrap();
        // Once a request has passed, so that the connection is a good one.
        let good = head("GET / HTTP/1.1", "");
        stream
            .write_all(format!("{good}{begin}").as_bytes())
            .await
            .unwrap();
        assert_eq!(statuses(&rest(&mut stream).await), ["200"], "{begin:?}");
        assert_eq!(faults(&running, Fault::SlowHead), number as u64 + 1);
    }
}

#[tokio::test]
async fn a_head_that_drips_is_no_better() {
    let rules = Rules {
        head_within: SHORT,
        ..lenient()
    };
    let running = reading(rules).await;
    let mut stream = TcpStream::connect(running.public).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while writing.write_all(b"a").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    });
    let mut answer = Vec::new();
    let _ = reading.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{answer:?}");
    assert_eq!(faults(&running, Fault::SlowHead), 1);
    dripping.await.unwrap();
}

#[tokio::test]
async fn a_body_must_go_on() {
    let rules = Rules {
        body_within: SHORT,
        ..lenient()
    };
    let running = reading(rules).await;
    let bodies = [
        ("content-length: 3\r\n", "a"),
        ("content-length: 100000\r\n", "a"),
        ("transfer-encoding: chunked\r\n", "1\r\na\r\n"),
        ("transfer-encoding: chunked\r\n", "1\r\na\r\n5"),
    ];
    for (number, (lines, begin)) in bodies.iter().enumerate() {
        let mut stream = TcpStream::connect(running.public).await.unwrap();
        let asked = head("POST / HTTP/1.1", lines);
        stream
            .write_all(format!("{asked}{begin}").as_bytes())
            .await
            .unwrap();
        let answer = rest(&mut stream).await;
        assert!(!answer.contains("whole"), "{lines:?}: {answer:?}");
        assert_eq!(
            faults(&running, Fault::SlowBody),
            number as u64 + 1,
            "{lines:?}"
        );
    }
    until("nothing is counted", || running.counts() == (0, 0)).await;
}

#[tokio::test]
async fn a_body_may_wait_while_its_request_does() {
    let rules = Rules {
        body_within: SHORT,
        ..lenient()
    };
    let running = Running::start_by(rules, None).await.with(&json!({}), &[]);
    let mut stream = TcpStream::connect(running.public).await.unwrap();
    let asked = head(
        "POST / HTTP/1.1",
        "connection: close\r\ntransfer-encoding: chunked\r\n",
    );
    let begin = format!("{asked}1\r\na\r\n");
    stream.write_all(begin.as_bytes()).await.unwrap();
    until("it waits", || running.counts() == (0, 1)).await;
    stream.write_all(b"1\r\na\r\n0\r\n\r\n").await.unwrap();
    tokio::time::sleep(2 * SHORT).await;
    assert_eq!(running.counts(), (0, 1));
    running.pods(&[(reader().await, Ready)]);
    assert_eq!(statuses(&rest(&mut stream).await), ["200"]);
}

#[tokio::test]
async fn a_body_that_nobody_asks_for_may_wait() {
    let pod = pod::start(|request: PodRequest| async move {
        tokio::time::sleep(SHORT * 3).await;
        let body = request.into_body().collect().await.unwrap();
        format!("{} bytes", body.to_bytes().len())
    })
    .await;
    let rules = Rules {
        body_within: SHORT,
        ..lenient()
    };
    let running = Running::start_by(rules, None)
        .await
        .with(&json!({}), &[(pod, Ready)]);
    let mut stream = TcpStream::connect(running.public).await.unwrap();
    let lines = "content-length: 1000000\r\nconnection: close\r\n";
    let asked = head("POST / HTTP/1.1", lines);
    stream.write_all(asked.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'a'; 1_000_000]).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("1000000 bytes"), "{answer:?}");
}

/// A pod whose answers have no end; `true` comes each time that one is dropped. The one to `/waits` goes on once
/// `more` says so.
async fn endless(
    more: Arc<Notify>,
) -> (SocketAddr, futures::channel::mpsc::UnboundedReceiver<bool>) {
    let (told, ended) = futures::channel::mpsc::unbounded();
    let pod = pod::start(move |request: PodRequest| {
        let (told, more) = (told.clone(), more.clone());
        async move {
            let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"piece"))]);
            if request.uri().path() == "/waits" {
                let next = stream::once(async move {
                    more.notified().await;
                    Ok(Bytes::from_static(b"more"))
                });
                return Body::from_stream(first.chain(next));
            }
            let dropped = Told(told);
            let piece = Bytes::from(vec![b'a'; 64 * 1024]);
            Body::from_stream(first.chain(stream::repeat(piece).map(move |piece| {
                let _held = &dropped;
                Ok(piece)
            })))
        }
    })
    .await;
    (pod, ended)
}

struct Told(futures::channel::mpsc::UnboundedSender<bool>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.unbounded_send(true);
    }
}

#[tokio::test]
async fn an_answer_must_be_taken() {
    let (pod, mut ended) = endless(Arc::default()).await;
    let rules = Rules {
        taken_within: SHORT,
        ..lenient()
    };
    let running = Running::start_by(rules, None)
        .await
        .with(&json!({}), &[(pod, Ready)]);
    let mut stream = TcpStream::connect(running.public).await.unwrap();
    stream
        .write_all(head("GET / HTTP/1.1", "").as_bytes())
        .await
        .unwrap();
    assert_eq!(ended.next().await, Some(true), "the guest is let go");
    assert!(faults(&running, Fault::SlowReader) >= 1);
    until("nothing is counted", || running.counts() == (0, 0)).await;
    drop(stream);
}

#[tokio::test]
async fn over_http2_one_that_is_not_taken_does_not_end_the_others() {
    let more = Arc::new(Notify::new());
    let (pod, mut ended) = endless(more.clone()).await;
    let rules = Rules {
        taken_within: SHORT,
        ..lenient()
    };
    let running = Running::start_by(rules, None)
        .await
        .with(&json!({}), &[(pod, Ready)]);
    let mut connection = client::connect2(running.public).await;
    let asked = |path| {
        http::Request::get(format!("http://{HOST}{path}"))
            .body(full(""))
            .unwrap()
    };
    let ignored = connection.send_request(asked("/")).await.unwrap();
    // The other's pod takes its time: nobody keeps that answer waiting.
    let mut read = connection.send_request(asked("/waits")).await.unwrap();
    assert!(read.body_mut().frame().await.unwrap().is_ok());
    assert_eq!(ended.next().await, Some(true));
    assert_eq!(faults(&running, Fault::SlowReader), 1);
    until("the other is left", || running.counts() == (1, 0)).await;
    let left = ignored.into_body().collect().await;
    assert!(left.is_err(), "reset, and not completed");
    more.notify_one();
    assert!(read.body_mut().frame().await.unwrap().is_ok());
}

#[tokio::test]
async fn a_connection_that_is_not_used_is_closed() {
    let rules = Rules {
        idle_after: SHORT,
        ..lenient()
    };
    let running = reading(rules).await;
    let mut silent = TcpStream::connect(running.public).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    let mut used = TcpStream::connect(running.public).await.unwrap();
    used.write_all(head("GET / HTTP/1.1", "").as_bytes())
        .await
        .unwrap();
    assert_eq!(statuses(&rest(&mut used).await), ["200"]);
    assert_eq!(faults(&running, Fault::Idle), 2);

    let mut over2 = client::connect2(running.public).await;
    let asked = http::Request::get(format!("http://{HOST}/")).body(full(""));
    let response = over2.send_request(asked.unwrap()).await.unwrap();
    client::whole(response).await;
    until("it is told", || over2.is_closed()).await;
    assert_eq!(faults(&running, Fault::Idle), 3);
}

#[tokio::test]
async fn a_request_under_way_is_not_idle() {
    let pod = pod::start(|_| async {
        tokio::time::sleep(SHORT * 3).await;
        "slow"
    })
    .await;
    let rules = Rules {
        idle_after: SHORT,
        head_within: SHORT,
        body_within: SHORT,
        taken_within: SHORT,
        ..lenient()
    };
    let running = Running::start_by(rules, None)
        .await
        .with(&json!({}), &[(pod, Ready)]);
    assert_eq!(client::get(running.public, "/").await.body(), "slow");
    let mut over2 = client::connect2(running.public).await;
    let asked = http::Request::get(format!("http://{HOST}/")).body(full(""));
    let response = over2.send_request(asked.unwrap()).await.unwrap();
    assert_eq!(client::whole(response).await.body(), "slow");
}
