//! The admin port, and how a pod leaves.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use support::{
    World,
    client::{self, Held},
    guests,
};
use tokio::net::TcpListener;
use wasmfn_report::RuntimeLine;
use wasmfn_runtime::tokens::Tokens;

const ADMIN_TOKEN: &str = "admin-token";

struct Admin {
    address: SocketAddr,
    is_gone: Arc<AtomicBool>,
}

async fn admin(world: &mut World) -> Admin {
    std::fs::write(world.folder.path().join("admin-token"), ADMIN_TOKEN).unwrap();
    let tokens = Tokens::open(world.folder.path().to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let is_gone = Arc::new(AtomicBool::new(false));
    world
        .runtime
        .serve_admin(listener, tokens, Arc::clone(&is_gone));
    Admin { address, is_gone }
}

impl Admin {
    fn request(path: &str, token: &str) -> Request<Full<Bytes>> {
        Request::builder()
            .uri(path)
            .header("host", "pod")
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .unwrap()
    }

    async fn status(&self, path: &str, token: &str) -> StatusCode {
        client::send(self.address, Self::request(path, token))
            .await
            .status()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_are_open_and_state_asks_for_the_token() {
    let mut world = World::new().await;
    let admin = admin(&mut world).await;
    assert_eq!(admin.status("/healthz", "").await, 200);
    assert_eq!(admin.status("/readyz", "").await, 503);
    assert_eq!(admin.status("/metrics", "").await, 200);
    for (token, status) in [("", 401), (support::TOKEN, 401), (ADMIN_TOKEN, 200)] {
        assert_eq!(admin.status("/v1/state", token).await, status, "{token}");
    }
    world.registry.push("r/hello:1", guests::bytes("v1"));
    world.serve("hello", json!({"image": "r/hello:1"})).await;
    assert_eq!(admin.status("/readyz", "").await, 200);
    admin.is_gone.store(true, Ordering::SeqCst);
    assert_eq!(admin.status("/readyz", "").await, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_stream_tells_what_is_served() {
    let mut world = World::new().await;
    let admin = admin(&mut world).await;
    let digest = world.registry.push("r/hello:1", guests::bytes("v1"));
    world.serve("hello", json!({"image": "r/hello:1"})).await;
    let request = Admin::request("/v1/state", ADMIN_TOKEN);
    let mut body = client::send(admin.address, request).await.into_body();
    let mut text = String::new();
    while !text.contains("Synced") {
        let frame = body.frame().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    let served = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find_map(|line| match line {
            RuntimeLine::Function(function) => function.serving,
            _ => None,
        });
    assert_eq!(served.unwrap().digest, digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_pod_serves_on_and_a_closing_one_finishes() {
    let mut world = World::new().await;
    world.registry.push("r/answer:1", guests::bytes("answer"));
    world.serve("hello", json!({"image": "r/answer:1"})).await;
    world.runtime.leave();
    let answer = world.get("hello", "/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), "close");

    // The first one is not taken for the slow one.
    world.until("hello", |report| report.in_flight == 0).await;
    let address = world.address;
    let slow = Held::start(address, "hello");
    world.until("hello", |report| report.in_flight == 1).await;
    world.runtime.close();
    assert_eq!(slow.end().await.text, "end");
    let patience = tokio::time::timeout(Duration::from_secs(10), async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    assert!(patience.await.is_ok(), "the port is still open");
}
