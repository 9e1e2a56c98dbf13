//! Connections that stay open between calls. Each belongs to one function's list: no function
//! meets another's, and a changed list begins anew.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use hyper::client::conn::{http1, http2};

use super::body::Sent;

/// How long a connection waits for its next call: less than common servers keep theirs (Node: 5 s),
/// so that a call seldom meets one that is being closed.
pub(super) const IDLE: Duration = Duration::from_secs(4);
/// Waiting connections to one destination of one function.
const IDLE_OF_DESTINATION: usize = 16;

/// Whose connection it is, and where it leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Destination {
    /// Number of the function's list.
    pub(super) list: u64,
    pub(super) is_https: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

/// The near end of a connection.
pub(super) enum Sender {
    /// Carries one call at a time.
    Http1(http1::SendRequest<Sent>),
    /// Carries many at the same time.
    Http2(http2::SendRequest<Sent>),
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }
}

struct Waiting {
    destination: Destination,
    sender: Sender,
    since: Instant,
}

/// Connections of all functions, oldest first.
#[derive(Default)]
struct Shelf {
    waiting: Vec<Waiting>,
    is_swept: bool,
}

/// Keeps connections between calls.
#[derive(Default)]
pub(super) struct Pool(Mutex<Shelf>);

impl Pool {
    /// A connection for the next call.
    pub(super) fn take(&self, destination: &Destination) -> Option<Sender> {
        let mut shelf = self.lock();
        shelf.sweep(Instant::now());
        // The newest is the least likely to be closed by the other side just now.
        let index = shelf
            .waiting
            .iter()
            .rposition(|waiting| waiting.destination == *destination)?;
        if let Sender::Http2(sender) = &shelf.waiting[index].sender {
            let sender = sender.clone();
            shelf.waiting[index].since = Instant::now();
            return Some(Sender::Http2(sender));
        }
        Some(shelf.waiting.remove(index).sender)
    }

    /// Keeps a connection for the next call.
    pub(super) fn put(self: &Arc<Self>, destination: Destination, sender: Sender) {
        let mut shelf = self.lock();
        let now = Instant::now();
        shelf.sweep(now);
        let most = match sender {
            Sender::Http1(_) => IDLE_OF_DESTINATION,
            Sender::Http2(_) => 1,
        };
        let same = |waiting: &&Waiting| waiting.destination == destination;
        if shelf.waiting.iter().filter(same).count() >= most {
            return;
        }
        shelf.waiting.push(Waiting {
            destination,
            sender,
            since: now,
        });
        if !std::mem::replace(&mut shelf.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes the connection that has waited longest; false if none waits.
    pub(super) fn close_oldest(&self) -> bool {
        let mut shelf = self.lock();
        let oldest = shelf
            .waiting
            .iter()
            .enumerate()
            .min_by_key(|(_, waiting)| waiting.since)
            .map(|(index, _)| index);
        oldest.map(|index| shelf.waiting.remove(index)).is_some()
    }

    /// Connections that wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn sweep(&mut self, now: Instant) {
        self.waiting.retain(|waiting| {
            !waiting.sender.is_closed() && now.duration_since(waiting.since) < IDLE
        });
    }
}

/// Closes what has waited too long, until nothing waits any more.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut shelf = pool.lock();
        shelf.sweep(Instant::now());
        if shelf.waiting.is_empty() {
            shelf.is_swept = false;
            return;
        }
    }
}
