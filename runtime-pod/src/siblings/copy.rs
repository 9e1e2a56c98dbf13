//! Copies compiled code from a sibling, or from the next one, where what came is not what it should be:
//! the seal under code says that, and the digest of a text.

use std::{
    fs::File,
    io::{self, Read},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures::{StreamExt, stream::FuturesUnordered};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

use super::{
    STAGE_HEADER, Siblings,
    claims::{Stage, waits},
    client::{Head, head},
    records,
};
use crate::code::{CodeKey, text::Text};

/// Siblings that are asked for code: all of them in all but the largest namespaces, so that one
/// who is making it is found.
const MAX_ASKED: usize = 16;
/// Largest code that is taken, in bytes: that of the largest module by default, and more.
const MAX_BYTES: u64 = 1 << 30;
/// How long the code may take.
const CODE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a text may take from one sibling: all functions that share it wait.
const TEXT_TIMEOUT: Duration = Duration::from_secs(20);

/// Pieces that have come and wait to be written: no more than keeps the writer busy.
const WAITING: usize = 2;

/// What asking for code came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Copied<T> {
    /// A sibling had it: the file holds what it sent, which was found to be right.
    Sent(T),
    /// A sibling will have it soon.
    Soon,
    /// No sibling has it, or will have it before this pod would.
    Nobody,
}

impl Siblings {
    /// Asks all for the code of `key`, and writes it to `file`. `check` says what stands behind it, or
    /// what is wrong with it.
    pub(crate) async fn copy_code<T: Send + 'static>(
        &self,
        key: &CodeKey,
        file: File,
        check: impl Check<T>,
    ) -> Copied<T> {
        let path = format!("/v1/code/{key}");
        self.copy(&path, file, MAX_BYTES, CODE_TIMEOUT, check).await
    }

    /// Asks all for a text, and writes it to `file`; says whether somebody had one that is right.
    pub(crate) async fn copy_text(&self, text: &Text, file: File, check: impl Check<()>) -> bool {
        let path = format!("/v1/texts/{}", text.digest);
        let copied = self.copy(&path, file, text.bytes, TEXT_TIMEOUT, check);
        copied.await == Copied::Sent(())
    }

    async fn copy<T: Send + 'static>(
        &self,
        path: &str,
        file: File,
        max_bytes: u64,
        within: Duration,
        check: impl Check<T>,
    ) -> Copied<T> {
        let Some(token) = self.token() else {
            return Copied::Nobody;
        };
        let addresses = self.addresses().await;
        let mut heads: FuturesUnordered<_> = addresses
            .into_iter()
            .take(MAX_ASKED)
            .map(|address| head(address, &token, path))
            .collect();
        let mut result = Copied::Nobody;
        while let Some(head) = heads.next().await {
            let Some(head) = head else { continue };
            if head.answer.status() == StatusCode::OK {
                let sibling = head.other;
                let body = head.answer.into_body();
                match receive(body, &file, max_bytes, within, check.clone()).await {
                    Ok(found) => return Copied::Sent(found),
                    Err(error) => {
                        tracing::warn!(%sibling, path, %error, "a sibling's code was not taken");
                    }
                }
            } else if stage(&head).is_some_and(|stage| waits(head.own, head.other, stage)) {
                result = Copied::Soon;
            }
        }
        result
    }
}

/// What is asked of a file once all of it has come.
pub(crate) trait Check<T>: Fn(&File) -> io::Result<T> + Clone + Send + 'static {}

impl<T, F: Fn(&File) -> io::Result<T> + Clone + Send + 'static> Check<T> for F {}

/// How far a sibling is that has no code yet, if it will have it.
fn stage(head: &Head) -> Option<Stage> {
    if head.answer.status() != StatusCode::ACCEPTED {
        return None;
    }
    Stage::parse(head.answer.headers().get(STAGE_HEADER)?.to_str().ok()?)
}

/// Takes what comes while another thread writes what has come, and checks it at the end. Nobody writes any
/// more when it returns.
async fn receive<T: Send + 'static>(
    body: Incoming,
    file: &File,
    max_bytes: u64,
    within: Duration,
    check: impl Check<T>,
) -> io::Result<T> {
    let (pieces, waiting) = mpsc::channel(WAITING);
    let file = file.try_clone()?;
    let piece = Bytes::new();
    let writing = spawn_blocking(move || {
        let pieces = Pieces { waiting, piece };
        records::write(pieces, &file, max_bytes).map(|()| file)
    });
    let passed_on = timeout(within, pass_on(body, pieces)).await;
    let file = writing.await.map_err(io::Error::other)??;
    passed_on.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    spawn_blocking(move || check(&file))
        .await
        .map_err(io::Error::other)?
}

async fn pass_on(mut body: Incoming, pieces: mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(io::Error::other)?.into_data() else {
            continue;
        };
        bytes += piece.len() as u64;
        if bytes > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // A writer that has failed says why.
        if pieces.send(piece).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// What comes, as one stream.
struct Pieces {
    waiting: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.waiting.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let read = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}
