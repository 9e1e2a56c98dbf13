use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::setup::PATIENCE;

/// A head for the function `f`, with these lines and no others.
pub fn head(start: &str, lines: &str) -> String {
    format!("{start}\r\nhost: f.n.localhost\r\n{lines}\r\n")
}

/// Writes bytes to the gateway over a connection of their own, and reads until it closes.
pub async fn ask(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    rest(&mut stream).await
}

/// What comes until the gateway closes.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // Closed with bytes unread, a connection is reset: what came before counts.
    let _ = read.expect("the gateway closes the connection");
    String::from_utf8(answer).unwrap()
}

/// The statuses of the answers in `text`.
pub fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| &answer[..3])
        .collect()
}
