//! How a pod whose node has gone silent is found out: the kernel asks its peer.
//!
//! The peer's kernel answers however slow the guest is, so nothing that only takes long is cut.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::Sending;

/// A connection on which nothing came for so long is asked for a sign of life.
const ASK_AFTER: Duration = Duration::from_secs(5);
/// Time between two such questions.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// Questions without an answer after which the connection is lost: 14 s after the last sign.
const ASK_TIMES: u32 = 3;
/// What was sent and is not confirmed after so long means the same.
const UNCONFIRMED: Duration = Duration::from_secs(12);
/// HTTP/2 has a question of its own, asked while requests are under way.
pub(super) const PING_EVERY: Duration = Duration::from_secs(5);
/// Time for its answer. It comes from the pod's process, not its kernel, so it is longer.
pub(super) const PING_ANSWER: Duration = Duration::from_secs(10);

/// Has the kernel watch over a connection.
///
/// Bytes that the pod does not read count as unconfirmed too, once its window is full, so a body that
/// may be larger than the window is not held to [`UNCONFIRMED`]: a guest may take its time reading.
pub(super) fn watch_over(stream: &TcpStream, sending: Sending) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    let questions = TcpKeepalive::new()
        .with_time(ASK_AFTER)
        .with_interval(ASK_EVERY)
        .with_retries(ASK_TIMES);
    socket.set_tcp_keepalive(&questions)?;
    if sending == Sending::InHand {
        socket.set_tcp_user_timeout(Some(UNCONFIRMED))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn silence_is_noticed_and_slow_reading_is_not_mistaken_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for (sending, unconfirmed) in [
            (Sending::InHand, Some(UNCONFIRMED)),
            (Sending::Streaming, None),
        ] {
            let stream = TcpStream::connect(address).await.unwrap();
            watch_over(&stream, sending).unwrap();
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), ASK_AFTER);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), ASK_EVERY);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), ASK_TIMES);
            assert_eq!(socket.tcp_user_timeout().unwrap(), unconfirmed);
        }
        assert!(ASK_AFTER + ASK_EVERY * ASK_TIMES <= Duration::from_secs(15));
    }
}
