//! The module port: modules by digest, compiled code by key and its text by digest, for those who
//! show the token.

use std::{
    fs::File,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{Stream, stream};
use tokio::task::spawn_blocking;
use wasmfn_crds::token::Purpose;

use super::{Claims, SIGNATURE_HEADER, STAGE_HEADER, records, signature};
use crate::{
    code::{CodeCache, CodeKey, text::TextDigest},
    store::ModuleStore,
    tokens::Tokens,
};

/// What the port offers.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) modules: ModuleStore,
    pub(crate) code: Arc<CodeCache>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) asked: Arc<Asked>,
}

/// When a sibling asked for something last, or was still being sent it.
#[derive(Debug)]
pub(crate) struct Asked(Mutex<Instant>);

impl Default for Asked {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Asked {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The time of it.
    pub(crate) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes of the module port.
pub(crate) fn router(offer: Offer) -> Router {
    Router::new()
        .route("/v1/blobs/{digest}", get(blob))
        .route("/v1/code/{key}", get(code))
        .route("/v1/texts/{digest}", get(text))
        .layer(from_fn_with_state(offer.clone(), authorized))
        .with_state(offer)
}

async fn authorized(State(offer): State<Offer>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(AUTHORIZATION);
    if !offer.tokens.matches_bearer(Purpose::Module, shown) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    next.run(request).await
}

async fn blob(State(offer): State<Offer>, Path(digest): Path<String>) -> Response {
    offer.asked.note();
    let token = offer.tokens.get(Purpose::Module).unwrap_or_default();
    match offer.modules.read(&digest).await {
        Some(bytes) => {
            let signature = signature(&token, &digest, &bytes);
            ([(SIGNATURE_HEADER, signature)], bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn code(State(offer): State<Offer>, Path(key): Path<String>) -> Response {
    offer.asked.note();
    let Some(key) = CodeKey::parse(&key) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // Before the look for the file: what is claimed now may be stored a moment later.
    let stage = offer.claims.stage(&key);
    let code = Arc::clone(&offer.code);
    let file = spawn_blocking(move || code.store().raw(&key)).await;
    match (file.ok().flatten(), stage) {
        (Some(file), _) => send(file, offer.asked),
        (None, Some(stage)) => {
            (StatusCode::ACCEPTED, [(STAGE_HEADER, stage.as_str())]).into_response()
        }
        (None, None) => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn text(State(offer): State<Offer>, Path(digest): Path<String>) -> Response {
    offer.asked.note();
    let Some(digest) = TextDigest::parse(&digest) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let code = Arc::clone(&offer.code);
    let look = move || code.store().texts()?.raw(&digest);
    match spawn_blocking(look).await.ok().flatten() {
        Some(file) => send(file, offer.asked),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn send(file: File, asked: Arc<Asked>) -> Response {
    Body::from_stream(sent(file, asked)).into_response()
}

/// The file from its beginning. More is read once what was read before is on its way.
fn sent(file: File, asked: Arc<Asked>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((file, 0), move |(file, at)| {
        asked.note();
        async move {
            let read = spawn_blocking(move || {
                let records = records::read(&file, at)?;
                io::Result::Ok(records.map(|(records, next)| (records, (file, next))))
            });
            read.await.map_err(io::Error::other)?
        }
    })
}
