use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::net::TcpStream;
use wasmfn_gateway::endpoints::Phase::Ready;

use crate::{
    client::{self, full, get, request, whole},
    pod,
    setup::{LAG, Running, until},
};

/// Asks again and again over connections that it keeps as long as it may, until the gateway's door
/// is closed. Every request that found an open door must be answered.
async fn customer(address: std::net::SocketAddr, leaving: Arc<AtomicBool>) -> usize {
    let mut answered = 0;
    loop {
        // A connection that is refused was never a request.
        if TcpStream::connect(address).await.is_err() {
            assert!(leaving.load(Ordering::Acquire));
            return answered;
        }
        let (mut sender, _task) = client::connect(address).await;
        loop {
            let asked = request("/").body(full("")).unwrap();
            let response = whole(sender.send_request(asked).await.unwrap()).await;
            assert_eq!(response.body(), "ok");
            answered += 1;
            let closes = response.headers().get("connection").is_some();
            if closes {
                assert!(leaving.load(Ordering::Acquire));
                break;
            }
        }
        if leaving.load(Ordering::Acquire) {
            return answered;
        }
    }
}

#[tokio::test]
async fn leaving_loses_nothing_and_says_so() {
    let pod = pod::start(|request: axum::extract::Request| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(LAG * 2).await;
        }
        "ok"
    })
    .await;
    let mut running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let leaving = Arc::new(AtomicBool::new(false));
    let customers: Vec<_> = (0..8)
        .map(|_| tokio::spawn(customer(running.public, leaving.clone())))
        .collect();
    let address = running.public;
    let slow = tokio::spawn(async move { get(address, "/slow").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    leaving.store(true, Ordering::Release);
    let told = Instant::now();
    running.stop.take().unwrap().send(()).unwrap();
    for customer in customers {
        assert!(customer.await.unwrap() > 0);
    }
    // New connections are still taken while the news spreads.
    assert_eq!(get(running.public, "/").await.body(), "ok");
    assert!(told.elapsed() < LAG, "too slow a machine to tell");
    assert_eq!(
        slow.await.unwrap().body(),
        "ok",
        "what is in flight ends well"
    );
    running.served.await.unwrap();
    assert!(told.elapsed() >= LAG);
    assert!(TcpStream::connect(running.public).await.is_err());
}

#[tokio::test]
async fn connections_of_http2_are_told_to_go_elsewhere() {
    let pod = pod::start(|_| async { "ok" }).await;
    let mut running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let mut connection = client::connect2(running.public).await;
    let asked = || {
        http::Request::get(format!("http://{}/", client::HOST))
            .body(full(""))
            .unwrap()
    };
    let response = connection.send_request(asked()).await.unwrap();
    assert_eq!(whole(response).await.body(), "ok");
    running.stop.take().unwrap().send(()).unwrap();
    running.served.await.unwrap();
    assert!(connection.ready().await.is_err());
}

#[tokio::test]
async fn those_that_wait_when_it_leaves_are_served_or_answered() {
    let mut running = Running::serving(&json!({"scaling": {"maxQueueSeconds": 600}}), &[]).await;
    let address = running.public;
    let served = tokio::spawn(async move { get(address, "/").await });
    until("it waits", || running.counts() == (0, 1)).await;
    running.stop.take().unwrap().send(()).unwrap();
    until("it leaves", || running.gateway.is_leaving()).await;
    let pod = pod::start(|_| async { "ok" }).await;
    running.pods(&[(pod, Ready)]);
    assert_eq!(served.await.unwrap().body(), "ok");
    running.pods(&[]);
    let answered = tokio::spawn(async move { get(address, "/").await });
    until("it waits", || running.counts() == (0, 1)).await;
    let answered = answered.await.unwrap();
    assert_eq!(
        (answered.status().as_u16(), client::reason(&answered)),
        (503, "QueueTimeout")
    );
    running.served.await.unwrap();
}
