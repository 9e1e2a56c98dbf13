use std::{net::SocketAddr, time::Duration};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use tokio::net::TcpListener;
use wasmfn_crds::token::{MasterKey, Purpose};
use wasmfn_gateway::{
    admin::{self, Admin},
    endpoints::Phase::Ready,
};
use wasmfn_report::{FunctionId, GatewayFunction, GatewayLine};

use crate::{
    client::{full, get, send, whole},
    pod, raw,
    setup::{KEY, PATIENCE, Running, until},
};

async fn start(running: &Running) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Admin {
        gateway: running.gateway.clone(),
        namespace: "wasmfn".into(),
        pod: "gateway-1".into(),
    };
    tokio::spawn(admin::serve(admin, listener));
    address
}

async fn ask(address: SocketAddr, path: &str, token: &str) -> Response<Incoming> {
    let asked = Request::get(path)
        .header("host", "x")
        .header("authorization", format!("Bearer {token}"))
        .body(full(""))
        .unwrap();
    send(address, asked).await.unwrap()
}

#[tokio::test]
async fn readiness_follows_what_was_heard_and_whether_it_leaves() {
    let running = Running::start().await;
    let address = start(&running).await;
    let ready = || async { ask(address, "/readyz", "").await.status().as_u16() };
    assert_eq!(ready().await, 503);
    running.functions(&[]);
    assert_eq!(ready().await, 503);
    running.pods(&[]);
    assert_eq!(ready().await, 200);
    running.gateway.leave();
    assert_eq!(ready().await, 503);
    assert_eq!(ask(address, "/healthz", "").await.status(), 200);
}

#[tokio::test]
async fn metrics_tell_what_happened_and_forget_what_is_gone() {
    let pod = pod::start(|_| async { "ok" }).await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let address = start(&running).await;
    get(running.public, "/").await;
    let text = || async {
        let response = whole(ask(address, "/metrics", "").await).await;
        String::from_utf8(response.into_body().to_vec()).unwrap()
    };
    let found = text().await;
    for line in [
        r#"wasmfn_gateway_requests_total{namespace="n",function="f",code="2xx",reason=""} 1"#,
        r#"wasmfn_gateway_in_flight{namespace="n",function="f"} 0"#,
        r#"wasmfn_gateway_queued{namespace="n",function="f"} 0"#,
        r#"wasmfn_gateway_request_duration_seconds_count{namespace="n",function="f"} 1"#,
        r#"wasmfn_gateway_answer_duration_seconds_count{by="guest",code="2xx"} 1"#,
        "wasmfn_gateway_connections ",
        "wasmfn_gateway_held_bytes 0",
    ] {
        assert!(found.contains(line), "{line}\n{found}");
    }
    running.functions(&[]);
    get(running.public, "/").await;
    let found = text().await;
    assert!(!found.contains(r#"function="f""#), "{found}");
    ask_for_nothing(running.public).await;
    let found_after = text().await;
    for (found, line) in [
        (
            &found,
            r#"wasmfn_gateway_unrouted_total{entrance="public",reason="NotFound"} 1"#,
        ),
        (
            &found,
            r#"wasmfn_gateway_answer_duration_seconds_count{by="wasmfn",code="4xx"} 1"#,
        ),
        (
            &found_after,
            r#"wasmfn_gateway_faults_total{entrance="public",reason="Malformed"} 1"#,
        ),
    ] {
        assert!(found.contains(line), "{line}\n{found}");
    }
}

/// Says something that is no HTTP.
async fn ask_for_nothing(address: SocketAddr) {
    let answer = raw::ask(address, b"nothing\r\n\r\n").await;
    assert_eq!(raw::statuses(&answer), ["400"]);
}

/// Lines of a state stream.
struct Lines {
    body: Incoming,
    text: Vec<u8>,
}

impl Lines {
    async fn of(address: SocketAddr) -> Self {
        let token = MasterKey::new(&KEY)
            .unwrap()
            .derive(Purpose::Admin, "wasmfn");
        let response = ask(address, "/v1/state", &token).await;
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body(),
            text: Vec::new(),
        }
    }

    async fn next(&mut self) -> GatewayLine {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return serde_json::from_slice(&line).unwrap();
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let frame = frame.unwrap().unwrap().unwrap();
            self.text.extend(frame.into_data().unwrap());
        }
    }

    /// The next line about a function that is known, or gone.
    async fn route(&mut self) -> (FunctionId, Option<i64>) {
        loop {
            if let GatewayLine::Route {
                function,
                generation,
            } = self.next().await
            {
                return (function, generation);
            }
        }
    }

    /// The next line about a function's demand.
    async fn function(&mut self) -> GatewayFunction {
        loop {
            if let GatewayLine::Function(function) = self.next().await {
                return function;
            }
        }
    }
}

#[tokio::test]
async fn the_stream_tells_demand_as_it_changes() {
    let running = Running::serving(&json!({}), &[]).await;
    let address = start(&running).await;
    for token in ["", "wrong"] {
        assert_eq!(ask(address, "/v1/state", token).await.status(), 401);
    }
    let mut lines = Lines::of(address).await;
    assert!(matches!(lines.next().await, GatewayLine::Route { .. }));
    let first = lines.next().await;
    assert!(
        matches!(&first, GatewayLine::Gateway { pod, leaving: false, .. } if pod == "gateway-1"),
        "{first:?}"
    );
    assert_eq!(lines.next().await, GatewayLine::Synced);
    assert_eq!(lines.next().await, GatewayLine::Heartbeat);

    let public = running.public;
    let asked = tokio::spawn(async move { get(public, "/").await });
    let waiting = lines.function().await;
    assert_eq!((waiting.in_flight, waiting.queued), (0, 1));
    assert_eq!(waiting.function.uid, "uid-f");
    let pod = pod::start(|_| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "ok"
    })
    .await;
    running.pods(&[(pod, Ready)]);
    let flying = lines.function().await;
    assert_eq!((flying.in_flight, flying.queued), (1, 0));
    asked.await.unwrap();
    let done = lines.function().await;
    assert_eq!((done.in_flight, done.queued), (0, 0));

    running.gateway.leave();
    let left = lines.next().await;
    assert!(
        matches!(left, GatewayLine::Gateway { leaving: true, .. }),
        "{left:?}"
    );
}

#[tokio::test]
async fn the_stream_tells_which_functions_are_known_and_which_are_gone() {
    let running = Running::start().await;
    running.functions(&[("f", &json!({}))]);
    let address = start(&running).await;
    let mut lines = Lines::of(address).await;
    let (known, generation) = lines.route().await;
    assert_eq!((known.uid.as_str(), generation), ("uid-f", Some(0)));
    let line = lines.next().await;
    let tells = |line: &GatewayLine, wanted| matches!(line, GatewayLine::Gateway { tells_routes, .. } if *tells_routes == wanted);
    assert!(tells(&line, false), "pods have not been heard of: {line:?}");
    assert_eq!(lines.next().await, GatewayLine::Synced);
    running.pods(&[]);
    let line = lines.next().await;
    assert!(tells(&line, true), "{line:?}");
    running.functions(&[]);
    assert_eq!(lines.route().await, (known, None));
}

#[tokio::test]
async fn a_function_that_is_deleted_is_told_as_long_as_it_holds_requests() {
    let running = Running::serving(&json!({}), &[]).await;
    let address = start(&running).await;
    let public = running.public;
    let pod = pod::start(|_| futures::future::pending::<&str>()).await;
    running.pods(&[(pod, Ready)]);
    let asked = tokio::spawn(async move { get(public, "/").await });
    until("it is in flight", || running.counts() == (1, 0)).await;
    let mut lines = Lines::of(address).await;
    assert_eq!(lines.function().await.in_flight, 1);
    running.functions(&[]);
    asked.abort();
    assert_eq!(lines.function().await.in_flight, 0);
}

#[tokio::test]
async fn a_request_that_waits_is_in_the_stream_within_10_ms() {
    let running = Running::serving(&json!({}), &[]).await;
    let address = start(&running).await;
    let mut lines = Lines::of(address).await;
    let mut shortest = PATIENCE;
    for _ in 0..20 {
        let public = running.public;
        let (mut sender, task) = crate::client::connect(public).await;
        let asked = crate::client::request("/").body(full("")).unwrap();
        let began = std::time::Instant::now();
        let waiting = tokio::spawn(async move { sender.send_request(asked).await });
        assert_eq!(lines.function().await.queued, 1);
        shortest = shortest.min(began.elapsed());
        waiting.abort();
        task.abort();
        assert_eq!(lines.function().await.queued, 0);
    }
    // The shortest of many: other work on the machine only ever adds.
    assert!(shortest < Duration::from_millis(10), "{shortest:?}");
}

#[tokio::test]
async fn metrics_tell_how_long_requests_waited_and_why() {
    let running = Running::serving(&json!({}), &[]).await;
    let address = start(&running).await;
    let public = running.public;
    let asked = tokio::spawn(async move { get(public, "/").await });
    until("it waits", || running.counts() == (0, 1)).await;
    let pod = pod::start(|_| async { "ok" }).await;
    running.pods(&[(pod, Ready)]);
    asked.await.unwrap();
    let response = whole(ask(address, "/metrics", "").await).await;
    let found = String::from_utf8(response.into_body().to_vec()).unwrap();
    for (cause, count) in [("NoPod", 1), ("Loading", 0), ("Full", 0)] {
        let line = format!(
            r#"wasmfn_gateway_queue_wait_seconds_count{{namespace="n",function="f",cause="{cause}"}} {count}"#
        );
        assert!(found.contains(&line), "{line}\n{found}");
    }
}

#[tokio::test]
async fn what_is_refused_before_a_pod_is_chosen_is_not_left_in_the_counts() {
    let running = Running::serving(&json!({"suspend": true}), &[]).await;
    assert_eq!(get(running.public, "/").await.status(), 503);
    running.functions(&[("f", &json!({}))]);
    let upgrade = crate::client::request("/")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .body(full(""))
        .unwrap();
    let response = send(running.public, upgrade).await.unwrap();
    assert_eq!(response.status(), 501);
    assert_eq!(running.counts(), (0, 0));
}
