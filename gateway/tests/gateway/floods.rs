//! Clients that ask for more than their part.

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use wasmfn_gateway::{endpoints::Phase::Ready, listener::Rules, metrics::Fault, routes::Entrance};

use crate::{
    client::{self, HOST, full, get, request, send, whole},
    pod,
    raw::{head, rest, statuses},
    setup::{Running, lenient, until},
};

fn faults(running: &Running, fault: Fault) -> u64 {
    running.gateway.metrics.faults(Entrance::Public, fault)
}

#[tokio::test]
async fn a_client_that_resets_what_it_asks_for_is_cut_off() {
    let pod = pod::start(|_| futures::future::pending::<&str>()).await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let mut connection = client::connect2(running.public).await;
    let mut resets = 0;
    while connection.ready().await.is_ok() {
        let asked = http::Request::get(format!("http://{HOST}/")).body(full(""));
        let asking = connection.send_request(asked.unwrap());
        // Begun, and given up.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(2), asking).await;
        resets += 1;
        assert!(resets < 1000, "it may go on for ever");
    }
    assert!(resets > 100, "{resets}: it may change its mind");
    until("nothing is counted", || running.counts() == (0, 0)).await;
    assert_eq!(faults(&running, Fault::ResetFlood), 1);
    let mut other = client::connect2(running.public).await;
    let asked = http::Request::get("http://nobody/").body(full("")).unwrap();
    assert_eq!(other.send_request(asked).await.unwrap().status(), 404);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_others_to_go() {
    let pod = pod::echo().await;
    let rules = Rules {
        max_connections: 2,
        ..lenient()
    };
    let running = Running::start_by(rules, None)
        .await
        .with(&json!({}), &[(pod, Ready)]);
    let (mut first, task) = client::connect(running.public).await;
    let (mut second, _task) = client::connect(running.public).await;
    for connection in [&mut first, &mut second] {
        let asked = request("/").body(full("")).unwrap();
        whole(connection.send_request(asked).await.unwrap()).await;
    }
    let address = running.public;
    let waiting = tokio::spawn(async move { get(address, "/").await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    task.abort();
    assert_eq!(waiting.await.unwrap().status(), 200);
}

#[tokio::test]
async fn one_client_has_so_many_connections_and_no_more() {
    let pod = pod::echo().await;
    let rules = Rules {
        max_connections_per_client: Some(2),
        ..lenient()
    };
    let running = Running::start_by(rules, None)
        .await
        .with(&json!({}), &[(pod, Ready)]);
    let mut first = TcpStream::connect(running.public).await.unwrap();
    let _second = TcpStream::connect(running.public).await.unwrap();
    let mut third = TcpStream::connect(running.public).await.unwrap();
    let _ = third.write_all(head("GET / HTTP/1.1", "").as_bytes()).await;
    assert_eq!(rest(&mut third).await, "");
    assert_eq!(faults(&running, Fault::TooManyConnections), 1);
    let asked = head("GET / HTTP/1.1", "connection: close\r\n");
    first.write_all(asked.as_bytes()).await.unwrap();
    assert_eq!(statuses(&rest(&mut first).await), ["200"]);
    until("its place is free", || {
        running.gateway.metrics.connections() == 1
    })
    .await;
    assert_eq!(get(running.public, "/").await.status(), 200);
}

#[tokio::test]
async fn a_head_over_http2_is_bounded_as_well() {
    let pod = pod::echo().await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    for (bytes, expected) in [(10_000, Some(200)), (70_000, None)] {
        let mut connection = client::connect2(running.public).await;
        let asked = http::Request::get(format!("http://{HOST}/"))
            .header("x", "a".repeat(bytes))
            .body(full(""))
            .unwrap();
        let answered = connection.send_request(asked).await;
        match (expected, answered) {
            (Some(status), Ok(response)) => assert_eq!(response.status(), status),
            (None, Ok(response)) => assert_eq!(response.status(), 431),
            (None, Err(_)) => {}
            (Some(_), Err(error)) => panic!("{bytes}: {error}"),
        }
    }
    let asked = request("/").header("x", "a".repeat(70_000));
    let response = send(running.public, asked.body(full("")).unwrap()).await;
    assert_eq!(response.unwrap().status(), 431);
    assert_eq!(faults(&running, Fault::HeadTooLarge), 1);
}

#[tokio::test]
async fn one_functions_requests_leave_places_to_anothers() {
    let rules = Rules {
        max_requests: 4,
        ..lenient()
    };
    let running = Running::start_by(rules, None).await;
    running.functions(&[("f", &json!({})), ("g", &json!({}))]);
    let (address, flood) = (running.public, running.named("f"));
    for number in 1..=2 {
        tokio::spawn(async move { get(address, "/").await });
        until("it waits", || flood.counts.queued() == number).await;
    }
    let third = get(address, "/").await;
    assert_eq!(client::reason(&third), "NoCapacity");
    assert_eq!(third.headers()["retry-after"], "1");
    let told = String::from_utf8_lossy(third.body());
    assert!(told.contains("as it leaves to others"), "{told}");
    let other = http::Request::get("/").header("host", "g.n.localhost");
    let asked = other.body(full("")).unwrap();
    let other = tokio::spawn(send(address, asked));
    until("it waits", || running.named("g").counts.queued() == 1).await;
    running.pods(&[(pod::echo().await, Ready)]);
    assert_eq!(other.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn requests_beyond_the_bound_are_refused_and_the_others_finished() {
    let (release, released) = tokio::sync::watch::channel(false);
    let pod = pod::start(move |_| {
        let mut released = released.clone();
        async move {
            released.wait_for(|released| *released).await.unwrap();
            "late"
        }
    })
    .await;
    let rules = Rules {
        max_requests: 1,
        ..lenient()
    };
    let running = Running::start_by(rules, None).await;
    let running = running.with(&json!({}), &[(pod, Ready)]);
    let address = running.public;
    let begun = tokio::spawn(async move { get(address, "/").await });
    until("it is in flight", || running.counts() == (1, 0)).await;
    let refused = get(running.public, "/").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(client::reason(&refused), "NoCapacity");
    release.send_replace(true);
    assert_eq!(begun.await.unwrap().body(), "late");
    until("there is room", || running.counts() == (0, 0)).await;
    assert_eq!(get(running.public, "/").await.status(), 200);
}
