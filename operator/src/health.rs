//! Probes and metrics.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use thiserror::Error;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// The server cannot serve.
#[derive(Debug, Error)]
pub enum HealthError {
    /// The address is taken or not allowed.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// It broke off.
    #[error("the server of probes and metrics failed")]
    Serve(#[source] std::io::Error),
}

/// What the probes ask for.
#[derive(Clone, Debug)]
pub struct Health {
    ready: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Health {
    /// Alive, not ready yet.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self {
            ready: Arc::default(),
            metrics,
        }
    }

    /// The caches are filled. Leading is no part of being ready.
    pub fn ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// The pages.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

async fn readyz(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the caches are not filled yet",
        )
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    match health.metrics.text() {
        Ok(text) => Ok((
            [(
                "content-type",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Listens on `address`; where the machine has no IPv6, on the same port over IPv4.
///
/// # Errors
/// [`HealthError::Listen`].
pub async fn listen(address: SocketAddr) -> Result<TcpListener, HealthError> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(_) if address.ip().is_unspecified() && address.is_ipv6() => {
            let plain = SocketAddr::from(([0, 0, 0, 0], address.port()));
            TcpListener::bind(plain)
                .await
                .map_err(|source| HealthError::Listen(plain, source))
        }
        Err(source) => Err(HealthError::Listen(address, source)),
    }
}

/// Serves until dropped.
///
/// # Errors
/// [`HealthError::Serve`].
pub async fn serve(listener: TcpListener, health: Health) -> Result<(), HealthError> {
    axum::serve(listener, health.router())
        .await
        .map_err(HealthError::Serve)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    async fn status(health: &Health, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = health.clone().router().oneshot(request).await.unwrap();
        answer.status()
    }

    #[tokio::test]
    async fn is_ready_once_the_caches_are() {
        let health = Health::new(Metrics::new());
        assert_eq!(status(&health, "/healthz").await, StatusCode::OK);
        let unready = status(&health, "/readyz").await;
        assert_eq!(unready, StatusCode::SERVICE_UNAVAILABLE);
        health.ready();
        assert_eq!(status(&health, "/readyz").await, StatusCode::OK);
        assert_eq!(status(&health, "/metrics").await, StatusCode::OK);
    }
}
