use serde_json::{Value, json};

use super::*;

const ONE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";

fn layer(media_type: &str, digest: &str) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": 7 })
}

fn manifest(config: &str, layers: &[Value]) -> Value {
    json!({
        "schemaVersion": 2,
        "config": { "mediaType": config, "digest": ONE, "size": 2 },
        "layers": layers,
    })
}

fn image(os: &str, architecture: &str, digest: &str) -> Value {
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest,
        "size": 7,
        "platform": { "os": os, "architecture": architecture },
    })
}

fn index(manifests: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "manifests": manifests })
}

fn read(document: &Value) -> Result<Selection, Unusable> {
    select(document.to_string().as_bytes())
}

#[test]
fn the_module_is_found_under_every_label_in_use() {
    let table = [
        (CNCF_CONFIG, vec![layer("application/wasm", TWO)]),
        (
            "application/vnd.wasm.config.v1+json",
            vec![layer("application/vnd.wasm.content.layer.v1+wasm", TWO)],
        ),
        (
            "application/vnd.module.wasm.config.v1+json",
            vec![
                layer("application/vnd.module.wasm.config.v1+json", ONE),
                layer("application/vnd.module.wasm.content.layer.v1+wasm", TWO),
            ],
        ),
        (
            IMAGE_CONFIG,
            vec![layer(
                "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
                TWO,
            )],
        ),
        (EMPTY_CONFIG, vec![layer("application/wasm", TWO)]),
        (EMPTY_CONFIG, vec![layer(TAR, TWO)]),
        (EMPTY_CONFIG, vec![layer("application/octet-stream", TWO)]),
        (EMPTY_CONFIG, vec![layer("", TWO)]),
    ];
    for (config, layers) in table {
        let document = manifest(config, &layers);
        match read(&document) {
            Ok(Selection::Layer(found)) => assert_eq!(found.digest, TWO, "{document}"),
            other => panic!("{document}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_single_module_is_refused_with_the_reason() {
    let wasm = "application/wasm";
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    let not_wasm = [
        manifest(IMAGE_CONFIG, &[layer(gzip, ONE)]),
        manifest(
            IMAGE_CONFIG,
            &[layer(
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                ONE,
            )],
        ),
        manifest(IMAGE_CONFIG, &[layer(gzip, ONE), layer(gzip, TWO)]),
        manifest(IMAGE_CONFIG, &[]),
        json!({ "schemaVersion": 1, "fsLayers": [] }),
    ];
    for document in not_wasm {
        let found = read(&document);
        assert!(
            matches!(found, Err(Unusable::NotWasm(_))),
            "{document}: {found:?}"
        );
    }
    let unsupported = [
        manifest(CNCF_CONFIG, &[layer(wasm, ONE), layer("text/plain", TWO)]),
        manifest(EMPTY_CONFIG, &[layer(wasm, ONE), layer(wasm, TWO)]),
        manifest(
            IMAGE_CONFIG,
            &[layer(wasm, ONE), layer(SPIN_APPLICATION, TWO)],
        ),
        manifest(SPIN_APPLICATION, &[layer(wasm, ONE)]),
    ];
    for document in unsupported {
        let found = read(&document);
        assert!(
            matches!(found, Err(Unusable::Unsupported(_))),
            "{document}: {found:?}"
        );
    }
}

#[test]
fn an_index_leads_to_its_wasm_image() {
    let attestation = json!({
        "digest": ONE, "size": 7,
        "platform": { "os": "unknown", "architecture": "unknown" },
        "annotations": { "vnd.docker.reference.type": "attestation-manifest" },
    });
    let table = [
        vec![image("wasi", "wasm", TWO), attestation.clone()],
        vec![image("linux", "amd64", ONE), image("wasip1", "wasm", TWO)],
        vec![image("wasip1", "wasm", ONE), image("wasip2", "wasm", TWO)],
        vec![image("Wasip1", "wasm32", TWO), image("wasi", "wasm", ONE)],
        vec![json!({ "digest": TWO, "size": 7 }), attestation],
    ];
    for manifests in table {
        let document = index(&manifests);
        match read(&document) {
            Ok(Selection::Manifest(found)) => assert_eq!(found.digest, TWO, "{document}"),
            other => panic!("{document}: {other:?}"),
        }
    }
}

#[test]
fn an_index_without_wasm_lists_its_platforms() {
    let document = index(&[image("linux", "amd64", ONE), image("linux", "arm64", TWO)]);
    let Err(Unusable::NotWasm(problem)) = read(&document) else {
        panic!("{document} must be refused");
    };
    assert!(problem.contains("linux/amd64, linux/arm64"), "{problem}");
    assert!(matches!(read(&index(&[])), Err(Unusable::NotWasm(_))));
    let twice = index(&[image("wasi", "wasm", ONE), image("wasi", "wasm", TWO)]);
    assert!(matches!(read(&twice), Err(Unusable::Unsupported(_))));
}

#[test]
fn what_is_no_manifest_is_invalid() {
    let documents = [
        "",
        "null",
        "[]",
        "<html>",
        "{}",
        r#"{"layers":[],"manifests":[]}"#,
        r#"{"layers":[{"digest":"sha256:abc","size":1}]}"#,
        r#"{"layers":[{"digest":"sha256:../../../etc/passwd","size":1}]}"#,
        r#"{"layers":[{"digest":"sha512:abc","size":-1}]}"#,
        r#"{"layers":"many"}"#,
    ];
    for document in documents {
        let found = select(document.as_bytes());
        assert!(
            matches!(found, Err(Unusable::Invalid(_))),
            "{document}: {found:?}"
        );
    }
}

#[test]
fn a_registrys_words_are_shown_cut_and_clean() {
    let long = format!("application/\u{1b}[31m{}+gzip", "x".repeat(500));
    let Err(Unusable::NotWasm(problem)) = read(&manifest(IMAGE_CONFIG, &[layer(&long, ONE)]))
    else {
        panic!("it must be refused");
    };
    assert!(
        problem.len() < 200 && !problem.contains('\u{1b}'),
        "{problem}"
    );
}

#[test]
fn archives_are_told_by_their_bytes() {
    let mut tar = vec![0; 300];
    tar[257..262].copy_from_slice(b"ustar");
    assert_eq!(archive_format(&tar), Some("a tar archive"));
    assert_eq!(archive_format(b"\x1f\x8b\x08"), Some("a gzip archive"));
    assert_eq!(archive_format(b"\x28\xb5\x2f\xfd"), Some("a zstd archive"));
    assert_eq!(archive_format(b"\0asm\x01\0\0\0"), None);
    assert_eq!(archive_format(b""), None);
}
