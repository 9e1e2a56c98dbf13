//! The load against a server that is not always right.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};

use super::*;

/// Serves on loopback what `answer` makes of each path and query.
async fn serve(answer: fn(&str) -> Response<Full<Bytes>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<_>| async move {
                let _: &hyper::body::Incoming = request.body();
                Ok::<_, Infallible>(answer(&request.uri().to_string()))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    base
}

fn plan(base: String) -> LoadPlan {
    LoadPlan {
        base,
        requests: 40,
        concurrency: 4,
        ..LoadPlan::default()
    }
}

#[tokio::test]
async fn each_request_is_answered_with_its_own_id() {
    let base = serve(|uri| Response::new(Full::from(format!("v1 {uri}")))).await;
    let report = run_load(plan(base)).await.expect("runs");
    report.none_lost().expect("none lost");
    assert_eq!(report.sent, 40);
    assert_eq!(report.bodies, BTreeMap::from([("v1 /?id={id}".into(), 40)]));
    assert!(report.p50_milliseconds <= report.p99_milliseconds);
}

#[tokio::test]
async fn a_foreign_answer_counts_as_lost() {
    let base = serve(|_| Response::new(Full::from("somebody else's"))).await;
    let report = run_load(plan(base)).await.expect("runs");
    assert_eq!(report.good, 0);
    let error = report.none_lost().expect_err("all are lost");
    assert!(error.to_string().contains("not its own"), "{error}");
}

#[tokio::test]
async fn an_error_counts_as_lost() {
    let base = serve(|_| {
        let mut response = Response::new(Full::from("busy"));
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        response
    })
    .await;
    let report = run_load(plan(base)).await.expect("runs");
    assert_eq!(report.statuses, BTreeMap::from([(503, 40)]));
    report.none_lost().expect_err("all are lost");
}

#[tokio::test]
async fn nobody_there_counts_as_lost() {
    // Refuses, since it does not listen.
    let held = TcpSocket::new_v4().expect("a socket");
    held.bind("127.0.0.1:0".parse().expect("an address"))
        .expect("binds");
    let base = format!("http://{}", held.local_addr().expect("an address"));
    let report = run_load(plan(base)).await.expect("runs");
    assert_eq!((report.sent, report.good), (40, 0));
}

#[tokio::test]
async fn load_needs_an_end() {
    let endless = LoadPlan {
        requests: 0,
        ..plan("http://127.0.0.1:1".into())
    };
    assert!(run_load(endless).await.is_err());
}

#[tokio::test]
async fn load_ends_with_its_time() {
    let base = serve(|uri| Response::new(Full::from(uri.to_owned()))).await;
    let timed = LoadPlan {
        requests: 0,
        seconds: 2.0,
        ..plan(base)
    };
    run_load(timed)
        .await
        .expect("runs")
        .none_lost()
        .expect("none lost");
}

#[tokio::test]
async fn load_without_an_end_goes_on_until_it_is_stopped() {
    let base = serve(|uri| Response::new(Full::from(uri.to_owned()))).await;
    let load = RunningLoad::start(LoadPlan {
        requests: 0,
        ..plan(base)
    });
    while load.sent() < 100 {
        tokio::task::yield_now().await;
    }
    let report = load.stop().await.expect("runs");
    report.none_lost().expect("none lost");
    assert!(report.sent >= 96, "{}", report.sent);
}

#[tokio::test]
async fn a_body_of_zeros_has_its_length() {
    for bytes in [1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES] {
        let body = http_body_util::BodyExt::collect(zeros(bytes)).await;
        assert_eq!(body.expect("zeros").to_bytes().len(), bytes);
    }
}
