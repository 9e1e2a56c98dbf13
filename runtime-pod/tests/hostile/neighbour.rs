//! What a neighbour notices while another function does harm.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    cases::{Arena, HOSTILE, NEIGHBOUR},
    support::client,
};

/// Requests that a percentile is taken of.
const REQUESTS: usize = 200;
/// Hostile requests at the same time.
const AT_ONCE: usize = 16;
/// What a neighbour may wait more than when it is quiet: generous, since the machine that tests is
/// shared. The figure itself is in `docs/performance.md`.
const MARGIN: Duration = Duration::from_millis(1500);

/// The 99th percentile of the neighbour's answers.
async fn p99(arena: &Arena) -> Duration {
    let mut times = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let started = Instant::now();
        let answer = arena.world.get(NEIGHBOUR, "/").await;
        assert_eq!(answer.status, 200);
        times.push(started.elapsed());
    }
    times.sort();
    times[REQUESTS * 99 / 100]
}

/// One request of a function that does harm, read to its end, if it gets that far.
pub async fn harm(address: SocketAddr, function: &str, path: &str) {
    let request = client::request(function, path);
    let request = request.body(Full::<Bytes>::default()).unwrap();
    if let Ok(response) = client::try_send(address, request).await {
        client::read(response).await;
    }
}

/// Harm that goes on: each request is followed by the next.
pub struct Harm {
    is_over: Arc<AtomicBool>,
    requests: Vec<JoinHandle<()>>,
}

impl Harm {
    /// So many requests at the same time.
    pub fn start(address: SocketAddr, path: &'static str, at_once: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let requests = (0..at_once)
            .map(|_| {
                let is_over = Arc::clone(&is_over);
                tokio::spawn(async move {
                    while !is_over.load(Ordering::Relaxed) {
                        harm(address, HOSTILE, path).await;
                    }
                })
            })
            .collect();
        Self { is_over, requests }
    }

    /// Waits for the last ones.
    pub async fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for request in self.requests {
            request.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_goes_on_while_others_do_harm() {
    let mut arena = Arena::new().await;
    let limits = json!({
        "cpuMillisecondsPerRequest": 500, "timeoutSeconds": 5, "memoryPerRequest": "32Mi",
    });
    arena.hostile(json!({"limits": limits})).await;
    let quiet = p99(&arena).await;
    for path in [
        "/recurse?count=10000000",
        "/leak-handles",
        "/large-call?count=20000000",
        "/log?count=20000",
        "/forever",
        "/panic",
    ] {
        let harm = Harm::start(arena.world.address, path, AT_ONCE);
        let beside = p99(&arena).await;
        harm.stop().await;
        println!("{path}: p99 {beside:?}, quiet {quiet:?}");
        assert!(
            beside < 4 * quiet + MARGIN,
            "{path}: {beside:?}, quiet {quiet:?}"
        );
    }
}
