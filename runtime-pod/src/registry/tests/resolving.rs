//! From a tag to a digest.

use http::StatusCode;
use wasmfn_crds::Reason;

use super::scripted::{Image, ScriptedRegistry, error, ok, status, with_header};
use super::*;

#[tokio::test]
async fn a_tag_is_resolved_by_one_head() {
    let image = Image::hello();
    let digest = image.digest();
    let registry = ScriptedRegistry::holding(image).await;
    let found = client()
        .resolve(&registry.image("team/hello:v1"), &[])
        .await;
    assert_eq!(found, Ok(digest));
    let seen = registry.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, Method::HEAD);
}

#[tokio::test]
async fn a_digest_is_its_own_answer() {
    let digest = Image::hello().digest();
    let reference = format!("nowhere.invalid/team/hello:v1@{digest}");
    assert_eq!(client().resolve(&reference, &[]).await, Ok(digest));
}

#[tokio::test]
async fn a_head_that_says_too_little_is_followed_by_a_get() {
    let image = Image::hello();
    let digest = image.digest();
    let heads = [
        ok(""),
        with_header(ok(""), "docker-content-digest", "sha256:../../x"),
        status(StatusCode::METHOD_NOT_ALLOWED),
        status(StatusCode::NOT_FOUND),
    ];
    for head in heads {
        let (code, headers) = (head.status(), head.headers().clone());
        let manifest = image.manifest.clone();
        let registry = ScriptedRegistry::start(move |seen| {
            if is_get(&seen.method) {
                return ok(manifest.clone());
            }
            let mut head = status(code);
            head.headers_mut().extend(headers.clone());
            head
        })
        .await;
        let found = client().resolve(&registry.image("team/hello"), &[]).await;
        assert_eq!(found, Ok(digest.clone()), "{code}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_by_name() {
    let registry = ScriptedRegistry::holding(Image::hello()).await;
    let reference = registry.image("team/hello:v2");
    let failure = client().resolve(&reference, &[]).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::ImageNotFound);
    assert!(failure.is_transient());
    let said = failure.to_string();
    for word in [&registry.authority, "team/hello:v2", "404 MANIFEST_UNKNOWN"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(!said.contains("internal-detail"), "{said}");
}

#[tokio::test]
async fn a_manifest_beyond_all_bounds_is_no_answer() {
    let registry = ScriptedRegistry::start(|seen| {
        if is_get(&seen.method) {
            return ok(vec![b' '; (4 << 20) + 1]);
        }
        error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN")
    })
    .await;
    let failure = client()
        .resolve(&registry.image("a"), &[])
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::RegistryInvalid);
}

#[tokio::test]
async fn what_is_no_reference_is_asked_of_nobody() {
    let failure = client()
        .resolve("https://r.example/A", &[])
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::InvalidImage);
    assert!(!failure.is_transient());
}
