//! The module port: bytes by digest, for those who show the token.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::get,
};
use wasmfn_crds::token::Purpose;

use super::{SIGNATURE_HEADER, signature};
use crate::{store::ModuleStore, tokens::Tokens};

#[derive(Clone)]
struct Modules {
    store: ModuleStore,
    tokens: Arc<Tokens>,
}

/// The routes of the module port.
pub fn router(store: ModuleStore, tokens: Arc<Tokens>) -> Router {
    Router::new()
        .route("/v1/blobs/{digest}", get(blob))
        .with_state(Modules { store, tokens })
}

async fn blob(
    State(modules): State<Modules>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !modules
        .tokens
        .matches_bearer(Purpose::Module, headers.get(AUTHORIZATION))
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let token = modules.tokens.get(Purpose::Module).unwrap_or_default();
    match modules.store.read(&digest).await {
        Some(bytes) => {
            let signature = signature(&token, &digest, &bytes);
            ([(SIGNATURE_HEADER, signature)], bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
