//! WASI preview 1 commands under the CGI contract.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use support::{
    World, client,
    client::Answer,
    commands::{self, printing},
};

const PLAIN: &str = "Content-Type: text/plain\n\n";

async fn world(module: Bytes, spec: Value) -> World {
    let mut world = World::new().await;
    world.registry.push("r/command:1", module);
    let mut whole = json!({"image": "r/command:1"});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    world.serve("hello", whole).await;
    world
}

async fn answer(text: &str, rest: &str) -> Answer {
    let world = world(printing(text, rest), json!({})).await;
    world.get("hello", "/").await
}

fn is_error(answer: &Answer, status: u16, reason: &str, part: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("wasmfn-reason"), reason, "{answer:?}");
    assert!(answer.text.contains(part), "{answer:?}");
}

/// Begins a request whose body is sent piece by piece, and its answer.
async fn talk(world: &World) -> (tokio::sync::mpsc::Sender<Bytes>, Response<Incoming>) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        let bytes: Bytes = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(Frame::data(bytes)), receiver))
    });
    let request = client::request("hello", "/")
        .method("POST")
        .body(StreamBody::new(Box::pin(frames)))
        .unwrap();
    (sender, client::send(world.address, request).await)
}

/// Text in which each piece ends with a zero byte.
fn pieces(text: &str) -> Vec<&str> {
    text.split_terminator('\0').collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_prints_is_the_answer() {
    let world = world(
        printing("Status: 201 Created\r\nX-Mine: 1\r\nwasmfn-x: 1\r\nContent-Type: text/plain\r\n\r\nhello", ""),
        json!({}),
    )
    .await;
    let answer = world.get("hello", "/").await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("x-mine"), "1");
    assert_eq!(answer.header("wasmfn-x"), "");
    assert_eq!(answer.text, "hello");
    assert!(!answer.is_broken);
    let report = world.report("hello").unwrap();
    assert_eq!(report.serving.unwrap().kind, "Command");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_redirects() {
    let answer = answer("Location: https://example.com/new\n\n", "").await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), "https://example.com/new");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_is_in_variables_and_the_functions_own_hold() {
    let spec = json!({"env": [
        {"name": "GREETING", "value": "hi"},
        {"name": "HTTP_X_SET", "value": "by the owner"},
    ]});
    let world = world(printing(PLAIN, commands::ENVIRONMENT), spec).await;
    let request = client::request("hello", "/a%20b?c=d")
        .header("x-set", "by the client")
        .header("proxy", "http://evil.example.com")
        .header("x-forwarded-for", "198.51.100.1, 203.0.113.9")
        .body(Full::<Bytes>::default());
    let answer = client::read(client::send(world.address, request.unwrap()).await).await;
    let variables: BTreeMap<&str, &str> = pieces(&answer.text)
        .into_iter()
        .map(|piece| piece.split_once('=').unwrap())
        .collect();
    for (name, value) in [
        ("GREETING", "hi"),
        ("HTTP_X_SET", "by the owner"),
        ("PATH_INFO", "/a b"),
        ("QUERY_STRING", "c=d"),
        ("REMOTE_ADDR", "203.0.113.9"),
        ("REQUEST_METHOD", "GET"),
        ("SERVER_NAME", "hello.team.example.com"),
    ] {
        assert_eq!(variables.get(name), Some(&value), "{name}: {variables:?}");
    }
    assert!(!variables.contains_key("HTTP_PROXY"));
    assert!(
        !variables.keys().any(|name| name.starts_with("HTTP_WASMFN")),
        "{variables:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_indexed_query_is_in_arguments() {
    let world = world(printing(PLAIN, commands::ARGUMENTS), json!({})).await;
    let answer = world.get("hello", "/?one+two").await;
    assert_eq!(pieces(&answer.text), ["hello", "one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_streamed_both_ways() {
    let world = world(printing(PLAIN, commands::COPY), json!({})).await;
    let (sender, mut answer) = talk(&world).await;
    assert_eq!(answer.status(), 200);
    // Each piece comes back before the next is sent.
    for piece in ["one", "two", "three"] {
        sender.send(Bytes::from(piece)).await.unwrap();
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
    drop(sender);
    assert!(answer.body_mut().frame().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_comes_back_whole() {
    let world = world(printing(PLAIN, commands::COPY), json!({})).await;
    let body: Vec<u8> = (0..1_000_003_u32)
        .map(|index| b'a' + (index % 26) as u8)
        .collect();
    let request = client::request("hello", "/")
        .method("POST")
        .body(Full::new(Bytes::from(body.clone())))
        .unwrap();
    let answer = client::read(client::send(world.address, request).await).await;
    assert_eq!(answer.text.as_bytes(), body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_none_is_named() {
    let word = "InvalidResponse";
    is_error(
        &answer("hello world\n\n", "").await,
        500,
        word,
        "line 1 of its head",
    );
    is_error(&answer("", "").await, 500, word, "it printed nothing");
    is_error(
        &answer("Content-Type: a\n", "").await,
        500,
        word,
        "before the empty line",
    );
    is_error(
        &answer("{\"a\": 1}", "").await,
        500,
        word,
        "command.contract: JSON",
    );
    is_error(
        &answer("", commands::FLOOD).await,
        500,
        word,
        "longer than 65536 bytes",
    );
    is_error(
        &answer("X-A: 1\n\nbody", "").await,
        500,
        word,
        "`Content-Type`",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_before_the_head_is_a_failure() {
    is_error(
        &answer("", &commands::exit(3)).await,
        500,
        "Trapped",
        "exited with code 3",
    );
    is_error(
        &answer("", "unreachable").await,
        500,
        "Trapped",
        "unreachable",
    );
    let fine = answer("Status: 200\n\nfine", &commands::exit(0)).await;
    assert_eq!((fine.text.as_str(), fine.is_broken), ("fine", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_fails_midway_is_cut() {
    // The client has the answer's beginning before the program fails.
    for (head, exit_code) in [
        ("Status: 200\n\n", 1),
        ("Status: 200\nContent-Length: 10\n\n", 0),
    ] {
        let rest = format!("{} {}", commands::COPY, commands::exit(exit_code));
        let world = world(printing(head, &rest), json!({})).await;
        let (sender, mut answer) = talk(&world).await;
        sender.send(Bytes::from("half")).await.unwrap();
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "half");
        drop(sender);
        assert!(
            answer.body_mut().frame().await.unwrap().is_err(),
            "{head:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_commands() {
    let limits = json!({"limits": {
        "cpuMillisecondsPerRequest": 200,
        "memoryPerRequest": "8Mi",
        "responseBytes": "64Ki",
        "requestBytes": "64Ki",
    }});
    let spinner = world(printing("", commands::SPIN), limits.clone()).await;
    is_error(&spinner.get("hello", "/").await, 500, "OutOfCpu", "200 ms");
    let grower = world(printing("", commands::GROW), limits.clone()).await;
    is_error(
        &grower.get("hello", "/").await,
        500,
        "OutOfMemory",
        "8388608 bytes",
    );
    let flood = world(printing(PLAIN, commands::FLOOD), limits.clone()).await;
    let answer = flood.get("hello", "/").await;
    assert!(answer.is_broken);
    assert!(answer.text.len() <= 64 << 10, "{}", answer.text.len());
    let copier = world(printing(PLAIN, commands::COPY), limits).await;
    let request = client::request("hello", "/")
        .method("POST")
        .body(Full::new(Bytes::from(vec![b'a'; (64 << 10) + 1])))
        .unwrap();
    let answer = client::read(client::send(copier.address, request).await).await;
    is_error(&answer, 413, "RequestTooLarge", "65536");
    copier.until("hello", |report| report.in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_program() {
    let world = world(
        printing(PLAIN, commands::FLOOD),
        json!({"limits": {"responseBytes": "1Gi"}}),
    )
    .await;
    let request = client::request("hello", "/").body(Full::<Bytes>::default());
    let mut answer = client::send(world.address, request.unwrap()).await;
    answer.body_mut().frame().await.unwrap().unwrap();
    drop(answer);
    world.until("hello", |report| report.in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_instructions_holds_for_cgi_too() {
    let spec = json!({"command": {"contract": "CGI", "instructions": 100_000}});
    let world = world(printing("", commands::SPIN), spec).await;
    is_error(&world.get("hello", "/").await, 500, "OutOfFuel", "100000");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_requests_have_no_body() {
    let world = world(
        printing("Status: 200\nContent-Length: 5\n\nhello", ""),
        json!({}),
    )
    .await;
    let request = client::request("hello", "/")
        .method("HEAD")
        .body(Full::<Bytes>::default());
    let answer = client::read(client::send(world.address, request.unwrap()).await).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-length")),
        (200, "5")
    );
    assert_eq!(answer.text, "");
}
