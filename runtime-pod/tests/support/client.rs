//! Asks a runtime pod as a gateway does, over HTTP/1.1.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

use super::TOKEN;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// Whether it was cut short.
    pub is_broken: bool,
}

impl Answer {
    /// The word in a header; empty, where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A request to a function, with the gateway's headers.
pub fn request(function: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .uri(path)
        .header("host", "hello.team.example.com")
        .header("wasmfn-token", TOKEN)
        .header("wasmfn-function", function)
}

pub async fn get(address: SocketAddr, function: &str, path: &str) -> Answer {
    let request = request(function, path).body(Full::<Bytes>::default());
    read(send(address, request.unwrap()).await).await
}

/// Whether eight of at most 64 answers have such an end in the first read of their connection: some are
/// interrupted on the way.
pub async fn come_in_one_piece(address: SocketAddr, function: &str, path: &str, end: &str) -> bool {
    let mut whole = 0;
    for _ in 0..64 {
        whole += u32::from(first_read(address, function, path).await.ends_with(end));
        if whole == 8 {
            return true;
        }
    }
    false
}

/// What the first read of an answer's connection gives.
async fn first_read(address: SocketAddr, function: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: hello\r\nwasmfn-token: {TOKEN}\r\nwasmfn-function: {function}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 64 << 10];
    let length = stream.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// Sends a request on a connection of its own.
pub async fn send<B>(address: SocketAddr, request: Request<B>) -> Response<Incoming>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    try_send(address, request).await.unwrap()
}

/// The same, where the connection may be lost before an answer begins.
pub async fn try_send<B>(
    address: SocketAddr,
    request: Request<B>,
) -> hyper::Result<Response<Incoming>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.send_request(request).await
}

/// The answer to a request whose body comes, and ends, once `end` does.
pub async fn post_once(
    address: SocketAddr,
    function: &str,
    path: &str,
    end: impl Future<Output: Send> + Send + 'static,
) -> Answer {
    let body = StreamBody::new(stream::once(async move {
        let _ = end.await;
        Ok::<_, Infallible>(Frame::data(Bytes::from("end")))
    }));
    let request = request(function, path).method("POST").body(body);
    read(send(address, request.unwrap()).await).await
}

/// A request whose body goes on until it is let go, and comes back.
pub struct Held {
    end: oneshot::Sender<()>,
    answer: JoinHandle<Answer>,
}

impl Held {
    /// Asks a function's `/echo`.
    pub fn start(address: SocketAddr, function: &'static str) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let answer = tokio::spawn(post_once(address, function, "/echo", ended));
        Self { end, answer }
    }

    /// Lets it go, and gives its answer.
    pub async fn end(self) -> Answer {
        let _ = self.end.send(());
        self.answer.await.unwrap()
    }
}

/// A connection that is kept between requests, as a gateway's.
pub struct Connection(http1::SendRequest<Full<Bytes>>);

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn get(&mut self, function: &str, path: &str) -> Answer {
        let request = request(function, path).body(Full::default()).unwrap();
        self.0.ready().await.unwrap();
        read(self.0.send_request(request).await.unwrap()).await
    }
}

/// Reads an answer to its end, also where that is too early.
pub async fn read(response: Response<Incoming>) -> Answer {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let mut is_broken = false;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => {
                is_broken = true;
                break;
            }
        }
    }
    Answer {
        status: head.status,
        headers: head.headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
        is_broken,
    }
}
