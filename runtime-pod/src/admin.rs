//! The admin port: probes for the kubelet, metrics for Prometheus, state for the operator.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header::AUTHORIZATION, header::CONTENT_TYPE},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use wasmfn_crds::{names::STATE_PATH, token::Purpose};

use crate::{
    metrics::Metrics,
    report::{self, Picture},
    tokens::Tokens,
};

/// Content type of the state stream.
const NDJSON: &str = "application/x-ndjson";
/// Content type of the metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the port shows.
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) picture: Arc<Picture>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tokens: Arc<Tokens>,
    /// The pod leaves, and its drain time is over.
    pub(crate) is_gone: Arc<AtomicBool>,
}

/// The routes of the admin port.
pub fn router(admin: Admin) -> Router {
    let guarded = Router::new()
        .route(STATE_PATH, get(state))
        .route_layer(from_fn_with_state(admin.clone(), authorize));
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(guarded)
        .with_state(admin)
}

async fn authorize(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(AUTHORIZATION);
    if admin.tokens.matches_bearer(Purpose::Admin, shown) {
        next.run(request).await
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.is_gone.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "leaving")
    } else if admin.picture.is_in_sync() {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the function list is not known yet",
        )
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.text(admin.picture.holdings()) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn state(State(admin): State<Admin>) -> Response {
    ([(CONTENT_TYPE, NDJSON)], report::body(admin.picture)).into_response()
}
