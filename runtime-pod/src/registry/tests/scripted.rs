//! A registry that answers as a test says, and remembers what it was asked.

use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use serde_json::json;

use crate::registry::{Credentials, digest};

const ERRORS_MAX_BYTES: usize = 1 << 20;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) authorization: Option<String>,
    pub(super) body: Bytes,
    /// How many requests came before it.
    pub(super) before: usize,
}

pub(super) struct ScriptedRegistry {
    pub(super) authority: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl ScriptedRegistry {
    pub(super) async fn start(
        script: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let log = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            let (script, log) = (script.clone(), Arc::clone(&log));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, ERRORS_MAX_BYTES).await.unwrap();
                let authorization = parts.headers.get(AUTHORIZATION);
                let mut log = log.lock().unwrap();
                let seen = Seen {
                    method: parts.method,
                    target: parts.uri.to_string(),
                    authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
                    body,
                    before: log.len(),
                };
                log.push(seen.clone());
                script(&seen)
            }
        });
        let task = tokio::spawn(axum::serve(listener, router).into_future());
        Self {
            authority,
            seen,
            task,
        }
    }

    /// A registry that holds one image under `team/hello:v1`.
    pub(super) async fn holding(image: Image) -> Self {
        Self::start(move |seen| image.answer(seen)).await
    }

    pub(super) fn image(&self, rest: &str) -> String {
        format!("{}/{rest}", self.authority)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// A pull secret for it.
    pub(super) fn login(&self, user: &str, password: &str) -> Credentials {
        let config = json!({
            "auths": { (self.authority.clone()): { "username": user, "password": password } }
        });
        Credentials::from_docker_config(config.to_string().as_bytes()).unwrap()
    }
}

impl Drop for ScriptedRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An image with one layer.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) manifest: Bytes,
    pub(super) module: Bytes,
}

impl Image {
    pub(super) fn of(media_type: &str, module: &[u8]) -> Self {
        let manifest = json!({
            "schemaVersion": 2,
            "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": digest::of(b"{}"), "size": 2 },
            "layers": [{ "mediaType": media_type, "digest": digest::of(module), "size": module.len() }],
        });
        Self {
            manifest: manifest.to_string().into(),
            module: Bytes::copy_from_slice(module),
        }
    }

    pub(super) fn hello() -> Self {
        Self::of("application/wasm", b"\0asm\x0d\0\x01\0 and so on")
    }

    pub(super) fn digest(&self) -> String {
        digest::of(&self.manifest)
    }

    /// Path of the layer.
    pub(super) fn blob_path(&self) -> String {
        format!("/v2/team/hello/blobs/{}", digest::of(&self.module))
    }

    pub(super) fn answer(&self, seen: &Seen) -> Response {
        let by_digest = format!("/v2/team/hello/manifests/{}", self.digest());
        if seen.target == "/v2/team/hello/manifests/v1" || seen.target == by_digest {
            return with_header(
                ok(self.manifest.clone()),
                "docker-content-digest",
                &self.digest(),
            );
        }
        if seen.target == self.blob_path() {
            return ok(self.module.clone());
        }
        error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN")
    }
}

pub(super) fn ok(body: impl Into<Body>) -> Response {
    Response::new(body.into())
}

pub(super) fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The distribution API's envelope, with a message that must reach nobody.
pub(super) fn error(code: StatusCode, word: &str) -> Response {
    let body = json!({ "errors": [{ "code": word, "message": "internal-detail" }] });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = code;
    response
}

pub(super) fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}
