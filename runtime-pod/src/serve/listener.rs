//! Accepts connections and serves them until it is told to close.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use wasmfn_connection::{Uploads, Watched};

use super::{handler::Handler, worker::Worker};

/// Time in which a request's head has to arrive; an idle connection counts as one that waits for
/// a head, and gateways, who close theirs sooner, are to be the ones who close it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// What is read of a connection before it is used; a head must fit.
const READ_BUFFER_BYTES: usize = 128 << 10;
/// Headers of one request.
const MAX_HEADERS: usize = 200;
const MAX_HEADER_LIST_BYTES: u32 = 64 << 10;
/// Requests at the same time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 1000;
/// Bytes of one request that may be under way over HTTP/2, read by its guest or not, and of all: a body that
/// is not read holds up no other.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// How often a quiet HTTP/2 connection is asked whether it lives, and how long it may take.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of its answer, which it would hold for ever.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// Pause after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections of `listener`, within what `connections` admits, until `closing`; then lets
/// those that are open end after the requests that they carry, and returns when all have, and all
/// guests.
pub(super) async fn serve(
    listener: TcpListener,
    handler: Arc<Handler>,
    worker: &Arc<Worker>,
    connections: &Arc<Semaphore>,
    closing: &CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let builder = builder();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, connections) => accepted,
            () = closing.cancelled() => break,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (handler, worker) = (Arc::clone(&handler), Arc::clone(worker));
        let uploads = Arc::<Uploads>::default();
        let stream = Watched::new(stream, uploads.clone(), TAKEN_WITHIN, || ());
        let service = service_fn(move |request: Request<Incoming>| {
            let (handler, worker) = (Arc::clone(&handler), Arc::clone(&worker));
            let upload = uploads.open(&request);
            async move { Ok::<_, Infallible>(handler.handle(request, upload, &worker).await) }
        });
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
    worker.guests().close();
    worker.guests().wait().await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(READ_BUFFER_BYTES)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
