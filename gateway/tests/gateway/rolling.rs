use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::Request as PodRequest,
    response::{IntoResponse, Response},
};
use http::Method;
use serde_json::json;
use wasmfn_gateway::endpoints::Phase::{Leaving, Ready, Starting};

use crate::{
    client::{connect, full, request, whole},
    pod,
    setup::Running,
};

/// A pod that answers with what it was sent, until it is told to go: then it refuses.
struct Pod {
    address: SocketAddr,
    up: Arc<AtomicBool>,
    gone: Arc<AtomicBool>,
}

impl Pod {
    async fn start() -> Self {
        let (up, gone) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let state: (Arc<AtomicBool>, Arc<AtomicBool>) = (up.clone(), Arc::clone(&gone));
        let address = pod::start(move |request: PodRequest| {
            let word = match (
                state.0.load(Ordering::Acquire),
                state.1.load(Ordering::Acquire),
            ) {
                (_, true) => Some("Leaving"),
                (false, _) => Some("Loading"),
                _ => None,
            };
            async move {
                match word {
                    Some(word) => pod::refusal(word),
                    None => answer(request).await,
                }
            }
        })
        .await;
        Self { address, up, gone }
    }
}

async fn answer(request: PodRequest) -> Response {
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
    tokio::time::sleep(Duration::from_millis(3)).await;
    body.unwrap().into_response()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_replaced_under_load_and_nothing_is_lost() {
    let mut old = Pod::start().await;
    old.up.store(true, Ordering::Release);
    let running = Running::serving(&json!({}), &[(old.address, Ready)]).await;
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU32::new(0));
    let customers: Vec<_> = (0..20)
        .map(|customer| {
            let (over, answered) = (over.clone(), answered.clone());
            let address = running.public;
            tokio::spawn(async move {
                let (mut sender, _task) = connect(address).await;
                let mut number = 0;
                while !over.load(Ordering::Acquire) {
                    // Some are short and some are not, and none may be repeated.
                    let id = format!("{customer}/{number} ").repeat(1 + number % 3 * 3000);
                    let asked = request("/").method(Method::POST).body(full(id.clone()));
                    sender.ready().await.unwrap();
                    let response = sender.send_request(asked.unwrap()).await.unwrap();
                    let response = whole(response).await;
                    assert_eq!(response.status(), 200, "{:?}", response.body());
                    assert!(response.body() == &id, "not the answer to its own question");
                    answered.fetch_add(1, Ordering::Relaxed);
                    number += 1;
                }
            })
        })
        .collect();
    for _ in 0..10 {
        let new = Pod::start().await;
        running.pods(&[(old.address, Ready), (new.address, Starting)]);
        tokio::time::sleep(Duration::from_millis(30)).await;
        // Ready before it has loaded the function, as pods may be.
        running.pods(&[(old.address, Leaving), (new.address, Ready)]);
        tokio::time::sleep(Duration::from_millis(20)).await;
        // For a moment nobody serves: requests wait.
        old.gone.store(true, Ordering::Release);
        tokio::time::sleep(Duration::from_millis(30)).await;
        new.up.store(true, Ordering::Release);
        running.pods(&[(new.address, Ready)]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        old = new;
    }
    over.store(true, Ordering::Release);
    for customer in customers {
        customer.await.unwrap();
    }
    // Some by each pod, also on a machine that has other things to do.
    assert!(answered.load(Ordering::Relaxed) > 100);
    assert_eq!(running.counts(), (0, 0));
    assert!(running.function().queue.is_empty());
}
