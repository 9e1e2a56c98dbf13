use std::time::Duration;

use axum::extract::Request as PodRequest;
use http::{Method, Request, StatusCode, Version};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wasmfn_gateway::endpoints::Phase::Ready;

use crate::{
    client::{self, HOST, full, get, reason, request, send, whole},
    pod,
    raw::{ask, head, statuses},
    setup::Running,
};

#[tokio::test]
async fn what_is_not_there_or_not_for_outside_is_404() {
    let pod = pod::echo().await;
    let inner = json!({"route": {"visibility": "Cluster"}});
    let running = Running::serving(&inner, &[(pod, Ready)]).await;
    let outside = get(running.public, "/").await;
    assert_eq!(
        (outside.status().as_u16(), reason(&outside)),
        (404, "NotFound")
    );
    assert_eq!(get(running.cluster, "/").await.status(), 200);
    for host in ["f.n", "f.n.svc", "F.N.svc.cluster.local.:8090"] {
        let asked = Request::get("/")
            .header("host", host)
            .body(full(""))
            .unwrap();
        let response = send(running.cluster, asked).await.unwrap();
        assert_eq!(response.status(), 200, "{host}");
        let asked = Request::get("/")
            .header("host", host)
            .body(full(""))
            .unwrap();
        let response = send(running.public, asked).await.unwrap();
        assert_eq!(response.status(), 404, "{host}");
    }
}

#[tokio::test]
async fn upgrades_are_refused() {
    let pod = pod::echo().await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let asked = request("/")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .body(full(""))
        .unwrap();
    let response = send(running.public, asked).await.unwrap();
    assert_eq!(response.status(), 501);
    assert_eq!(reason(&response), "UpgradeRefused");
}

#[tokio::test]
async fn whoever_has_not_heard_of_functions_does_not_say_that_there_is_none() {
    let running = Running::start().await;
    let response = get(running.public, "/").await;
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (503, "NoCapacity")
    );
    assert_eq!(response.headers()["retry-after"], "1");
    running.functions(&[]);
    assert_eq!(get(running.public, "/").await.status(), 404);
}

#[tokio::test]
async fn head_has_no_body_also_when_the_gateway_answers() {
    let running = Running::start().await;
    running.functions(&[]);
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let response = if version == Version::HTTP_2 {
            let asked = Request::head(format!("http://{HOST}/"));
            let mut connection = client::connect2(running.public).await;
            connection.send_request(asked.body(full("")).unwrap()).await
        } else {
            let asked = request("/").method(Method::HEAD);
            send(running.public, asked.body(full("")).unwrap()).await
        };
        let response = response.unwrap();
        let response = whole(response).await;
        assert_eq!(response.status(), 404);
        assert!(response.body().is_empty());
    }
}

#[tokio::test]
async fn a_head_tells_how_long_the_body_would_be_and_brings_none() {
    let pod = pod::breaking("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-answer: 1\r\n\r\n").await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let asked = head("HEAD / HTTP/1.1", "connection: close\r\n");
    let answer = ask(running.public, asked.as_bytes()).await;
    assert_eq!(statuses(&answer), ["200"]);
    assert!(answer.contains("content-length: 5\r\n"), "{answer:?}");
    assert!(answer.contains("x-answer: 1\r\n"), "{answer:?}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer:?}");
}

#[tokio::test]
async fn what_a_pod_says_before_its_answer_does_not_stand_in_for_it() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n\
                 HTTP/1.1 102 Processing\r\n\r\n\
                 HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let pod = pod::breaking(early).await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    for lines in ["", "content-length: 3\r\nexpect: 100-continue\r\n"] {
        let asked = head("POST / HTTP/1.1", &format!("{lines}connection: close\r\n"));
        let mut answer = ask(running.public, asked.as_bytes()).await;
        // hyper's server can say 100 itself and nothing else of the kind.
        answer = answer.replace("HTTP/1.1 100 Continue\r\n\r\n", "");
        assert_eq!(statuses(&answer), ["200"], "{answer:?}");
        assert!(answer.ends_with("ok"), "{answer:?}");
    }
}

#[tokio::test]
async fn answers_of_wasmfns_own_name_the_request_and_nothing_of_the_inside() {
    let pod = pod::absent().await;
    let spec = json!({"scaling": {"maxQueueSeconds": 1}});
    let running = Running::serving(&spec, &[(pod, Ready)]).await;
    let asked = request("/").header("x-request-id", "mine-7");
    let response = send(running.public, asked.body(full("")).unwrap()).await;
    let response = whole(response.unwrap()).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["x-request-id"], "mine-7");
    let shown = format!("{:?} {:?}", response.headers(), response.body());
    assert!(!shown.contains("127.0.0.1"), "{shown}");
    assert!(!shown.contains(&pod.port().to_string()), "{shown}");
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_only_once_a_pod_reads() {
    let asked = head(
        "POST / HTTP/1.1",
        "content-length: 3\r\nexpect: 100-continue\r\n",
    );
    let reading = pod::start(|request: PodRequest| async move {
        request.into_body().collect().await.unwrap().to_bytes()
    })
    .await;
    let not_reading = pod::start(|_| async { "no" }).await;
    for (pod, expected) in [(reading, "HTTP/1.1 100"), (not_reading, "HTTP/1.1 200")] {
        let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
        let mut stream = TcpStream::connect(running.public).await.unwrap();
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut line = [0; 12];
        let reading = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut line));
        reading.await.unwrap().unwrap();
        assert_eq!(line, expected.as_bytes());
    }
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let pod = pod::start(|_| async { (StatusCode::PAYLOAD_TOO_LARGE, "no") }).await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let head = "POST / HTTP/1.1\r\nhost: HOST\r\ncontent-length: 4000000\r\n\r\n";
    for (host, expected) in [(HOST, "HTTP/1.1 413"), ("nobody", "HTTP/1.1 404")] {
        let mut stream = TcpStream::connect(running.public).await.unwrap();
        stream
            .write_all(head.replace("HOST", host).as_bytes())
            .await
            .unwrap();
        // More than the buffers of both sides take, and only then does it read.
        stream.write_all(&vec![0; 3_999_999]).await.unwrap();
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(line, expected.as_bytes());
    }
}

#[tokio::test]
async fn it_reaches_one_that_was_told_to_send_as_well() {
    let pod = pod::start(|request: PodRequest| async move {
        let mut body = request.into_body();
        body.frame().await.unwrap().unwrap();
        (StatusCode::PAYLOAD_TOO_LARGE, "no")
    })
    .await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    let mut stream = TcpStream::connect(running.public).await.unwrap();
    let lines = "content-length: 4000000\r\nexpect: 100-continue\r\n";
    let asked = head("POST / HTTP/1.1", lines);
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    // As one does that reads only then.
    stream.write_all(&vec![0; 3_999_999]).await.unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_head_may_come_in_pieces() {
    let pod = pod::echo().await;
    let running = Running::serving(&json!({}), &[(pod, Ready)]).await;
    // The first piece could still become the preface of HTTP/2.
    for pieces in [["P", "RI / HTTP/1.1\r\n"], ["P", "OST / HTTP/1.1\r\n"]] {
        let mut stream = TcpStream::connect(running.public).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces
            .into_iter()
            .chain(["host: f.n.localhost\r\n", "\r\n"])
        {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"HTTP/1.1 200");
    }
}
