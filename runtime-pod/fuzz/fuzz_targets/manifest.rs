//! Manifests and indexes of a registry.
#![no_main]
#![allow(dead_code, reason = "the client uses the rest")]

#[path = "../../src/registry/digest.rs"]
mod digest;
#[path = "../../src/registry/manifest.rs"]
mod manifest;

use manifest::{Selection, Unusable, select};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| match select(bytes) {
    Ok(Selection::Layer(chosen) | Selection::Manifest(chosen)) => {
        assert!(digest::is_valid(&chosen.digest));
    }
    Err(Unusable::Invalid(why) | Unusable::NotWasm(why) | Unusable::Unsupported(why)) => {
        assert!(!why.is_empty());
    }
});
