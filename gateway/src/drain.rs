//! How the gateway goes: it says so, goes on accepting for a while, then finishes what it holds.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use crate::{listener::Door, proxy::Gateway};

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

/// Serves by `doors` until `stop`, then drains: readiness fails and answers say that connections
/// close, for `lag` new connections are still taken, since load balancers and kube-proxy learn
/// late; then no more, and what is in flight is finished.
pub async fn serve_until(
    doors: Vec<Door>,
    gateway: Arc<Gateway>,
    stop: impl Future<Output = ()>,
    lag: Duration,
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
    tokio::time::sleep(lag).await;
    accepting.shutdown().await;
    let Some(connections) = Arc::into_inner(connections) else {
        return;
    };
    tracing::info!(connections = connections.count(), "finishing");
    connections.end().await;
    tracing::info!("nothing is left");
}
