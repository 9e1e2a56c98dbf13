//! Standard output of a CGI program: its head becomes the answer's, the rest is streamed.

mod stream;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use wasmtime::Result;
use wasmtime_wasi_http::Error;

use super::head::{self, Head};
use crate::{command::CommandError, service::Begin};

/// Pieces that wait for the client; then the program waits.
const PIECES: usize = 4;

/// One call's output; clones share it.
#[derive(Clone)]
pub(in crate::command) struct Output(Arc<Mutex<Stage>>);

/// How far an answer is.
enum Stage {
    /// Its head is not complete.
    Head { printed: Vec<u8>, begin: Begin },
    /// Its body passes.
    Body(Passing),
    /// Nothing more of it is sent.
    Over(Option<CommandError>),
}

/// A body on its way.
struct Passing {
    pieces: mpsc::Sender<Bytes>,
    /// The program's `Content-Length`.
    announced_bytes: Option<u64>,
    printed_bytes: u64,
}

/// Why something was not taken.
#[derive(Debug)]
enum NotTaken {
    /// The client has gone.
    Closed,
    /// The program broke the contract; the stage says how.
    Refused,
}

impl Output {
    /// An output whose answer goes to `begin`.
    pub(in crate::command) fn new(begin: Begin) -> Self {
        Self(Arc::new(Mutex::new(Stage::Head {
            printed: Vec::new(),
            begin,
        })))
    }

    /// The program has ended, so: says what is wrong with that, or with what it printed. Where it
    /// was ended since it broke the contract, that is said. `is_bodiless`: the client gets no body,
    /// whatever was announced.
    pub(in crate::command) fn finish(&self, is_bodiless: bool, ended: Result<()>) -> Result<()> {
        let mut stage = self.lock();
        if let Stage::Over(error) = &mut *stage {
            // Without an error the client has gone, and how the program took it does not matter.
            return error.take().map_or(Ok(()), |error| Err(error.into()));
        }
        ended?;
        match &*stage {
            Stage::Head { printed, .. } => {
                Err(CommandError::from(head::unfinished(printed)).into())
            }
            Stage::Body(passing) => {
                let least = passing.announced_bytes.filter(|_| !is_bodiless);
                Ok(passing.fits(least.unwrap_or(0))?)
            }
            Stage::Over(_) => Ok(()),
        }
    }

    /// Takes what was printed; there must be room for it.
    fn take(&self, bytes: Bytes) -> std::result::Result<(), NotTaken> {
        let mut stage = self.lock();
        let (next, result) = match std::mem::replace(&mut *stage, Stage::Over(None)) {
            Stage::Head { mut printed, begin } => {
                printed.extend_from_slice(&bytes);
                match head::parse(&printed) {
                    Ok(None) => (Stage::Head { printed, begin }, Ok(())),
                    Ok(Some(head)) => {
                        let body = Bytes::from(printed).split_off(head.length_bytes);
                        start(head, begin).take(body)
                    }
                    Err(error) => (Stage::Over(Some(error.into())), Err(NotTaken::Refused)),
                }
            }
            Stage::Body(passing) => passing.take(bytes),
            Stage::Over(error) => (Stage::Over(error), Err(NotTaken::Closed)),
        };
        *stage = next;
        result
    }

    /// The way for pieces of the body, once there is one.
    fn pieces(&self) -> Option<mpsc::Sender<Bytes>> {
        match &*self.lock() {
            Stage::Body(passing) => Some(passing.pieces.clone()),
            _ => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the answer on its way, and says where its body goes.
fn start(head: Head, begin: Begin) -> Passing {
    let (pieces, receiver) = mpsc::channel(PIECES);
    let announced_bytes = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let mut answer = Response::new(Pieces(receiver).boxed_unsync());
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    begin(answer);
    Passing {
        pieces,
        announced_bytes,
        printed_bytes: 0,
    }
}

impl Passing {
    fn take(mut self, bytes: Bytes) -> (Stage, std::result::Result<(), NotTaken>) {
        if bytes.is_empty() {
            return (Stage::Body(self), Ok(()));
        }
        self.printed_bytes += bytes.len() as u64;
        if let Err(error) = self.fits(0) {
            return (Stage::Over(Some(error)), Err(NotTaken::Refused));
        }
        match self.pieces.try_send(bytes) {
            Ok(()) => (Stage::Body(self), Ok(())),
            Err(_) => (Stage::Over(None), Err(NotTaken::Closed)),
        }
    }

    /// Whether what was printed is at least `least_bytes` and no more than was announced.
    fn fits(&self, least_bytes: u64) -> std::result::Result<(), CommandError> {
        let most = self.announced_bytes.unwrap_or(u64::MAX);
        if (least_bytes..=most).contains(&self.printed_bytes) {
            return Ok(());
        }
        Err(CommandError::Length {
            announced_bytes: most,
            printed_bytes: self.printed_bytes,
        })
    }
}

/// A body that comes in pieces, and ends when no more can come.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Error>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
