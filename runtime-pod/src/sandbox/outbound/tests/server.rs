//! A server and a resolver that do as a test says.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

use crate::name_resolver::{Lookup, NameResolverError};

/// An answer that leaves the connection open.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What came to a server.
#[derive(Clone, Default)]
pub(super) struct Seen {
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Answers every request with `answer`, for as long as the test runs.
pub(super) async fn serve(answer: &'static str) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let told = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            told.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer_all(stream, answer, told.clone()));
        }
    });
    (address, seen)
}

/// Reads everything and never answers.
pub(super) async fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    address
}

pub(super) async fn answer_all<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answer: &str,
    seen: Seen,
) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
            seen.heads.lock().unwrap().push(text);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Gives its answers one after the other; the last one for ever.
pub(super) struct Script {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    questions: Mutex<Vec<String>>,
}

impl Script {
    pub(super) fn new(answers: &[&str]) -> Arc<Self> {
        let answers = answers
            .iter()
            .map(|answer| answer.split(' ').map(|address| address.parse().unwrap()))
            .map(Iterator::collect)
            .collect();
        Arc::new(Self {
            answers: Mutex::new(answers),
            questions: Mutex::default(),
        })
    }

    pub(super) fn questions(&self) -> Vec<String> {
        self.questions.lock().unwrap().clone()
    }
}

impl Lookup for Script {
    fn lookup<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Vec<IpAddr>, NameResolverError>> {
        self.questions.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            0 | 1 => answers.front().cloned(),
            _ => answers.pop_front(),
        };
        Box::pin(std::future::ready(answer.ok_or_else(|| {
            NameResolverError::Unknown {
                name: name.to_owned(),
            }
        })))
    }
}
