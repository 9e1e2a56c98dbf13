//! What a request costs in threads that are woken.

use std::{convert::Infallible, sync::mpsc, thread, time::Duration};

use axum::{body::Body, extract::Request as PodRequest};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::runtime::Builder;
use wasmfn_gateway::endpoints::Phase::Ready;

use crate::{
    client::{self, full, request},
    pod,
    setup::Running,
};

const THREADS: usize = 2;
const REQUESTS: u32 = 300;

/// What `work` makes, on a thread of its own, which goes on with what it has begun.
fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, made) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let _ = sender.send(work.await);
            std::future::pending::<()>().await;
        });
    });
    made.recv().unwrap()
}

async fn ask(address: std::net::SocketAddr) {
    let (mut sender, _task) = client::connect(address).await;
    for _ in 0..REQUESTS {
        let asked = request("/").body(full("")).unwrap();
        let answer = sender.send_request(asked).await.unwrap();
        answer.into_body().collect().await.unwrap();
        // So that all threads sleep when the next one comes.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_request_wakes_a_thread_twice() {
    let pod = apart(pod::start(|_: PodRequest| async {
        let part = async { Ok::<_, Infallible>(Bytes::from_static(b"answer")) };
        Body::from_stream(futures::stream::once(part))
    }));
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .unwrap();
    let serving = async move { Running::serving(&json!({}), &[(pod, Ready)]).await };
    let running = runtime.block_on(runtime.spawn(serving)).unwrap();
    let woken = || -> u64 {
        let metrics = runtime.metrics();
        let of = |thread| metrics.worker_park_unpark_count(thread);
        (0..THREADS).map(of).sum::<u64>() / 2
    };
    let before = woken();
    apart(ask(running.public));
    // By the request, and by the answer; and now and then by a clock.
    let most = 5 * u64::from(REQUESTS) / 2;
    let woken = woken() - before;
    assert!(woken < most, "{woken} times for {REQUESTS} requests");
}
