use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tokio::net::TcpListener;
use wasmfn_crds::spec;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::{
    list,
    server::{OK, Script, serve, sink},
};
use crate::{
    limits::Limits,
    metrics::{Holdings, Metrics},
    name_resolver::Lookup,
    roots::Roots,
    sandbox::{
        GuestLog,
        outbound::{
            AllowList, Caller, Outbound, OwnHosts,
            allowance::{Allowance, CALLS_AT_ONCE, LEAST_BYTES},
            pool::IDLE,
        },
    },
};

/// A function that calls.
pub(super) struct Function {
    outbound: Arc<Outbound>,
    caller: Caller,
    metrics: Arc<Metrics>,
}

fn outbound(resolver: Arc<dyn Lookup>, own: OwnHosts) -> Arc<Outbound> {
    Arc::new(Outbound::new(resolver, &Roots::default(), own))
}

impl Function {
    pub(super) fn new(outbound: &Arc<Outbound>, allowed: AllowList) -> Self {
        let metrics = Arc::<Metrics>::default();
        Self {
            outbound: Arc::clone(outbound),
            caller: Caller {
                allowed: Arc::new(allowed),
                log: GuestLog::new("f", Arc::clone(&metrics)),
            },
            metrics,
        }
    }

    pub(super) async fn send(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, String> {
        let allowance = allowance();
        let sent = self
            .outbound
            .send(&self.caller, &allowance, request, options);
        sent.await.map_err(|failed| {
            self.caller.log.refused(failed.reason, "refused");
            format!("{:?}", failed.error)
        })
    }

    pub(super) async fn get(&self, uri: &str) -> Result<String, String> {
        let answer = self.send(request(uri), None).await?;
        let body = answer.into_body().collect().await;
        let bytes = body.map_err(|error| format!("{error:?}"))?.to_bytes();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// How often it was refused something.
    fn refusals(&self, reason: &str) -> bool {
        let text = self.metrics.text(Holdings::default()).unwrap();
        text.contains(&format!(
            "refusals_total{{function=\"f\",reason=\"{reason}\"}} 1"
        ))
    }
}

/// The least that a request may have.
fn allowance() -> Arc<Allowance> {
    let none = || Quantity("0".to_owned());
    let spec = spec::Limits {
        request_bytes: none(),
        response_bytes: none(),
        ..spec::Limits::default()
    };
    Allowance::new(&Limits::read(&spec).unwrap())
}

fn request(uri: &str) -> Request<WasiBody> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::builder().uri(uri).body(body).unwrap()
}

fn nobody() -> Arc<Outbound> {
    outbound(Script::new(&[]), OwnHosts::default())
}

#[tokio::test]
async fn calls_what_is_granted_and_nothing_else() {
    let (address, seen) = serve(OK).await;
    let uri = format!("http://{address}/path?query");
    let outbound = nobody();

    let closed = Function::new(&outbound, list(&[], &[]));
    assert_eq!(closed.get(&uri).await.unwrap_err(), "HttpRequestDenied");
    assert!(closed.refusals("OutboundDenied"));
    let by_name = Function::new(&outbound, list(&[&format!("http://{address}")], &[]));
    assert_eq!(
        by_name.get(&uri).await.unwrap_err(),
        "DestinationIpProhibited"
    );
    assert!(by_name.refusals("OutboundAddress"));
    assert_eq!(seen.connections(), 0);

    let granted = Function::new(&outbound, list(&["127.0.0.0/8"], &[]));
    assert_eq!(granted.get(&uri).await.unwrap(), "ok");
    let heads = seen.heads();
    assert!(
        heads[0].starts_with("GET /path?query HTTP/1.1\r\n"),
        "{heads:?}"
    );
    assert!(
        heads[0].contains(&format!("host: {address}\r\n")),
        "{heads:?}"
    );
}

#[tokio::test]
async fn what_is_no_target_is_refused() {
    let granted = Function::new(&nobody(), list(&["127.0.0.0/8"], &[]));
    let cases = [
        ("http://user@127.0.0.1/", "HttpRequestUriInvalid"),
        ("ftp://127.0.0.1/", "HttpRequestUriInvalid"),
        ("/path", "HttpRequestUriInvalid"),
    ];
    for (uri, expected) in cases {
        assert_eq!(granted.get(uri).await.unwrap_err(), expected, "{uri}");
    }
    let mut connect = request("http://127.0.0.1/");
    *connect.method_mut() = http::Method::CONNECT;
    let error = granted.send(connect, None).await.unwrap_err();
    assert_eq!(error, "HttpRequestMethodInvalid");
}

#[tokio::test]
async fn a_name_that_changes_its_address_gains_nothing() {
    let (address, seen) = serve(OK).await;
    let port = address.port();
    // The first answer passes the check; what is dialled is that answer, whatever comes next.
    let script = Script::new(&["203.0.114.1", "127.0.0.1"]);
    let host = format!("http://rebind.example.com:{port}");
    let function = Function::new(
        &outbound(script.clone(), OwnHosts::default()),
        list(&[&host], &[]),
    );
    let options = RequestOptions {
        connect_timeout: Some(Duration::from_millis(50)),
        ..RequestOptions::default()
    };
    let first = function.send(request(&host), Some(options)).await;
    assert!(first.is_err());
    assert_eq!(script.questions(), ["rebind.example.com."]);
    // From then on it is looked up anew, and checked anew.
    let second = function.get(&host).await.unwrap_err();
    assert_eq!(second, "DestinationIpProhibited");
    assert_eq!(seen.connections(), 0);
}

#[tokio::test]
async fn of_several_addresses_only_those_that_are_open_are_dialled() {
    let (address, seen) = serve(OK).await;
    let script = Script::new(&["10.1.2.3 169.254.169.254 127.0.0.1 ::1"]);
    let host = format!("http://several.example.com:{}", address.port());
    let function = Function::new(
        &outbound(script, OwnHosts::default()),
        list(&[&host, "127.0.0.1/32"], &[]),
    );
    assert_eq!(function.get(&host).await.unwrap(), "ok");
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn names_without_an_address_are_a_dns_error() {
    let function = Function::new(&nobody(), list(&["http://nowhere.example.com"], &[]));
    let error = function
        .get("http://nowhere.example.com/")
        .await
        .unwrap_err();
    assert!(
        error.starts_with("DnsError") && error.contains("NXDOMAIN"),
        "{error}"
    );
}

#[tokio::test]
async fn the_clusters_own_hosts_are_closed_whatever_is_granted() {
    let (address, seen) = serve(OK).await;
    let own = OwnHosts {
        api_server: Some("127.0.0.1".to_owned()),
        gateway: None,
    };
    let uri = format!("http://{address}/");
    let everything = || list(&["0.0.0.0/0", "::/0"], &["kubernetes"]);
    let function = Function::new(&outbound(Script::new(&["127.0.0.1"]), own), everything());
    assert_eq!(
        function.get(&uri).await.unwrap_err(),
        "DestinationIpProhibited"
    );
    let service = function.get("http://kubernetes/").await.unwrap_err();
    assert_eq!(service, "DestinationIpProhibited");

    // The gateway is reached through the services that lead to it, and in no other way.
    let own = OwnHosts {
        api_server: None,
        gateway: Some("gateway.wasmfn-system.svc".to_owned()),
    };
    let function = Function::new(&outbound(Script::new(&["127.0.0.1"]), own), everything());
    assert_eq!(
        function.get(&uri).await.unwrap_err(),
        "DestinationIpProhibited"
    );
    assert_eq!(seen.connections(), 0);
}

#[tokio::test]
async fn the_clusters_own_hosts_are_closed_in_any_form() {
    let own = OwnHosts {
        api_server: Some("10.96.0.1".to_owned()),
        gateway: Some("10.96.0.2".to_owned()),
    };
    let outbound = outbound(Script::new(&[]), own);
    let function = Function::new(&outbound, list(&["0.0.0.0/0", "::/0"], &[]));
    for host in ["64:ff9b::10.96.0.1", "64:ff9b::10.96.0.2"] {
        let refused = function
            .get(&format!("http://[{host}]/"))
            .await
            .unwrap_err();
        assert_eq!(refused, "DestinationIpProhibited", "{host}");
    }
    for host in ["::ffff:10.96.0.1", "::ffff:169.254.169.254"] {
        let refused = function
            .get(&format!("http://[{host}]/"))
            .await
            .unwrap_err();
        assert_eq!(refused, "HttpRequestDenied", "{host}");
    }
}

#[tokio::test]
async fn connections_are_used_again_by_the_same_function_alone() {
    let (address, seen) = serve(OK).await;
    let uri = format!("http://{address}/");
    let outbound = nobody();
    let one = Function::new(&outbound, list(&["127.0.0.0/8"], &[]));
    let other = Function::new(&outbound, list(&["127.0.0.0/8"], &[]));
    for _ in 0..5 {
        assert_eq!(one.get(&uri).await.unwrap(), "ok");
        outbound.until_idle(1).await;
    }
    assert_eq!(seen.connections(), 1);
    assert_eq!(other.get(&uri).await.unwrap(), "ok");
    assert_eq!(seen.connections(), 2);
    outbound.until_idle(2).await;
    // Nobody calls any more: what waits is closed.
    tokio::time::timeout(4 * IDLE, outbound.until_idle(0))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_is_replaced() {
    let (address, seen) =
        serve("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
    let function = Function::new(&nobody(), list(&["127.0.0.0/8"], &[]));
    for _ in 0..3 {
        assert_eq!(
            function.get(&format!("http://{address}/")).await.unwrap(),
            "ok"
        );
    }
    assert_eq!(seen.connections(), 3);
}

#[tokio::test]
async fn a_waiting_connection_gives_way_to_a_new_one() {
    let (first, _) = serve(OK).await;
    let (second, _) = serve(OK).await;
    let outbound = Arc::new(Outbound::with(
        Script::new(&[]),
        Roots::default().tls(),
        OwnHosts::default(),
        1,
    ));
    let function = Function::new(&outbound, list(&["127.0.0.0/8"], &[]));
    assert_eq!(
        function.get(&format!("http://{first}/")).await.unwrap(),
        "ok"
    );
    outbound.until_idle(1).await;
    assert_eq!(
        function.get(&format!("http://{second}/")).await.unwrap(),
        "ok"
    );
    outbound.until_idle(1).await;

    // One that is in use does not.
    let (begins, _) = serve("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok").await;
    let answer = function
        .send(request(&format!("http://{begins}/")), None)
        .await;
    let refused = function.get(&format!("http://{second}/")).await;
    assert_eq!(refused.unwrap_err(), "ConnectionLimitReached");
    assert!(function.refusals("OutboundConnections"));
    drop(answer);
}

#[tokio::test]
async fn calls_at_once_are_limited_and_come_back() {
    // It never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let function = Function::new(&nobody(), list(&["127.0.0.0/8"], &[]));
    let allowance = allowance();
    let call = || {
        function
            .outbound
            .send(&function.caller, &allowance, request(&uri), None)
    };
    let mut calls: Vec<_> = (0..CALLS_AT_ONCE).map(|_| Box::pin(call())).collect();
    for call in &mut calls {
        assert!(futures::poll!(call).is_pending());
    }
    let refused = call().await.unwrap_err();
    assert_eq!(format!("{:?}", refused.error), "ConnectionLimitReached");
    drop(calls);
    assert!(futures::poll!(Box::pin(call())).is_pending());
}

#[tokio::test]
async fn bytes_are_limited_both_ways() {
    let limit = usize::try_from(LEAST_BYTES).unwrap();
    let function = Function::new(&nobody(), list(&["127.0.0.0/8"], &[]));
    let chunk = Bytes::from(vec![0; 1 << 20]);
    let frames = (0..=limit >> 20).map(move |_| Ok::<_, Error>(Frame::data(chunk.clone())));
    let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
    let upload = Request::post(format!("http://{}/", sink().await))
        .body(body)
        .unwrap();
    let error = function.send(upload, None).await.unwrap_err();
    assert_eq!(error, format!("HttpRequestBodySize(Some({limit}))"));
    assert!(function.refusals("OutboundBytes"));

    let large = |bytes: usize| {
        let body = "a".repeat(bytes);
        format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{body}").leak()
    };
    let (fits, _) = serve(large(limit)).await;
    let answer = function.get(&format!("http://{fits}/")).await.unwrap();
    assert_eq!(answer.len(), limit);
    let (too_large, _) = serve(large(limit + 1)).await;
    let error = function
        .get(&format!("http://{too_large}/"))
        .await
        .unwrap_err();
    assert_eq!(error, format!("HttpResponseBodySize(Some({limit}))"));
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let (address, seen) = serve(
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let function = Function::new(&nobody(), list(&["127.0.0.0/8"], &[]));
    let uri = format!("http://{address}/");
    let answer = function.send(request(&uri), None).await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(seen.heads().len(), 1);
}

#[tokio::test]
async fn heads_that_are_too_large_are_not_taken() {
    let header = format!("x-long: {}\r\n", "a".repeat(200 << 10));
    let many: String = (0..300).map(|index| format!("x-{index}: 1\r\n")).collect();
    for headers in [header, many] {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n");
        let (address, _) = serve(answer.leak()).await;
        let function = Function::new(&nobody(), list(&["127.0.0.0/8"], &[]));
        let error = function
            .get(&format!("http://{address}/"))
            .await
            .unwrap_err();
        assert!(
            error.starts_with("HttpResponseHeaderSectionSize"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn each_part_of_a_call_has_its_time() {
    // It never answers, nor shakes hands.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let (begins, _) = serve("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok").await;
    let function = Function::new(&nobody(), list(&["127.0.0.0/8"], &[]));
    let short = Duration::from_millis(50);
    let zero_and_short = [Duration::ZERO, short];
    for time in zero_and_short {
        let connect = RequestOptions {
            connect_timeout: Some(time),
            ..RequestOptions::default()
        };
        let uri = format!("https://{silent}/");
        let error = function
            .send(request(&uri), Some(connect))
            .await
            .unwrap_err();
        assert_eq!(error, "ConnectionTimeout");
        let first_byte = RequestOptions {
            first_byte_timeout: Some(time),
            ..RequestOptions::default()
        };
        let uri = format!("http://{silent}/");
        let error = function
            .send(request(&uri), Some(first_byte))
            .await
            .unwrap_err();
        assert_eq!(error, "ConnectionReadTimeout");
        let pause = RequestOptions {
            between_bytes_timeout: Some(time),
            ..RequestOptions::default()
        };
        let uri = format!("http://{begins}/");
        let answer = function.send(request(&uri), Some(pause)).await.unwrap();
        let error = answer.into_body().collect().await.unwrap_err();
        assert_eq!(format!("{error:?}"), "ConnectionReadTimeout");
    }
    let huge = RequestOptions {
        connect_timeout: Some(Duration::MAX),
        first_byte_timeout: Some(Duration::MAX),
        between_bytes_timeout: Some(Duration::MAX),
    };
    let (address, _) = serve(OK).await;
    let answer = function
        .send(request(&format!("http://{address}/")), Some(huge))
        .await;
    assert_eq!(answer.unwrap().status(), 200);
}
