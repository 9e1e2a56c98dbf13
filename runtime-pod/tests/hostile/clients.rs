//! Clients that do harm: they send what is no request, or take nothing.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    cases::{Arena, HOSTILE},
    support::TOKEN,
};

/// How long guests may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The start of a request as a gateway sends it.
fn head(method: &str, path: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nwasmfn-token: {TOKEN}\r\nwasmfn-function: {HOSTILE}\r\n"
    )
}

/// Sends these bytes; the status of what comes back, if anything does.
async fn status(address: SocketAddr, request: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.ok()?);
    }
    std::str::from_utf8(&line)
        .ok()?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused() {
    let mut arena = Arena::new().await;
    arena.hostile(json!({})).await;
    let before = arena.at_rest().await;
    let with = |headers: &str| format!("{}{headers}\r\n", head("POST", "/"));
    let many: String = (0..300).map(|index| format!("x-{index}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(100 << 10));
    let cases = [
        (
            "two lengths",
            with("content-length: 1\r\ncontent-length: 2\r\n"),
            400,
        ),
        ("a length with a sign", with("content-length: +1\r\n"), 400),
        (
            "a coding that is none",
            with("transfer-encoding: none\r\n"),
            400,
        ),
        ("many headers", with(&many), 431),
        ("long headers", with(&long), 431),
        (
            "no end of the line",
            format!("{}content-length 5\r\n\r\n", head("POST", "/")),
            400,
        ),
    ];
    for (case, request, expected) in cases {
        let found = status(arena.world.address, &request).await;
        assert_eq!(found, Some(expected), "{case}");
        arena.is_well(case, before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_comes_ends_with_the_requests_time() {
    let mut arena = Arena::new().await;
    arena
        .hostile(json!({"limits": {"timeoutSeconds": 5}}))
        .await;
    let before = arena.at_rest().await;
    // The guest answers without reading, so the client hears of it.
    let request = format!("{}content-length: 1000000\r\n\r\n", head("POST", "/unread"));
    assert_eq!(status(arena.world.address, &request).await, Some(200));
    arena.is_well("a body that never comes", before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_ends_with_the_requests_time() {
    let mut arena = Arena::new().await;
    let limits = json!({"timeoutSeconds": 5, "responseBytes": "1Gi"});
    arena.hostile(json!({"limits": limits})).await;
    let before = arena.at_rest().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(arena.world.address).await.unwrap();
        let request = format!("{}\r\n", head("GET", "/forever"));
        stream.write_all(request.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    arena
        .world
        .until(HOSTILE, |report| report.in_flight == 10)
        .await;
    // The guests end; the connections, which nobody reads, a little later (`serve/stall.rs`).
    let deadline = Instant::now() + PATIENCE;
    while arena.memory() > before {
        assert!(Instant::now() < deadline, "{} bytes", arena.memory());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(streams);
    arena.is_well("unread", before).await;
}
