use std::convert::Infallible;

use axum::{body::Body, extract::Request as PodRequest, response::Response as PodResponse};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, channel::mpsc};
use http::{HeaderMap, Method, Request, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use wasmfn_crds::token::{MasterKey, Purpose};
use wasmfn_gateway::{endpoints::Phase::Ready, listener::Rules};

use crate::{
    client::{self, HOST, full, request, send, whole},
    pod,
    raw::head,
    setup::{KEY, PATIENCE, Running, lenient, until},
};

type Chunk = Result<Frame<Bytes>, Infallible>;

fn chunks() -> (mpsc::Sender<Chunk>, StreamBody<mpsc::Receiver<Chunk>>) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, StreamBody::new(receiver))
}

fn data(text: &'static str) -> Chunk {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn a_request_and_its_answer_pass_whole_and_nothing_can_be_forged() {
    let (seen, mut requests) = mpsc::channel(1);
    let pod = pod::start(move |request: PodRequest| {
        let mut seen = seen.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            seen.send((parts, body)).await.unwrap();
            PodResponse::builder()
                .status(418)
                .header("x-answer", "1")
                .header("set-cookie", "a")
                .header("set-cookie", "b")
                .header("connection", "x-private")
                .header("x-private", "1")
                .body(Body::from("answer"))
                .unwrap()
        }
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let asked = request("/a/b%20c?d=%26&e")
        .method(Method::PUT)
        .header("x-mine", "1")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("wasmfn-function", "other")
        .header("wasmfn-token", "forged")
        .header("wasmfn-more", "1")
        .body(full("question"))
        .unwrap();
    let response = whole(send(running.public, asked).await.unwrap()).await;
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["x-answer"], "1");
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    assert!(!response.headers().contains_key("x-private"));
    assert_eq!(response.body(), "answer");

    let (parts, body) = requests.next().await.unwrap();
    assert_eq!(parts.method, Method::PUT);
    assert_eq!(parts.uri, "/a/b%20c?d=%26&e");
    assert_eq!(body, "question");
    let token = MasterKey::new(&KEY).unwrap().derive(Purpose::Data, "n");
    for (name, value) in [
        ("host", HOST),
        ("x-mine", "1"),
        ("wasmfn-function", "f"),
        ("wasmfn-token", token.as_str()),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", HOST),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(parts.headers[name], value, "{name}");
        assert_eq!(parts.headers.get_all(name).iter().count(), 1, "{name}");
    }
    for name in ["x-hop", "wasmfn-more"] {
        assert!(!parts.headers.contains_key(name), "{name}");
    }
    until("nothing is counted", || running.counts() == (0, 0)).await;
}

#[tokio::test]
async fn only_a_named_proxy_may_say_who_asks() {
    let pod = pod::start(|request: PodRequest| async move {
        let said = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        format!("{} {}", said("x-forwarded-for"), said("x-forwarded-proto"))
    })
    .await;
    for (network, expected) in [
        ("127.0.0.0/8", "203.0.113.9, 127.0.0.1 https"),
        ("10.0.0.0/8", "127.0.0.1 http"),
    ] {
        let rules = Rules {
            trusted_proxies: vec![network.parse().unwrap()],
            ..lenient()
        };
        let running = Running::start_by(rules, None).await;
        let running = running.with(&json!({}), &[(pod, Ready)]);
        let asked = request("/")
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-forwarded-proto", "https");
        let response = send(running.public, asked.body(full("")).unwrap()).await;
        assert_eq!(whole(response.unwrap()).await.body(), expected, "{network}");
    }
}

#[tokio::test]
async fn the_first_chunk_arrives_before_the_guest_ends() {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(receiver)));
    let pod = pod::start(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Body::from_stream(body) }
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let mut sender = sender;
    sender.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
    let asked = request("/").body(full("")).unwrap();
    let mut response = send(running.public, asked).await.unwrap();
    let first = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "first");
    assert_eq!(running.counts(), (1, 0));
    sender.send(Ok(Bytes::from_static(b"last"))).await.unwrap();
    drop(sender);
    let rest = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(rest, "last");
    until("nothing is counted", || running.counts() == (0, 0)).await;
}

#[tokio::test]
async fn a_pod_gets_the_first_chunk_before_the_client_ends() {
    let pod = pod::echo().await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (mut sender, body) = chunks();
        sender.send(data("one")).await.unwrap();
        let asked = request("/").method(Method::POST);
        let mut response = if version == Version::HTTP_2 {
            let asked = Request::post(format!("http://{HOST}/")).body(body).unwrap();
            let mut connection = client::connect2(running.public).await;
            connection.send_request(asked).await.unwrap()
        } else {
            send(running.public, asked.body(body).unwrap())
                .await
                .unwrap()
        };
        let first = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "one");
        sender.send(data("two")).await.unwrap();
        drop(sender);
        let rest = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(rest, "two");
    }
}

#[tokio::test]
async fn large_bodies_pass_whole_in_both_directions() {
    let pod = pod::echo().await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let body: Bytes = (0..5 << 20).map(|i: u32| (i / 7) as u8).collect();
    let known = request("/")
        .method(Method::POST)
        .body(full(body.clone()))
        .unwrap();
    let response = whole(send(running.public, known).await.unwrap()).await;
    assert!(response.body() == &body, "with a length");

    let pieces: Vec<_> = body
        .chunks(10_000)
        .map(|piece| Ok::<_, Infallible>(Frame::data(body.slice_ref(piece))))
        .collect();
    let chunked = request("/")
        .method(Method::POST)
        .body(StreamBody::new(futures::stream::iter(pieces)))
        .unwrap();
    let response = whole(send(running.public, chunked).await.unwrap()).await;
    assert!(response.body() == &body, "in chunks");
    assert_eq!(running.gateway.budget.free(), 1 << 20);
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let pod = pod::echo().await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let trailers: HeaderMap = [("x-sum".parse().unwrap(), "7".parse().unwrap())]
        .into_iter()
        .collect();
    let body = || {
        let frames = [data("text"), Ok(Frame::trailers(trailers.clone()))];
        StreamBody::new(futures::stream::iter(frames))
    };
    let over2 = Request::post(format!("http://{HOST}/"))
        .header("te", "trailers")
        .body(body())
        .unwrap();
    let mut connection = client::connect2(running.public).await;
    let response = connection.send_request(over2).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap(), &trailers);
    assert_eq!(collected.to_bytes(), "text");
}

#[tokio::test]
async fn over_http2_the_pod_hears_the_clients_host() {
    let pod = pod::start(|request: PodRequest| async move {
        format!("{} {:?}", request.uri(), request.headers().get("host"))
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let asked = request("/x?y")
        .header("te", "trailers")
        .body(full(""))
        .unwrap();
    let response = whole(send(running.public, asked).await.unwrap()).await;
    assert_eq!(response.body(), &format!("http://{HOST}/x?y None"));
}

/// Tells when it is dropped.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_request_in_the_pod() {
    for (protocol, headers_first) in [("1", true), ("1", false), ("2", true), ("2", false)] {
        let (began, mut begun) = mpsc::channel(1);
        let (gone, mut ended) = mpsc::channel(1);
        let pod = pod::start(move |_| {
            let (mut began, guard) = (began.clone(), Dropped(gone.clone()));
            async move {
                began.send(()).await.unwrap();
                let endless = futures::stream::pending::<Result<Bytes, Infallible>>();
                let endless = endless.map(move |item| {
                    let _held = &guard;
                    item
                });
                if !headers_first {
                    let mut endless = endless;
                    endless.next().await;
                    unreachable!();
                }
                Body::from_stream(endless)
            }
        })
        .await;
        let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
        let (mut sender, task) = client::connect(running.public).await;
        let te = if protocol == "2" { "trailers" } else { "" };
        let asked = request("/").header("te", te).body(full("")).unwrap();
        let waiting = tokio::spawn(async move {
            let mut response = sender.send_request(asked).await?;
            let _ = response.body_mut().frame().await;
            Ok::<_, hyper::Error>(())
        });
        begun.next().await.unwrap();
        assert_eq!(running.counts(), (1, 0));
        task.abort();
        let what = format!("HTTP/{protocol} {headers_first}");
        let ended = tokio::time::timeout(PATIENCE, ended.next()).await;
        assert!(ended.is_ok(), "the pod goes on: {what}");
        until("nothing is counted", || running.counts() == (0, 0)).await;
        waiting.abort();
    }
}

#[tokio::test]
async fn one_that_leaves_its_body_unread_is_let_go_too() {
    let (began, mut begun) = mpsc::channel(1);
    let pod = pod::start(move |unread| {
        let mut began = began.clone();
        async move {
            let _held = unread;
            began.send(()).await.unwrap();
            futures::future::pending::<&str>().await
        }
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let mut stream = TcpStream::connect(running.public).await.unwrap();
    let asked = head("POST / HTTP/1.1", "content-length: 100000000\r\n");
    let part = format!("{asked}{}", "a".repeat(30_000));
    stream.write_all(part.as_bytes()).await.unwrap();
    begun.next().await.unwrap();
    assert_eq!(running.counts(), (1, 0));
    drop(stream);
    until("nothing is counted", || running.counts() == (0, 0)).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_completed() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let pod = pod::breaking(answer).await;
        let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
        let asked = request("/").body(full("")).unwrap();
        let response = send(running.public, asked).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.into_body().collect().await.is_err(), "{answer}");
    }
}
