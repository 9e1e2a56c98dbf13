use std::{collections::HashMap, convert::Infallible, pin::pin};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, client::Body, runtime::watcher::Event};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tower_test::mock::{self, SendResponse};

use super::*;

type Said = UnsyncBoxBody<Bytes, Infallible>;
type Server = mock::Handle<Request<Body>, Response<Said>>;

fn list() -> String {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMapList",
        "metadata": {"resourceVersion": "7"},
        "items": [],
    })
    .to_string()
}

/// The parameters of the next request, and the way to answer it.
async fn request(server: &mut Server) -> (HashMap<String, String>, SendResponse<Response<Said>>) {
    let (request, answer) = pin!(server).next_request().await.expect("a request");
    let query = request.uri().query().unwrap_or_default();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    (query.split('&').filter_map(pair).collect(), answer)
}

/// An answer that never goes on.
fn silence() -> Said {
    StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Infallible>>()).boxed_unsync()
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_goes_on_from_where_it_was() {
    let (service, mut server) = mock::pair();
    let api: Api<ConfigMap> = Api::all(Client::new(service, "default"));
    let following = tokio::spawn(changes(api, watcher::Config::default()).for_each(async |_| {}));
    let (_, answer) = request(&mut server).await;
    answer.send_response(Response::new(Full::from(list()).boxed_unsync()));
    let (first, answer) = request(&mut server).await;
    answer.send_response(Response::new(silence()));
    let began = Instant::now();
    let (second, _answer) = request(&mut server).await;
    assert_eq!(first["timeoutSeconds"], "30");
    assert_eq!(second["resourceVersion"], "7");
    assert!(
        began.elapsed() <= Duration::from_secs(36),
        "{:?}",
        began.elapsed()
    );
    following.abort();
}

#[test]
fn a_watch_ends_before_it_counts_as_not_answered() {
    // kube takes it for dead 5 s after its end.
    assert!(ANSWER_WITHIN > Duration::from_secs(u64::from(WATCH_SECONDS) + 5));
}

async fn takes_a_request(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    stream
}

#[tokio::test]
async fn a_request_that_is_not_answered_is_given_up_and_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let config = Config::new(format!("http://{address}").parse().expect("an address"));
    let limit = Duration::from_secs(3);
    let client = limited(config, limit, limit).expect("a client");
    let api: Api<ConfigMap> = Api::all(client);
    let mut events = pin!(changes(api, watcher::Config::default()));
    let server = tokio::spawn(async move {
        let silent = takes_a_request(&listener).await;
        let mut stream = takes_a_request(&listener).await;
        let list = list();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            list.len()
        );
        stream
            .write_all((head + &list).as_bytes())
            .await
            .expect("a client");
        (silent, stream)
    });
    assert!(matches!(events.try_next().await, Ok(Some(Event::Init))));
    events
        .try_next()
        .await
        .expect_err("the first is not answered");
    while !matches!(
        events.try_next().await.expect("the second is answered"),
        Some(Event::InitDone)
    ) {}
    server.await.expect("the server");
}
