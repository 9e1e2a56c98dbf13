//! The admin port: probes and metrics for everyone, the state stream for the operator.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use wasmfn_crds::names::STATE_PATH;

use crate::{metrics, proxy::Gateway, report};

/// What the port's handlers need.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// wasmfn's own namespace, whose admin token opens the stream.
    pub namespace: Arc<str>,
    /// Name of this pod.
    pub pod: Arc<str>,
}

/// Serves the port for ever.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(admin: Admin, listener: TcpListener) -> std::io::Result<()> {
    axum::serve(listener, router(admin)).await
}

/// The port's routes.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(text))
        .route(STATE_PATH, get(state))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.gateway.is_leaving() {
        (StatusCode::SERVICE_UNAVAILABLE, "leaving")
    } else if admin.gateway.world.is_synced() {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "functions and pods have not been heard of yet",
        )
    }
}

async fn text(State(admin): State<Admin>) -> Response {
    match metrics::text(&admin.gateway) {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn state(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    if !admin.gateway.tokens.is_admin(&admin.namespace, token) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let lines = report::stream(admin.gateway, admin.pod);
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}
