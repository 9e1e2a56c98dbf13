//! What is pushed can be pulled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::response::Response;
use http::StatusCode;

use super::scripted::{ScriptedRegistry, Seen, error, ok, status, with_header};
use super::*;

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// `ann:right` in base64.
const ANN: &str = "Basic YW5uOnJpZ2h0";

type Held = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// A registry that keeps what it is sent, under paths, and lets only ann in.
fn keep(held: &Held, seen: &Seen) -> Response {
    if seen.authorization.as_deref() != Some(ANN) {
        let refused = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        return with_header(refused, "www-authenticate", "Basic realm=\"registry\"");
    }
    let mut held = held.lock().unwrap();
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let path = path.strip_prefix("/v2/team/hello/").unwrap();
    match seen.method.as_str() {
        "POST" => with_header(
            status(StatusCode::ACCEPTED),
            "location",
            "/v2/team/hello/blobs/uploads/1?state=a",
        ),
        "PUT" if path == "blobs/uploads/1" => {
            let digest = query.strip_prefix("state=a&digest=").unwrap();
            held.insert(format!("blobs/{digest}"), seen.body.clone());
            status(StatusCode::CREATED)
        }
        "PUT" => {
            let by_digest = format!("manifests/{}", digest::of(&seen.body));
            held.insert(by_digest, seen.body.clone());
            held.insert(path.to_owned(), seen.body.clone());
            status(StatusCode::CREATED)
        }
        _ => match held.get(path) {
            Some(bytes) => ok(bytes.clone()),
            None => error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
        },
    }
}

#[tokio::test]
async fn what_is_pushed_can_be_pulled_and_is_sent_once() {
    let held = Held::default();
    let keeping = Arc::clone(&held);
    let registry = ScriptedRegistry::start(move |seen| keep(&keeping, seen)).await;
    let (image, logins) = (
        registry.image("team/hello:v1"),
        [registry.login("ann", "right")],
    );
    let client = client();
    let push = || client.push(&image, Bytes::from_static(MODULE), &logins);
    let digest = push().await.unwrap();
    assert_eq!(client.resolve(&image, &logins).await.unwrap(), digest);
    let pulled = client.pull(&image, &digest, &logins, MAX_BYTES).await;
    assert_eq!(pulled.unwrap(), MODULE);
    assert_eq!(held.lock().unwrap().len(), 4);

    let before = registry.seen().len();
    assert_eq!(push().await.unwrap(), digest, "the same bytes");
    let seen = registry.seen().split_off(before);
    let written: Vec<&str> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!(written, ["HEAD", "HEAD", "PUT"]);
}

#[tokio::test]
async fn a_digest_is_not_pushed_to_and_strangers_are_refused() {
    let registry = ScriptedRegistry::start(move |seen| keep(&Held::default(), seen)).await;
    let client = client();
    let module = Bytes::from_static(MODULE);
    let digest = digest::of(MODULE);
    let image = registry.image(&format!("team/hello@{digest}"));
    let error = client.push(&image, module.clone(), &[]).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::InvalidReference { .. }),
        "{error}"
    );
    let logins = [registry.login("bob", "wrong")];
    let image = registry.image("team/hello:v1");
    let error = client.push(&image, module, &logins).await.unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
}
