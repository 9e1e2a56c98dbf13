use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{extract::Request as PodRequest, response::IntoResponse};
use futures::future::join_all;
use http::{Method, Request, header};
use serde_json::json;
use wasmfn_gateway::endpoints::Phase::Ready;

use crate::{
    client::{full, reason, send, whole},
    pod,
    setup::{Running, until},
};

/// A pod with so many slots for all functions together, each taken for a moment. Says how many
/// requests it has refused.
async fn crowded(slots: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let refused = Arc::new(AtomicUsize::new(0));
    let (free, refusals) = (Arc::new(AtomicUsize::new(slots)), refused.clone());
    let address = pod::start(move |request: PodRequest| {
        let (free, refusals) = (free.clone(), refusals.clone());
        async move {
            let taken = free.try_update(Ordering::AcqRel, Ordering::Acquire, |free| {
                free.checked_sub(1)
            });
            if taken.is_err() {
                refusals.fetch_add(1, Ordering::Relaxed);
                return pod::refusal("Full");
            }
            let body = axum::body::to_bytes(request.into_body(), 1000)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
            free.fetch_add(1, Ordering::AcqRel);
            body.into_response()
        }
    })
    .await;
    (address, refused)
}

async fn call(address: SocketAddr, function: &str, number: usize) {
    let asked = Request::builder()
        .uri("/")
        .method(Method::POST)
        .header(header::HOST, format!("{function}.n.localhost"))
        .body(full(number.to_string()))
        .unwrap();
    let response = whole(send(address, asked).await.unwrap()).await;
    assert_eq!(response.status(), 200, "{}", reason(&response));
    assert_eq!(response.body(), &number.to_string());
}

#[tokio::test]
async fn a_flood_of_one_function_does_not_starve_another() {
    let spec = json!({"scaling": {"maxQueued": 1000}});
    let running = Running::start().await;
    running.functions(&[("flood", &spec), ("other", &spec)]);
    let address = running.public;
    let (flood, other) = (running.named("flood"), running.named("other"));
    let flooding = tokio::spawn(join_all(
        (0..400).map(move |number| call(address, "flood", number)),
    ));
    until("the flood waits", || flood.counts.queued() == 400).await;
    let others = tokio::spawn(join_all(
        (0..20).map(move |number| call(address, "other", number)),
    ));
    until("the others wait", || other.counts.queued() == 20).await;
    let (pod, refused) = crowded(4).await;
    running.pods(&[(pod, Ready)]);
    others.await.unwrap();
    let left = flood.counts.queued();
    assert!(
        left > 300,
        "the others were served after {} of 400",
        400 - left
    );
    flooding.await.unwrap();
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused < 2 * 420, "{refused} refusals for 420 requests");
    until("nothing is counted", || {
        flood.counts.is_idle() && other.counts.is_idle()
    })
    .await;
}

#[tokio::test]
async fn thousands_that_wait_for_the_first_pod_are_all_served() {
    let spec = json!({"scaling": {"maxQueued": 2000}});
    let running = Running::serving(&spec, &[]).await;
    let address = running.public;
    let waiting = tokio::spawn(join_all(
        (0..2000).map(move |number| call(address, "f", number)),
    ));
    until("all wait", || running.counts() == (0, 2000)).await;
    let (pod, refused) = crowded(50).await;
    running.pods(&[(pod, Ready)]);
    waiting.await.unwrap();
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused < 2 * 2000, "{refused} refusals for 2000 requests");
    until("nothing is counted", || running.counts() == (0, 0)).await;
    assert!(running.function().queue.is_empty());
}
