use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};

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
/// Bytes of one answer that wait for its client over HTTP/2: a connection holds as many for each of
/// its streams if the client does not read.
const SEND_BYTES: usize = 64 * 1024;
/// Streams that a client may reset before the gateway has taken them; then the connection ends
/// (CVE-2023-44487).
const RESETS_MOST: usize = 20;
/// Streams that the gateway may reset for the client's faults; then the connection ends
/// (CVE-2025-8671).
const FAULTS_MOST: usize = 100;
/// An HTTP/2 client is asked whether it lives this often.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How HTTP/1.1 is served. How long each thing may take is kept outside of hyper.
pub(super) fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(HEADERS_MOST)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES);
    builder
}

/// How HTTP/2 is served.
pub(super) fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MOST)
        .max_header_list_size(HEAD_BYTES as u32)
        .max_send_buf_size(SEND_BYTES)
        .max_pending_accept_reset_streams(RESETS_MOST)
        .max_local_error_reset_streams(FAULTS_MOST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_EVERY);
    builder
}
