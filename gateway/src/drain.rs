//! How the gateway goes: it says so, goes on accepting for a while, then finishes what it holds.

use std::{sync::Arc, time::Duration};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::task::JoinSet;

use crate::{listener::Door, proxy::Gateway};

/// Serves by `doors` until `stop`, then drains: readiness fails and answers say that connections
/// close, for `lag` new connections are still taken, since load balancers and kube-proxy learn
/// late; then no more, and what is in flight is finished.
pub async fn serve_until(
    doors: Vec<Door>,
    gateway: Arc<Gateway>,
    stop: impl Future<Output = ()>,
    lag: Duration,
) {
    let connections = Arc::new(GracefulShutdown::new());
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
    connections.shutdown().await;
    tracing::info!("nothing is left");
}
