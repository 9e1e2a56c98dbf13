use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;
use tokio::net::TcpListener;
use wasmfn_gateway::endpoints::Phase::{Leaving, Ready, Starting};

use crate::{
    client::{full, get, reason, request, send, whole},
    pod,
    setup::{Running, until},
};

#[tokio::test]
async fn a_refused_request_goes_elsewhere_with_its_body_intact() {
    let echo = pod::echo().await;
    for word in ["Unknown", "Loading", "Full", "Leaving", "Failed", "Novelty"] {
        let refusing = pod::refusing(word).await;
        for bytes in [0_usize, 1, 1000, 64 << 10, 1 << 20] {
            for chunked in [false, true] {
                // The refusing pod alone is ready, so that it is always tried first.
                let pods = [(refusing, Ready), (echo, Leaving)];
                let running = Running::serving(&json!({}), &pods).await;
                let body: Bytes = (0..bytes).map(|i| (i / 3) as u8).collect();
                let asked = request("/").method(Method::POST);
                let response = if chunked {
                    let pieces: Vec<_> = body
                        .chunks(1000)
                        .map(|piece| Ok::<_, Infallible>(Frame::data(body.slice_ref(piece))))
                        .collect();
                    let body = StreamBody::new(futures::stream::iter(pieces));
                    send(running.public, asked.body(body).unwrap()).await
                } else {
                    send(running.public, asked.body(full(body.clone())).unwrap()).await
                };
                let response = whole(response.unwrap()).await;
                let what = format!("{word} {bytes} {chunked}");
                assert_eq!(response.status(), 200, "{what}");
                assert!(response.body() == &body, "{what}");
                assert!(!response.headers().contains_key("wasmfn-refused"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_pod_that_cannot_be_reached_is_passed_over() {
    let (absent, echo) = (pod::absent().await, pod::echo().await);
    let running = Running::serving(&json!({}), &[(absent, Ready), (echo, Leaving)]).await;
    for _ in 0..20 {
        let asked = request("/").method(Method::POST).body(full("x")).unwrap();
        let response = whole(send(running.public, asked).await.unwrap()).await;
        assert_eq!(response.body(), "x");
    }
}

#[tokio::test]
async fn a_lost_pod_is_502_unless_the_request_can_be_repeated() {
    let (breaking, echo) = (pod::breaking("").await, pod::echo().await);
    let cases = [
        (Method::POST, "body", 502),
        (Method::POST, "", 502),
        (Method::PATCH, "body", 502),
        (Method::GET, "", 200),
        (Method::PUT, "body", 200),
        (Method::DELETE, "", 200),
    ];
    for (method, body, expected) in cases {
        let running = Running::serving(&json!({}), &[(breaking, Ready), (echo, Leaving)]).await;
        let asked = request("/")
            .method(method.clone())
            .body(full(body))
            .unwrap();
        let response = whole(send(running.public, asked).await.unwrap()).await;
        assert_eq!(response.status(), expected, "{method} {body:?}");
        if expected == 502 {
            assert_eq!(reason(&response), "PodLost");
        } else {
            assert_eq!(response.body(), body);
        }
        until("nothing is counted", || running.counts() == (0, 0)).await;
    }
}

#[tokio::test]
async fn a_request_that_ends_pods_ends_no_more_than_two() {
    let hits = Arc::new(AtomicU32::new(0));
    let mut pods = Vec::new();
    for _ in 0..4 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        pods.push((listener.local_addr().unwrap(), Ready));
        let hits = hits.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.readable().await.unwrap();
                hits.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let running = Running::serving(&json!({}), &pods).await;
    let response = get(running.public, "/").await;
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (502, "PodLost")
    );
    assert_eq!(hits.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_function_that_cannot_be_loaded_is_answered_at_once() {
    let pod = pod::refusing("Failed").await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let response = get(running.public, "/").await;
    assert_eq!(response.status(), 503);
    assert_eq!(reason(&response), "LoadFailed");
    assert_eq!(response.headers()["retry-after"], "1");
}

#[tokio::test]
async fn it_is_once_all_its_pods_have_said_so() {
    let (one, two) = (pod::refusing("Failed").await, pod::refusing("Failed").await);
    let running = Running::serving(&json!({}), &[(one, Ready), (two, Leaving)]).await;
    for _ in 0..5 {
        assert_eq!(reason(&get(running.public, "/").await), "LoadFailed");
    }
}

#[tokio::test]
async fn it_waits_while_a_pod_cannot_be_asked() {
    let failing = pod::refusing("Failed").await;
    for phase in [Ready, Starting] {
        let absent = pod::absent().await;
        let running = Running::serving(&json!({}), &[(failing, Ready), (absent, phase)]).await;
        let started = async {
            until("it waits", || running.counts() == (0, 1)).await;
            let listener = TcpListener::bind(absent).await.unwrap();
            pod::serve(listener, |_| async { "up" });
        };
        let (response, ()) = futures::join!(get(running.public, "/"), started);
        assert_eq!(response.body(), "up", "{phase:?}");
    }
}

#[tokio::test]
async fn what_the_pod_says_passes() {
    let pod = pod::start(|_| async {
        axum::response::Response::builder()
            .status(500)
            .header("wasmfn-reason", "Trapped")
            .body(axum::body::Body::from("{}"))
            .unwrap()
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let asked = request("/").header("x-request-id", "mine-8");
    let response = send(running.public, asked.body(full("")).unwrap()).await;
    let response = whole(response.unwrap()).await;
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (500, "Trapped")
    );
    // It is wasmfn's answer, which the pod gives in the guest's place.
    assert_eq!(response.headers()["x-request-id"], "mine-8");
}

#[tokio::test]
async fn idle_connections_are_used_again() {
    let peers = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = peers.clone();
    let router = axum::Router::new()
        .fallback(
            move |axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<
                std::net::SocketAddr,
            >| async move {
                seen.lock().unwrap().insert(peer);
                "ok"
            },
        )
        .into_make_service_with_connect_info::<std::net::SocketAddr>();
    tokio::spawn(axum::serve(listener, router).into_future());
    let running = Running::serving(&json!({}), &[(address, Ready)]).await;
    for _ in 0..20 {
        let asked = request("/").method(Method::POST).body(full("x")).unwrap();
        let response = whole(send(running.public, asked).await.unwrap()).await;
        assert_eq!(response.body(), "ok");
    }
    let connections = peers.lock().unwrap().len();
    assert!(connections < 5, "{connections} connections for 20 requests");
}
