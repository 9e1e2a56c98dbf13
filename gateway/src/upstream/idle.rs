use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::Exclusive;

/// Idle connections to one pod; more are closed.
const MOST: usize = 256;
/// A connection that was idle for so long is closed. Pods keep theirs for longer, so that it is
/// the gateway that closes and no request meets a connection that the pod closes just then.
pub(super) const LONGEST: Duration = Duration::from_secs(10);
/// Connections that are looked at before a new one is made: one that has just been given back needs
/// a moment before it takes a request. Bounds the time for which the lock is held.
const LOOKED_AT: usize = 16;

/// Connections that wait for a request. Its lock is held for a push, or a look at a few.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Parked>);

/// The one used last at the back.
#[derive(Debug, Default)]
struct Parked {
    connections: VecDeque<(Instant, Exclusive)>,
    /// Somebody will call [`Idle::expire`].
    looked_after: bool,
}

impl Idle {
    /// The connection that became idle last and takes requests.
    pub(super) fn take(&self) -> Option<Exclusive> {
        let connections = &mut self.lock().connections;
        let (mut looked_at, mut index) = (0, connections.len());
        while index > 0 && looked_at < LOOKED_AT {
            index -= 1;
            let connection = &mut connections[index].1;
            if connection.is_closed() {
                connections.remove(index);
                continue;
            }
            if connection.is_ready() {
                return connections.remove(index).map(|(_, connection)| connection);
            }
            looked_at += 1;
        }
        None
    }

    /// Keeps a connection for another request. Whether somebody has to look after them from now on.
    #[must_use]
    pub(super) fn put(&self, connection: Exclusive) -> bool {
        let mut idle = self.lock();
        if idle.connections.len() < MOST {
            idle.connections.push_back((Instant::now(), connection));
        }
        !std::mem::replace(&mut idle.looked_after, true)
    }

    /// Closes those that nobody has used for too long. When to look again, if some are left.
    pub(super) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut idle = self.lock();
        let Parked { connections, .. } = &mut *idle;
        let old = connections.partition_point(|(since, _)| now.duration_since(*since) >= LONGEST);
        connections.drain(..old);
        let next = connections.front().map(|(since, _)| *since + LONGEST);
        idle.looked_after = next.is_some();
        next
    }

    pub(super) fn clear(&self) {
        self.lock().connections.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Parked> {
        self.0
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::upstream::{Sending, Upstream};

    /// An idle connection, and the pod's end of it.
    async fn parked() -> (Arc<Upstream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Arc::new(Upstream::new(listener.local_addr().unwrap()));
        upstream.warm(Duration::from_secs(5)).await.unwrap();
        (upstream, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn what_nobody_uses_is_closed_after_a_while() {
        let (upstream, mut pod) = parked().await;
        let idle = upstream.idle(Sending::InHand);
        let next = idle.expire(Instant::now()).unwrap();
        assert!(next <= Instant::now() + LONGEST);
        assert_eq!(idle.expire(next), None);
        assert_eq!(pod.read(&mut [0]).await.unwrap(), 0, "the end");
    }

    #[tokio::test]
    async fn one_that_the_pod_has_closed_is_not_taken() {
        let (upstream, pod) = parked().await;
        let idle = upstream.idle(Sending::InHand);
        let taken = idle.take().unwrap();
        taken.park();
        drop(pod);
        let given_up = async {
            while let Some(open) = idle.take() {
                open.park();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), given_up)
            .await
            .unwrap();
    }
}
