//! A server that guests call: it answers, and counts what comes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub struct Callee {
    pub address: String,
    count: Arc<Count>,
}

#[derive(Default)]
struct Count {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Callee {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let count = Arc::new(Count::default());
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(stream, Arc::clone(&counted)));
            }
        });
        Self { address, count }
    }

    pub fn connections(&self) -> usize {
        self.count.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.count.requests.load(Ordering::SeqCst)
    }
}

async fn answer(mut stream: TcpStream, counted: Arc<Count>) {
    let mut head = [0; 1024];
    while stream.read(&mut head).await.is_ok_and(|length| length > 0) {
        counted.requests.fetch_add(1, Ordering::SeqCst);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}
