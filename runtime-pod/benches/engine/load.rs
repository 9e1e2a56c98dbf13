//! Asks a server as often as it answers, on connections that are kept.
//!
//! Requests are bytes that were made before, and of an answer only as much is read as tells its
//! status and end: the load must not be what is measured.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

/// What is asked, of whom, and how.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    /// Sent in turn.
    pub(super) requests: Vec<Vec<u8>>,
    /// Connections, each with one request at a time.
    pub(super) concurrency: usize,
    pub(super) length: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Score {
    /// Answers in a second, all of status 200.
    pub(super) per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Load {
    /// Asks for as long as it is to take.
    pub(super) async fn ask(self) -> Result<Score> {
        let all: Vec<_> = self.requests.into_iter().map(Bytes::from).collect();
        let begun_at = Instant::now();
        let ends_at = begun_at + self.length;
        let mut connections = JoinSet::new();
        for index in 0..self.concurrency {
            let connection = Connection::open(self.address).await?;
            // Each begins elsewhere in the turn.
            let mut requests = all.clone();
            let start = index * requests.len() / self.concurrency;
            requests.rotate_left(start);
            connections.spawn(connection.ask(requests, ends_at));
        }
        let mut durations = Vec::new();
        while let Some(result) = connections.join_next().await {
            durations.extend(result??);
        }
        Score::of(durations, begun_at.elapsed())
    }
}

impl Score {
    /// What answers that took so long, all of them within `length`, come to.
    pub(super) fn of(mut durations: Vec<Duration>, length: Duration) -> Result<Self> {
        durations.sort_unstable();
        let at = |hundredths: usize| durations.get(durations.len() * hundredths / 100).copied();
        Ok(Self {
            per_second: durations.len() as f64 / length.as_secs_f64(),
            p50: at(50).context("nothing was answered in time")?,
            p99: at(99).context("nothing was answered in time")?,
        })
    }
}

/// A connection that is kept, for one request at a time.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: BytesMut::with_capacity(64 << 10),
        })
    }

    async fn ask(mut self, requests: Vec<Bytes>, ends_at: Instant) -> Result<Vec<Duration>> {
        let mut durations = Vec::new();
        for request in requests.iter().cycle() {
            let begun_at = Instant::now();
            if begun_at >= ends_at {
                break;
            }
            self.exchange(request).await?;
            durations.push(begun_at.elapsed());
        }
        Ok(durations)
    }

    /// Sends and receives at the same time: an echo begins before the request has ended.
    pub(super) async fn exchange(&mut self, request: &Bytes) -> Result<()> {
        let (mut reading, mut writing) = self.stream.split();
        let buffer = &mut self.buffer;
        let receive = async {
            let mut answer = Answer::default();
            while !answer.take(buffer)? {
                let count = reading.read_buf(buffer).await?;
                ensure!(count > 0, "the connection was closed");
            }
            Ok(())
        };
        let send = async { writing.write_all(request).await.context("cannot send") };
        tokio::try_join!(send, receive)?;
        Ok(())
    }
}

/// How far an answer is.
#[derive(Debug, Default)]
enum Answer {
    #[default]
    Head,
    /// So many bytes of the body are left.
    Sized(usize),
    /// Chunks; so many bytes of the current one are left.
    Chunked(usize),
    /// The line after the last chunk.
    Last,
}

impl Answer {
    /// Takes what there is of the answer; true at its end.
    fn take(&mut self, buffer: &mut BytesMut) -> Result<bool> {
        loop {
            match self {
                Self::Head => {
                    let Some(end) = find(buffer, b"\r\n\r\n") else {
                        return Ok(false);
                    };
                    *self = body(&buffer[..end])?;
                    buffer.advance(end + 4);
                }
                Self::Sized(left) => {
                    let count = buffer.len().min(*left);
                    buffer.advance(count);
                    *left -= count;
                    return Ok(*left == 0);
                }
                Self::Chunked(left) if *left > 0 => {
                    let count = buffer.len().min(*left);
                    buffer.advance(count);
                    *left -= count;
                    if *left > 0 {
                        return Ok(false);
                    }
                }
                Self::Chunked(_) | Self::Last => {
                    let Some(end) = find(buffer, b"\r\n") else {
                        return Ok(false);
                    };
                    if matches!(self, Self::Last) {
                        buffer.advance(end + 2);
                        return Ok(true);
                    }
                    let size = std::str::from_utf8(&buffer[..end])?;
                    let size = usize::from_str_radix(size, 16).context("a chunk's size")?;
                    buffer.advance(end + 2);
                    // The chunk ends with a line's end of its own.
                    *self = if size == 0 {
                        Self::Last
                    } else {
                        Self::Chunked(size + 2)
                    };
                }
            }
        }
    }
}

/// How the body comes whose head this is.
fn body(head: &[u8]) -> Result<Answer> {
    let head = std::str::from_utf8(head)?;
    ensure!(head.starts_with("HTTP/1.1 200"), "answered with: {head}");
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            return Ok(Answer::Sized(value.trim().parse()?));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Answer::Chunked(0));
        }
    }
    bail!("an answer without an end: {head}")
}

fn find(buffer: &[u8], what: &[u8]) -> Option<usize> {
    buffer.windows(what.len()).position(|window| window == what)
}
