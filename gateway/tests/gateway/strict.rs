//! What two readers could read in two ways is refused, and nothing of it reaches a guest.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::extract::Request as PodRequest;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use wasmfn_gateway::{endpoints::Phase::Ready, metrics::Fault, routes::Entrance};

use crate::{
    pod,
    raw::{ask, head, rest, statuses},
    setup::Running,
};

/// A gateway before a pod that counts the requests which came to it whole.
async fn counting() -> (Running, Arc<AtomicUsize>) {
    let whole = Arc::new(AtomicUsize::new(0));
    let count = whole.clone();
    let pod = pod::start(move |request: PodRequest| {
        let count = count.clone();
        async move {
            if request.into_body().collect().await.is_err() {
                return (StatusCode::INTERNAL_SERVER_ERROR, "broken");
            }
            count.fetch_add(1, Ordering::Relaxed);
            (StatusCode::OK, "ok")
        }
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    (running, whole)
}

#[tokio::test]
async fn odd_heads_are_refused() {
    let (running, whole) = counting().await;
    let get = "GET / HTTP/1.1";
    let post = "POST / HTTP/1.1";
    let many = "x: 1\r\n".repeat(200);
    let large = format!("x: {}\r\n", "a".repeat(70_000));
    let long = format!("GET /{} HTTP/1.1", "a".repeat(66_000));
    let cases = [
        // Line ends.
        (head(get, "x: 1\n"), "400"),
        (head(get, "x: 1\r\n\n"), "400"),
        (head("GET / HTTP/1.1\r", ""), "400"),
        ("GET / HTTP/1.1\nhost: f.n.localhost\n\n".into(), "400"),
        (format!("\n{}", head(get, "")), "400"),
        (head(get, "x: 1\rx: 2\r\n"), "400"),
        // Fields.
        (head(get, "x: 1\r\n folded\r\n"), "400"),
        (head(get, "x : 1\r\n"), "400"),
        (head(get, "x y: 1\r\n"), "400"),
        (head(get, ": 1\r\n"), "400"),
        (head(get, "x\r\n"), "400"),
        (head(get, "x: \0\r\n"), "400"),
        (head(get, "x: \u{b}\r\n"), "400"),
        (head(get, "x\0: 1\r\n"), "400"),
        (head(get, "host: f.n.localhost\r\n"), "400"),
        (head(get, "expect: the unexpected\r\n"), "400"),
        (head(get, &many), "431"),
        (head(get, &large), "431"),
        (head(&long, ""), "4"),
        // Lengths.
        (
            head(post, "content-length: 1\r\ncontent-length: 2\r\n") + "ab",
            "400",
        ),
        (
            head(post, "content-length: 1\r\ncontent-length: 1\r\n") + "a",
            "400",
        ),
        (head(post, "content-length: 1, 1\r\n") + "a", "400"),
        (head(post, "content-length: +1\r\n") + "a", "400"),
        (head(post, "content-length: -1\r\n") + "a", "400"),
        (head(post, "content-length: 1 1\r\n") + "a", "400"),
        (
            head(post, "content-length: 99999999999999999999\r\n") + "a",
            "400",
        ),
        (
            head(post, "content-length: 1\r\ntransfer-encoding: chunked\r\n") + "0\r\n\r\n",
            "400",
        ),
        (
            head(post, "transfer-encoding: chunked\r\ncontent-length: 1\r\n") + "0\r\n\r\n",
            "400",
        ),
        (
            head(post, "transfer-encoding: gzip\r\n") + "0\r\n\r\n",
            "400",
        ),
        (
            head(post, "transfer-encoding: gzip, chunked\r\n") + "0\r\n\r\n",
            "400",
        ),
        (
            head(post, "transfer-encoding: xchunked\r\n") + "0\r\n\r\n",
            "400",
        ),
        (
            head(
                post,
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            ) + "0\r\n\r\n",
            "400",
        ),
        (
            head("POST / HTTP/1.0", "transfer-encoding: chunked\r\n") + "0\r\n\r\n",
            "400",
        ),
        // Targets.
        (head("GET http://f.n.localhost/ HTTP/1.1", ""), "400"),
        (head("GET http://other/ HTTP/1.1", ""), "400"),
        (head("GET //other/ HTTP/1.1", ""), "400"),
        (head("GET /\\other/ HTTP/1.1", ""), "400"),
        (head("GET /a#b HTTP/1.1", ""), "400"),
        (head("GET a HTTP/1.1", ""), "400"),
        (head("GET ?a HTTP/1.1", ""), "400"),
        (head("OPTIONS * HTTP/1.1", ""), "400"),
        (head("GET u@f.n.localhost HTTP/1.1", ""), "400"),
        (head("GET /a b HTTP/1.1", ""), "400"),
        (head("GET  / HTTP/1.1", ""), "400"),
        (head("GET\t/ HTTP/1.1", ""), "400"),
        (head("GET /\0 HTTP/1.1", ""), "400"),
        (head("CONNECT f.n.localhost:80 HTTP/1.1", ""), "501"),
        (
            "GET / HTTP/1.1\r\nhost: u@f.n.localhost\r\n\r\n".into(),
            "400",
        ),
        ("GET / HTTP/1.1\r\n\r\n".into(), "400"),
        // Versions.
        (head("GET / HTTP/1.2", ""), "400"),
        (head("GET / HTTP/2.0", ""), "400"),
        (head("GET / http/1.1", ""), "400"),
        ("GET /\r\n\r\n".into(), "400"),
    ];
    for (request, expected) in &cases {
        // What follows shows where the gateway takes the request to end.
        let request = format!("{request}{}", head(get, "connection: close\r\n"));
        let answer = ask(running.public, request.as_bytes()).await;
        let shown = &request[..request.len().min(120)];
        let found = statuses(&answer);
        assert!(found[0].starts_with(expected), "{shown:?}: {answer:?}");
        let in_words = answer.contains("wasmfn-reason: ");
        assert!(in_words || found.len() == 1, "{shown:?}: {answer:?}");
    }
    // Requests that were refused in words leave the connection to the one that follows.
    let followed = whole.load(Ordering::Relaxed);
    assert!(followed < 20, "{followed} of {} came through", cases.len());
}

#[tokio::test]
async fn bad_chunks_never_make_a_body() {
    let (running, whole) = counting().await;
    let chunked = head("POST / HTTP/1.1", "transfer-encoding: chunked\r\n");
    let bodies = [
        "x\r\n",
        "-1\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "1\na\n0\n\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1;x\ny\r\na\r\n0\r\n\r\n",
        "1;x\0\r\na\r\n0\r\n\r\n",
        "0;x\0\r\n\r\n",
        "ffffffffffffffff1\r\na\r\n0\r\n\r\n",
        "0\r\nx: 1\n\r\n",
        "0\r\nx : 1\r\n\r\n",
        "0\r\n folded: 1\r\n\r\n",
        "0\r\nx: \0\r\n\r\n",
        "0\r\n\n",
    ];
    for body in bodies {
        // At once, and after the request was passed on.
        for split in [0, body.len() / 2] {
            let mut stream = TcpStream::connect(running.public).await.unwrap();
            let (first, second) = body.split_at(split);
            let begin = if split == 0 {
                String::new()
            } else {
                "3\r\nabc\r\n".into()
            };
            let first = format!("{chunked}{begin}{first}");
            stream.write_all(first.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            let second = format!("{second}{}", head("GET /smuggled HTTP/1.1", ""));
            let _ = stream.write_all(second.as_bytes()).await;
            let answer = rest(&mut stream).await;
            assert!(!answer.contains(" 200 "), "{body:?}: {answer:?}");
            assert!(statuses(&answer).len() <= 1, "{body:?}: {answer:?}");
        }
    }
    assert_eq!(whole.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn requests_after_one_another_are_taken_apart_as_they_were_meant() {
    let (running, whole) = counting().await;
    let requests = [
        head("POST / HTTP/1.1", "content-length: 38\r\n"),
        // A request inside of a body is a body.
        "GET /a HTTP/1.1\r\nhost: f.n.localhost\r\n\r\n"[..38].to_owned(),
        "\r\n".into(),
        head("POST / HTTP/1.1", "transfer-encoding: chunked\r\n"),
        "26\r\nGET /a HTTP/1.1\r\nhost: f.n.localhost\r\n\r\n0\r\nx-sum: 1\r\n\r\n".into(),
        head("GET / HTTP/1.1", "content-length: 0\r\n"),
        head("GET / HTTP/1.1", "connection: close\r\n"),
    ];
    let answer = ask(running.public, requests.concat().as_bytes()).await;
    assert_eq!(statuses(&answer), ["200"; 4], "{answer:?}");
    assert_eq!(whole.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn what_was_asked_before_is_answered_before_the_refusal() {
    let (running, _) = counting().await;
    let good = head("GET / HTTP/1.1", "");
    let bad = "GET / HTTP/1.1\r\nhost: f.n.localhost\n\r\n";
    let answer = ask(
        running.public,
        format!("{good}{good}{bad}{good}").as_bytes(),
    )
    .await;
    assert_eq!(statuses(&answer), ["200", "200", "400"], "{answer:?}");
    let faults = |fault| running.gateway.metrics.faults(Entrance::Public, fault);
    assert!(faults(Fault::Malformed) >= 1);
}
