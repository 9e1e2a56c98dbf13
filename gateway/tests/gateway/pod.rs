use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A pod that answers as `handler` says, over HTTP/1.1 and HTTP/2. Lives as long as the test.
pub async fn start<F, A, R>(handler: F) -> SocketAddr
where
    F: Fn(Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = R> + Send + 'static,
    R: IntoResponse + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(listener, handler)
}

/// The same on a socket that is there already.
pub fn serve<F, A, R>(listener: TcpListener, handler: F) -> SocketAddr
where
    F: Fn(Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = R> + Send + 'static,
    R: IntoResponse + 'static,
{
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(move |request: Request| handler(request));
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

/// A pod that sends back what it gets.
pub async fn echo() -> SocketAddr {
    start(|request| async move { Response::new(request.into_body()) }).await
}

/// A pod that refuses everything before it reads a body.
pub async fn refusing(word: &'static str) -> SocketAddr {
    start(move |_| async move { refusal(word) }).await
}

/// What a pod says that does not begin.
pub fn refusal(word: &'static str) -> Response {
    Response::builder()
        .status(503)
        .header("wasmfn-refused", word)
        .body(Body::empty())
        .unwrap()
}

/// A pod that reads the head of each request, writes `answer` and closes.
pub async fn breaking(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(break_off(stream, answer));
        }
    });
    address
}

async fn break_off(mut stream: TcpStream, answer: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.flush().await;
}

/// An address at which nobody listens, and at which a test may: no other socket gets its host, so
/// none can have taken its port meanwhile.
pub async fn absent() -> SocketAddr {
    static HOSTS: AtomicU8 = AtomicU8::new(1);
    let host = HOSTS.fetch_add(1, Ordering::Relaxed);
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 1, host), 0)).await;
    listener.unwrap().local_addr().unwrap()
}
