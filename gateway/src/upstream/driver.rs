use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::AbortHandle};

use super::{Sending, bell::Bell};
use crate::proxy::body::AttemptBody;

type Http1 = Connection<TokioIo<TcpStream>, AttemptBody>;

/// Who moves a connection's bytes. Dropped, the connection is closed.
#[derive(Debug)]
pub(super) enum Driver {
    /// Whoever waits for the answer, so that an answer wakes no second task.
    Inline(Box<Inline>),
    /// A task of its own: a body goes on to the pod also while the client takes nothing of the answer.
    Task(AbortHandle),
    /// Nobody any more: the connection has ended.
    Over,
}

/// A connection, and what it rings.
#[derive(Debug)]
pub(super) struct Inline {
    connection: Http1,
    bell: Arc<Bell>,
}

impl Driver {
    pub(super) fn new(connection: Http1, sending: Sending) -> Self {
        match sending {
            Sending::InHand => Self::Inline(Box::new(Inline {
                connection,
                bell: Arc::default(),
            })),
            Sending::Streaming => {
                let driving = async move { note_end(connection.await) };
                Self::Task(tokio::spawn(driving).abort_handle())
            }
        }
    }

    /// Looks what has come of `work`, which ends when the connection has moved enough bytes; moves
    /// them where nobody else does.
    pub(super) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Only the connection can bring the work further. A work that woke this task as well would have it
        // run once more for nothing.
        let asleep = &mut Context::from_waker(Waker::noop());
        let bell = match self {
            Self::Task(_) => return work(context),
            Self::Over => return work(asleep),
            Self::Inline(inline) => inline.bell.clone(),
        };
        bell.attend(context, |ringing| {
            if let Poll::Ready(done) = work(asleep) {
                return Poll::Ready(done);
            }
            self.advance(ringing);
            work(asleep)
        })
    }

    /// Moves what there is to move while nobody waits, and notices the end of the connection.
    pub(super) fn idle(&mut self) {
        self.advance(&mut Context::from_waker(Waker::noop()));
    }

    fn advance(&mut self, context: &mut Context<'_>) {
        if let Self::Inline(inline) = self
            && let Poll::Ready(ended) = Pin::new(&mut inline.connection).poll(context)
        {
            note_end(ended);
            *self = Self::Over;
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

fn note_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to a pod has ended");
    }
}
