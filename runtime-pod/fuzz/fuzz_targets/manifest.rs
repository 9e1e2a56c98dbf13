//! Manifests and indexes of a registry.
#![no_main]
#![allow(dead_code, reason = "the client uses the rest")]

#[path = "../../src/registry/digest.rs"]
mod digest;
#[path = "../../src/registry/manifest.rs"]
mod manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(unusable) = manifest::select(bytes) {
        assert!(!unusable.to_string().is_empty());
    }
});
