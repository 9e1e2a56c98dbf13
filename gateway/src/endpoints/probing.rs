//! Pods that do not answer yet, tried by the gateway itself while requests wait: the first request
//! need not wait for the kubelet's next probe, and thousands of them make one connection.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{Backends, Pod};

/// Time in which a pod takes a connection. Short, since the network of one that is starting may come
/// up meanwhile, and the kernel asks again only after a second.
const CONNECT: Duration = Duration::from_millis(200);
/// Shortest pause between two tries of a pod that is starting.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause between two tries of a pod that is starting.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// A pause is this part of the time tried so far.
const PAUSE_PART: u32 = 20;

impl Backends {
    /// Begins to try each pod that cannot be asked, unless that is done already, for as long as
    /// `wanted`. Calls `reached` whenever one has taken a connection, which is kept for a request.
    pub fn probe(
        &self,
        wanted: impl Fn() -> bool + Clone + Send + 'static,
        reached: impl Fn() + Clone + Send + 'static,
    ) {
        let starting = self.starting.iter().filter(|pod| !pod.is_proven());
        let failing = self.ready.iter().filter(|pod| pod.is_unreachable());
        for pod in starting.chain(failing) {
            if !pod.probed.swap(true, Ordering::SeqCst) {
                tokio::spawn(probe(Arc::downgrade(pod), wanted.clone(), reached.clone()));
            }
        }
    }
}

async fn probe(pod: Weak<Pod>, wanted: impl Fn() -> bool, reached: impl Fn()) {
    let since = Instant::now();
    let mut pause = Duration::ZERO;
    // Ends with the pod: nothing waits for one that the API has dropped.
    while let Some(known) = pod.upgrade() {
        let out_of_reach = known.out_of_reach_for(Instant::now());
        drop(known);
        tokio::time::sleep(pause.max(out_of_reach)).await;
        let Some(pod) = pod.upgrade() else {
            return;
        };
        if has_ended(&pod, &wanted) {
            return;
        }
        match pod.upstream.warm(CONNECT).await {
            Ok(()) => {
                tracing::debug!(pod = %pod.address, after = ?since.elapsed(), "reached");
                pod.note_connected();
                reached();
            }
            // One that is starting is not set aside: once it is ready, requests try it.
            Err(_) if pod.is_unreachable() => pod.note_unreachable(Instant::now()),
            Err(_) => {}
        }
        pause = if pod.is_proven() {
            Duration::ZERO
        } else {
            pause_after(since.elapsed())
        };
    }
}

/// Whether there is no reason to go on, which lets the next one who has a reason begin anew.
fn has_ended(pod: &Pod, wanted: impl Fn() -> bool) -> bool {
    let needed = || !pod.is_proven() && wanted();
    if needed() {
        return false;
    }
    pod.probed.store(false, Ordering::SeqCst);
    // Whoever came to need it just before has found it probed.
    !needed() || pod.probed.swap(true, Ordering::SeqCst)
}

/// How long to wait before the next try, after trying for `tried` already.
fn pause_after(tried: Duration) -> Duration {
    (tried / PAUSE_PART).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    fn backends(starting: Vec<Arc<Pod>>, ready: Vec<Arc<Pod>>) -> Backends {
        Backends {
            ready,
            leaving: Vec::new(),
            starting,
        }
    }

    #[tokio::test]
    async fn many_that_wait_make_one_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pod = Arc::new(Pod::new(listener.local_addr().unwrap(), ""));
        let backends = backends(vec![pod.clone()], Vec::new());
        let reached = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let told = reached.clone();
            backends.probe(
                || true,
                move || {
                    told.fetch_add(1, Ordering::Relaxed);
                },
            );
        }
        let _connection = listener.accept().await.unwrap();
        while reached.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(pod.is_proven());
        backends.probe(|| true, || unreachable!("it is known to be there"));
        let another = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(another.is_err());
        assert_eq!(reached.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn it_ends_when_nobody_waits_and_begins_again() {
        // Refuses until it listens.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let pod = Arc::new(Pod::new(address, ""));
        pod.note_unreachable(Instant::now());
        let backends = backends(Vec::new(), vec![pod.clone()]);
        let wanted = Arc::new(AtomicBool::new(true));
        let asks = wanted.clone();
        backends.probe(move || asks.load(Ordering::SeqCst), || ());
        assert!(pod.probed.load(Ordering::SeqCst));
        wanted.store(false, Ordering::SeqCst);
        while pod.probed.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let listener = socket.listen(1).unwrap();
        backends.probe(|| true, || ());
        listener.accept().await.unwrap();
    }

    #[test]
    fn pauses_are_a_small_part_of_the_waiting() {
        assert_eq!(pause_after(Duration::ZERO), SHORTEST_PAUSE);
        assert_eq!(
            pause_after(Duration::from_millis(400)),
            Duration::from_millis(20)
        );
        assert_eq!(pause_after(Duration::from_secs(60)), LONGEST_PAUSE);
    }
}
