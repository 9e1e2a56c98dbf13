use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinHandle};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Host of the function `f`.
pub const HOST: &str = "f.n.localhost";

/// A request for the function `f`.
pub fn request(path: &str) -> http::request::Builder {
    Request::builder().uri(path).header(header::HOST, HOST)
}

/// A body that is known in full.
pub fn full(body: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(body.into())
}

/// A connection of HTTP/1.1; aborting the task closes it.
pub async fn connect<B>(address: SocketAddr) -> (http1::SendRequest<B>, JoinHandle<()>)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    (sender, task)
}

/// A connection of HTTP/2.
pub async fn connect2<B>(address: SocketAddr) -> http2::SendRequest<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Error>,
{
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// Sends over a connection of its own.
pub async fn send<B>(
    address: SocketAddr,
    request: Request<B>,
) -> Result<Response<Incoming>, hyper::Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    let (mut sender, _task) = connect(address).await;
    sender.send_request(request).await
}

/// Asks `f` for `path` and reads the answer to its end.
pub async fn get(address: SocketAddr, path: &str) -> Response<Bytes> {
    let asked = request(path).body(full("")).unwrap();
    whole(send(address, asked).await.unwrap()).await
}

/// Reads an answer to its end.
pub async fn whole(response: Response<Incoming>) -> Response<Bytes> {
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// The reason in an answer of wasmfn's own.
pub fn reason<B>(response: &Response<B>) -> &str {
    response
        .headers()
        .get("wasmfn-reason")
        .map_or("", |reason| reason.to_str().unwrap())
}
