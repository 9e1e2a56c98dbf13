//! From a digest to a module.

use axum::body::Body;
use futures::stream;
use http::StatusCode;
use serde_json::json;
use wasmfn_crds::Reason;

use super::scripted::{Image, ScriptedRegistry, ok, status, with_header};
use super::*;

async fn failure(registry: &ScriptedRegistry, digest: &str, max_bytes: u64) -> RegistryError {
    let reference = registry.image("team/hello:v1");
    let client = client();
    let pulled = client.pull(&reference, digest, &[], max_bytes).await;
    pulled.expect_err("it must fail")
}

#[tokio::test]
async fn a_module_is_pulled_by_its_digest() {
    let image = Image::hello();
    let registry = ScriptedRegistry::holding(image.clone()).await;
    let reference = registry.image("team/hello:some-other-tag");
    let pulled = client()
        .pull(&reference, &image.digest(), &[], MAX_BYTES)
        .await;
    assert_eq!(pulled, Ok(image.module.clone()));
    let targets: Vec<String> = registry
        .seen()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    assert_eq!(targets.len(), 2);
    assert!(targets[0].ends_with(&image.digest()), "{targets:?}");
    assert_eq!(targets[1], image.blob_path());
}

#[tokio::test]
async fn an_index_is_followed_to_its_wasm_image() {
    let image = Image::hello();
    let index = json!({ "schemaVersion": 2, "manifests": [
        { "digest": digest::of(b"x"), "size": 1, "platform": { "os": "linux", "architecture": "amd64" } },
        { "digest": image.digest(), "size": 1, "platform": { "os": "wasip2", "architecture": "wasm" } },
    ]})
    .to_string();
    let digest = digest::of(index.as_bytes());
    let (path, served) = (format!("/v2/team/hello/manifests/{digest}"), image.clone());
    let registry = ScriptedRegistry::start(move |seen| {
        if seen.target == path {
            return ok(index.clone());
        }
        served.answer(seen)
    })
    .await;
    let reference = registry.image("team/hello");
    let pulled = client().pull(&reference, &digest, &[], MAX_BYTES).await;
    assert_eq!(pulled, Ok(image.module));
}

#[tokio::test]
async fn a_manifest_with_another_digest_is_refused() {
    let image = Image::hello();
    let manifest = image.manifest.clone();
    let registry = ScriptedRegistry::start(move |_| ok(manifest.clone())).await;
    let wanted = digest::of(b"another");
    let error = failure(&registry, &wanted, MAX_BYTES).await;
    assert_eq!(error.reason(), Reason::DigestMismatch);
    let said = error.to_string();
    assert!(
        said.contains(&wanted) && said.contains(&image.digest()),
        "{said}"
    );
}

#[tokio::test]
async fn a_layer_with_other_bytes_is_refused() {
    let image = Image::hello();
    let same_size = vec![b'x'; image.module.len()];
    let shorter = image.module.slice(1..).to_vec();
    let longer = [image.module.to_vec(), vec![0]].concat();
    for bytes in [same_size, shorter, longer] {
        let (served, path) = (image.clone(), image.blob_path());
        let registry = ScriptedRegistry::start(move |seen| {
            if seen.target == path {
                return ok(bytes.clone());
            }
            served.answer(seen)
        })
        .await;
        let error = failure(&registry, &image.digest(), MAX_BYTES).await;
        assert_eq!(error.reason(), Reason::DigestMismatch, "{error}");
    }
}

#[tokio::test]
async fn a_large_module_is_refused_before_it_is_asked_for() {
    let image = Image::of("application/wasm", &vec![0; 1001]);
    let registry = ScriptedRegistry::holding(image.clone()).await;
    let error = failure(&registry, &image.digest(), 1000).await;
    assert_eq!(error.reason(), Reason::TooLarge);
    assert!(!error.is_transient());
    let said = error.to_string();
    assert!(said.contains("1000") && said.contains("1001"), "{said}");
    assert_eq!(registry.seen().len(), 1, "the layer was not asked for");
    let reference = registry.image("team/hello");
    let pulled = client().pull(&reference, &image.digest(), &[], 1001).await;
    assert_eq!(pulled, Ok(image.module));
}

#[tokio::test]
async fn a_layer_without_end_is_cut_at_its_stated_size() {
    let image = Image::hello();
    let (served, path) = (image.clone(), image.blob_path());
    let registry = ScriptedRegistry::start(move |seen| {
        if seen.target == path {
            let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0_u8; 1024]));
            return ok(Body::from_stream(endless));
        }
        served.answer(seen)
    })
    .await;
    let error = failure(&registry, &image.digest(), MAX_BYTES).await;
    assert_eq!(error.reason(), Reason::DigestMismatch);
}

#[tokio::test]
async fn a_layer_that_breaks_off_is_asked_for_again() {
    let image = Image::hello();
    let (served, path) = (image.clone(), image.blob_path());
    let registry = ScriptedRegistry::start(move |seen| {
        if seen.target == path && seen.before < 3 {
            let parts: [Result<&[u8], std::io::Error>; 2] =
                [Ok(b"\0asm"), Err(std::io::Error::other("gone"))];
            let length = served.module.len().to_string();
            let broken = ok(Body::from_stream(stream::iter(parts)));
            return with_header(broken, "content-length", &length);
        }
        served.answer(seen)
    })
    .await;
    let reference = registry.image("team/hello");
    let pulled = client()
        .pull(&reference, &image.digest(), &[], MAX_BYTES)
        .await;
    assert_eq!(pulled, Ok(image.module));
    assert_eq!(
        registry.seen().len(),
        4,
        "a manifest, two broken layers, a whole one"
    );
}

#[tokio::test]
async fn container_images_are_refused_by_name() {
    let gzip = Image::of("application/octet-stream", b"\x1f\x8b\x08 and so on");
    let typed = Image::of("application/vnd.oci.image.layer.v1.tar+gzip", b"whatever");
    for (image, word) in [(gzip, "gzip archive"), (typed, "tar+gzip")] {
        let registry = ScriptedRegistry::holding(image.clone()).await;
        let error = failure(&registry, &image.digest(), MAX_BYTES).await;
        assert_eq!(error.reason(), Reason::NotWasm);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn redirects_end_somewhere() {
    let image = Image::hello();
    let served = image.clone();
    let registry = ScriptedRegistry::start(move |seen| {
        if seen.target.starts_with("/v2/team/hello/blobs/") || seen.target.starts_with("/again") {
            let moved = status(StatusCode::TEMPORARY_REDIRECT);
            return with_header(moved, "location", "/again");
        }
        served.answer(seen)
    })
    .await;
    let error = failure(&registry, &image.digest(), MAX_BYTES).await;
    assert_eq!(error.reason(), Reason::RegistryInvalid);
    assert!(error.to_string().contains("redirects"), "{error}");
}

#[tokio::test]
async fn a_digest_that_is_none_becomes_no_path() {
    let registry = ScriptedRegistry::holding(Image::hello()).await;
    let error = failure(&registry, "sha256:../../secret", MAX_BYTES).await;
    assert_eq!(error.reason(), Reason::InvalidImage);
    assert!(registry.seen().is_empty());
}
