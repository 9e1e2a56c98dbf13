//! Connections of clients: accepted up to a bound, served as HTTP/1.1 or HTTP/2.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{proxy::Gateway, routes::Entrance};

/// Time in which a connection must bring its first bytes and the head of each request, also
/// between two requests.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// Largest head of a request, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// Most headers of a request.
const HEADERS_MOST: usize = 100;
/// Requests at the same time on one HTTP/2 connection.
const STREAMS_MOST: u32 = 250;
/// Bytes of one request's body that may be under way; the gateway holds as many if nobody reads.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes of all bodies of a connection that may be under way.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// An HTTP/2 client is asked whether it lives this often.
const PING_EVERY: Duration = Duration::from_secs(20);
/// What an HTTP/2 client sends first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause before a part of the preface is looked at again.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// Pause after the kernel could not give a connection, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One of the gateway's two doors.
#[derive(Debug)]
pub struct Door {
    /// Where it leads.
    pub entrance: Entrance,
    /// The socket.
    pub listener: TcpListener,
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// One permit for each connection, shared by all doors.
    pub permits: Arc<Semaphore>,
}

impl Door {
    /// Accepts connections for ever, each served by a task of its own, which `connections` can
    /// ask to end.
    pub async fn serve(&self, connections: &GracefulShutdown) {
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Taken after accepting: a door that waits for clients must not hold a permit.
            let Ok(permit) = self.permits.clone().acquire_owned().await else {
                return;
            };
            let (entrance, gateway) = (self.entrance, self.gateway.clone());
            let watcher = connections.watcher();
            tokio::spawn(async move {
                let _permit = permit;
                gateway.metrics.connections.inc();
                serve(stream, peer, entrance, gateway.clone(), watcher).await;
                gateway.metrics.connections.dec();
            });
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    entrance: Entrance,
    gateway: Arc<Gateway>,
    watcher: Watcher,
) {
    let begun = tokio::time::timeout(HEAD_WITHIN, speaks_http2(&stream)).await;
    let Ok(Ok(http2)) = begun else {
        tracing::debug!(%peer, "a connection has ended before it began");
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(gateway.answer(entrance, peer, request).await) }
    });
    let builder = if http2 {
        builder().http2_only()
    } else {
        builder().http1_only()
    };
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%error, %peer, "a connection has ended");
    }
}

/// Whether the client begins with the preface of HTTP/2. Looks without taking: a client that sends
/// a part of it and stops is bounded by the caller.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    stream.set_nodelay(true)?;
    let mut begin = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut begin).await?;
        if seen == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if begin[..seen] != PREFACE[..seen] {
            return Ok(false);
        }
        if seen == PREFACE.len() {
            return Ok(true);
        }
        // What is there stays readable, so the socket does not tell when more comes.
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(HEADERS_MOST)
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MOST)
        .max_header_list_size(HEAD_BYTES as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_EVERY);
    builder
}
