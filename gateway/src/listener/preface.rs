use std::time::Duration;

use tokio::net::TcpStream;

/// What an HTTP/2 client sends first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause before a part of the preface is looked at again.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);

/// Whether the client begins with the preface of HTTP/2. Looks without taking: a client that sends
/// a part of it and stops is bounded by the caller.
pub(super) async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
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
