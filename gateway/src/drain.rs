//! How the gateway goes: it says so, goes on accepting for a while, then finishes what it holds.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};
use wasmfn_crds::answer::AnswerReason;

use crate::{listener::Door, proxy::Gateway};

/// How often requests that wait for too long in a leaving gateway are looked for.
const DISMISS_EVERY: Duration = Duration::from_millis(500);

/// The connections that are open.
#[derive(Debug, Default)]
pub struct Connections(watch::Sender<bool>);

/// One of them, until this is dropped.
#[derive(Debug)]
pub struct Member(watch::Receiver<bool>);

impl Connections {
    /// One more is open.
    #[must_use]
    pub fn join(&self) -> Member {
        Member(self.0.subscribe())
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.receiver_count()
    }

    /// Tells all to end, and waits until they have.
    pub async fn end(self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}

impl Member {
    /// Waits until the connection has to end.
    pub async fn told_to_end(&mut self) {
        // An error says that nobody is left to tell it: that is an end as well.
        let _ = self.0.wait_for(|told| *told).await;
    }
}

/// How long a leaving gateway takes.
#[derive(Clone, Copy, Debug)]
pub struct Leave {
    /// New connections are still taken, since load balancers and kube-proxy learn late.
    pub lag: Duration,
    /// After that, requests may still wait for a pod. Together with `lag`, the longest request and a
    /// few seconds it has to fit the gateway's grace period, whatever `maxQueueSeconds` functions have.
    pub queue: Duration,
}

/// Serves by `doors` until `stop`, then drains: readiness fails and answers say that connections
/// close, while new ones are still taken; then no more, and what is in flight is finished. Requests
/// that wait go on waiting for a while; those that still do then are answered.
pub async fn serve_until(
    doors: Vec<Door>,
    gateway: Arc<Gateway>,
    stop: impl Future<Output = ()>,
    leave: Leave,
) {
    let connections = Arc::new(Connections::default());
    let mut accepting = JoinSet::new();
    for door in doors {
        let connections = connections.clone();
        accepting.spawn(async move { door.serve(&connections).await });
    }
    stop.await;
    tracing::info!("leaving");
    gateway.leave();
    tokio::time::sleep(leave.lag).await;
    accepting.shutdown().await;
    let Some(connections) = Arc::into_inner(connections) else {
        return;
    };
    tracing::info!(connections = connections.count(), "finishing");
    tokio::select! {
        () = connections.end() => {}
        never = dismiss_after(leave.queue, &gateway) => match never {},
    }
    tracing::info!("nothing is left");
}

/// Has requests give up that wait for longer than `queue`, those that come back to their queue too.
async fn dismiss_after(queue: Duration, gateway: &Gateway) -> std::convert::Infallible {
    tokio::time::sleep(queue).await;
    loop {
        for function in gateway.world.routes().functions() {
            function.queue.dismiss(AnswerReason::QueueTimeout);
        }
        tokio::time::sleep(DISMISS_EVERY).await;
    }
}
