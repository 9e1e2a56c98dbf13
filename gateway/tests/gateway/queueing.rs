use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{body::Body, response::IntoResponse};
use futures::future::join_all;
use http::Method;
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use wasmfn_gateway::endpoints::Phase::{Ready, Starting};

use crate::{
    client::{full, get, reason, request, send, whole},
    pod,
    raw::head,
    setup::{Running, until},
};

/// Requests of `count` clients at the same time, each with a body of its own.
async fn flood(running: &Running, count: usize) -> Vec<(u16, String)> {
    let address = running.public;
    join_all((0..count).map(|number| async move {
        let body = number.to_string();
        let asked = request("/").method(Method::POST).body(full(body.clone()));
        let response = whole(send(address, asked.unwrap()).await.unwrap()).await;
        if response.status() == 200 {
            assert_eq!(response.body(), &body);
        }
        (response.status().as_u16(), reason(&response).to_owned())
    }))
    .await
}

#[tokio::test]
async fn requests_wait_until_a_pod_appears_and_none_is_lost() {
    let running = Running::serving(&json!({}), &[]).await;
    let echo = pod::echo().await;
    let (answers, ()) = futures::join!(flood(&running, 200), async {
        until("all wait", || running.counts() == (0, 200)).await;
        running.pods(&[(echo, Ready)]);
    });
    assert!(answers.iter().all(|(status, _)| *status == 200));
    until("nothing is counted", || running.counts() == (0, 0)).await;
    assert_eq!(running.gateway.budget.free(), 1 << 20);
}

#[tokio::test]
async fn a_pod_that_starts_takes_its_first_request_before_it_is_ready() {
    let running = Running::serving(&json!({}), &[]).await;
    let address = pod::absent().await;
    let asked = get(running.public, "/");
    let started = async {
        until("it waits", || running.counts() == (0, 1)).await;
        running.pods(&[(address, Starting)]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        pod::serve(listener, |_| async { "up" });
        Instant::now()
    };
    let ((response, answered), started) =
        futures::join!(async { (asked.await, Instant::now()) }, started);
    assert_eq!(response.body(), "up");
    let took = answered.duration_since(started);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_function_that_is_loading_answers_a_moment_after_it_has_loaded() {
    let loaded = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU32::new(0));
    let (state, hits) = (loaded.clone(), asked.clone());
    let pod = pod::start(move |_| {
        hits.fetch_add(1, Ordering::Relaxed);
        let loaded = state.load(Ordering::Acquire);
        async move {
            if loaded {
                "loaded".into_response()
            } else {
                pod::refusal("Loading")
            }
        }
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let loading = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        loaded.store(true, Ordering::Release);
        Instant::now()
    };
    let ((response, answered), loaded_at) = futures::join!(
        async { (get(running.public, "/").await, Instant::now()) },
        loading
    );
    assert_eq!(response.body(), "loaded");
    let took = answered.duration_since(loaded_at);
    assert!(took < Duration::from_secs(1), "{took:?}");
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked < 80, "{asked} questions in 300 ms");
}

#[tokio::test]
async fn the_queue_is_bounded_in_number_and_in_time() {
    let scaling = json!({"scaling": {"maxQueued": 3, "maxQueueSeconds": 1}});
    let running = Running::serving(&scaling, &[]).await;
    let started = Instant::now();
    let answers = flood(&running, 10).await;
    assert!(started.elapsed() >= Duration::from_secs(1));
    let of = |word: &str| {
        let found = answers.iter().filter(|(status, reason)| {
            assert_eq!(*status, 503);
            reason == word
        });
        found.count()
    };
    assert_eq!((of("QueueFull"), of("NoCapacity")), (7, 3), "{answers:?}");
    let pod = pod::refusing("Full").await;
    running.pods(&[(pod, Ready)]);
    let response = get(running.public, "/").await;
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (503, "QueueTimeout")
    );
}

#[tokio::test]
async fn who_waits_hears_at_once_that_the_function_is_gone_or_suspended() {
    for (objects, expected) in [
        (vec![], "Deleted"),
        (vec![("f", json!({"suspend": true}))], "Suspended"),
    ] {
        let running = Running::serving(&json!({}), &[]).await;
        let change = async {
            until("it waits", || running.counts() == (0, 1)).await;
            let objects: Vec<_> = objects.iter().map(|(name, spec)| (*name, spec)).collect();
            running.functions(&objects);
            Instant::now()
        };
        let ((response, answered), changed) = futures::join!(
            async { (get(running.public, "/").await, Instant::now()) },
            change
        );
        assert_eq!(
            (response.status().as_u16(), reason(&response)),
            (503, expected)
        );
        let took = answered.duration_since(changed);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let running = Running::serving(&json!({"suspend": true}), &[]).await;
    assert_eq!(reason(&get(running.public, "/").await), "Suspended");
}

#[tokio::test]
async fn a_pod_that_takes_one_at_a_time_serves_all_in_the_end() {
    let busy = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(AtomicU32::new(0));
    let (state, full) = (busy.clone(), refused.clone());
    let pod = pod::start(move |request| {
        let (busy, full) = (state.clone(), full.clone());
        async move {
            if busy.swap(true, Ordering::AcqRel) {
                full.fetch_add(1, Ordering::Relaxed);
                return pod::refusal("Full");
            }
            let body = axum::body::to_bytes(request.into_body(), 100)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
            busy.store(false, Ordering::Release);
            Body::from(body).into_response()
        }
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let started = Instant::now();
    let answers = flood(&running, 100).await;
    assert!(
        answers.iter().all(|(status, _)| *status == 200),
        "{answers:?}"
    );
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused < 1000, "{refused} refusals for 100 requests");
    until("nothing is counted", || running.counts() == (0, 0)).await;
}

#[tokio::test]
async fn one_that_runs_long_holds_nobody_up() {
    let first = Arc::new(AtomicBool::new(true));
    let pod = pod::start(move |_| {
        let slow = first.swap(false, Ordering::AcqRel);
        async move {
            if slow {
                futures::future::pending::<()>().await;
            }
            "done"
        }
    })
    .await;
    let running = Running::serving(&json!({}), &[]).await;
    let address = running.public;
    let slow = tokio::spawn(async move { get(address, "/").await });
    until("it waits", || running.counts() == (0, 1)).await;
    let others = tokio::spawn(async move { join_all((0..20).map(|_| get(address, "/"))).await });
    until("all wait", || running.counts() == (0, 21)).await;
    running.pods(&[(pod, Ready)]);
    for response in others.await.unwrap() {
        assert_eq!(response.body(), "done");
    }
    until("it alone is in flight", || running.counts() == (1, 0)).await;
    assert!(
        running.function().queue.is_empty(),
        "it does not count as waiting"
    );
    slow.abort();
}

#[tokio::test]
async fn a_client_that_gives_up_leaves_the_queue() {
    let running = Running::serving(&json!({}), &[]).await;
    let (mut sender, task) = crate::client::connect(running.public).await;
    let asked = request("/").body(full("")).unwrap();
    let waiting = tokio::spawn(sender.send_request(asked));
    until("it waits", || running.counts() == (0, 1)).await;
    task.abort();
    assert!(waiting.await.unwrap().is_err());
    until("it is gone", || running.counts() == (0, 0)).await;
    assert!(running.function().queue.is_empty());
}

#[tokio::test]
async fn one_that_gives_up_with_its_body_unread_does_so_too() {
    for lines in [
        "content-length: 100000\r\n",
        "transfer-encoding: chunked\r\n",
    ] {
        let running = Running::serving(&json!({}), &[]).await;
        let mut stream = TcpStream::connect(running.public).await.unwrap();
        let asked = head("POST / HTTP/1.1", lines);
        let part = format!("{asked}8000\r\n{}", "a".repeat(0x8000));
        stream.write_all(part.as_bytes()).await.unwrap();
        until("it waits", || running.counts() == (0, 1)).await;
        drop(stream);
        until("it is gone", || running.counts() == (0, 0)).await;
        assert!(running.function().queue.is_empty());
    }
}
