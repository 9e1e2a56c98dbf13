use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use wasmfn_gateway::endpoints::Phase::{Leaving, Ready, Starting};

use crate::{
    client::{full, get, reason, request, send, whole},
    pod,
    setup::{Running, until},
};

const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;

#[tokio::test]
async fn a_pod_that_takes_connections_before_it_serves_is_reached_once() {
    let running = Running::serving(&json!({}), &[]).await;
    let address = running.public;
    let waiting = tokio::spawn(join_all((0..50).map(move |_| get(address, "/"))));
    until("all wait", || running.counts() == (0, 50)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pod = listener.local_addr().unwrap();
    running.pods(&[(pod, Starting)]);
    // One connection to find out, and one request on it: it says that the function is loading.
    let (first, _) = listener.accept().await.unwrap();
    let second = tokio::time::timeout(Duration::from_millis(10), listener.accept()).await;
    assert!(
        second.is_err(),
        "one request is tried, on the connection that is there"
    );
    drop(first);
    pod::serve(listener, |_| async { "up" });
    let mut answers = waiting.await.unwrap();
    // The one that was inside when the connection broke is an idempotent one, without another pod.
    answers.retain(|answer| answer.body() != "up");
    assert!(answers.len() <= 1, "{answers:?}");
}

#[tokio::test]
async fn a_pod_that_refuses_connections_is_found_again_soon_after_it_is_back() {
    let address = pod::absent().await;
    let running = Running::serving(&json!({}), &[(address, Ready)]).await;
    let asked = get(running.public, "/");
    let back = async {
        until("it waits", || running.counts() == (0, 1)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        pod::serve(listener, |_| async { "back" });
        Instant::now()
    };
    let ((response, answered), back) =
        futures::join!(async { (asked.await, Instant::now()) }, back);
    assert_eq!(response.body(), "back");
    // It was away for 300 ms, so that its pauses are no longer than that.
    let took = answered.duration_since(back);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_pod_that_does_not_know_the_token_is_passed_over() {
    let stranger =
        pod::start(|_| async { (UNAUTHORIZED, [("wasmfn-refused", "Unauthorized")]) }).await;
    let echo = pod::echo().await;
    let running = Running::serving(&json!({}), &[(stranger, Ready), (echo, Leaving)]).await;
    let asked = request("/").method(Method::POST).body(full("x")).unwrap();
    let response = whole(send(running.public, asked).await.unwrap()).await;
    assert_eq!(
        (response.status().as_u16(), response.body().as_ref()),
        (200, &b"x"[..])
    );
    // Alone, it has requests wait, as long as one of the two may yet learn the token.
    let scaling = json!({"scaling": {"maxQueueSeconds": 1}});
    let running = Running::serving(&scaling, &[(stranger, Ready)]).await;
    let response = get(running.public, "/").await;
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (503, "QueueTimeout")
    );
    // A guest may answer 401 as it likes.
    let guest = pod::start(|_| async { (UNAUTHORIZED, "who are you?") }).await;
    let running = Running::serving(&json!({}), &[(guest, Ready)]).await;
    let response = get(running.public, "/").await;
    assert_eq!(
        (response.status().as_u16(), response.body().as_ref()),
        (401, &b"who are you?"[..])
    );
}

#[tokio::test]
async fn all_that_wait_hear_at_once_that_the_function_cannot_be_loaded() {
    let failed = Arc::new(AtomicBool::new(false));
    let tries = Arc::new(AtomicUsize::new(0));
    let (state, hits) = (failed.clone(), tries.clone());
    let pod = pod::start(move |_| {
        hits.fetch_add(1, Ordering::Relaxed);
        let word = if state.load(Ordering::Acquire) {
            "Failed"
        } else {
            "Loading"
        };
        async move { pod::refusal(word) }
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let address = running.public;
    let waiting = tokio::spawn(join_all((0..300).map(move |_| get(address, "/"))));
    until("all wait", || running.counts() == (0, 300)).await;
    let before = tries.load(Ordering::Relaxed);
    failed.store(true, Ordering::Release);
    let told = Instant::now();
    for response in waiting.await.unwrap() {
        assert_eq!(reason(&response), "LoadFailed");
    }
    assert!(
        told.elapsed() < Duration::from_secs(5),
        "{:?}",
        told.elapsed()
    );
    let asked = tries.load(Ordering::Relaxed) - before;
    assert!(
        asked < 30,
        "the pod was asked {asked} times for 300 requests"
    );
    assert!(running.function().queue.is_empty());
}
