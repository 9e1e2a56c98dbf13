//! What some bytes are.
#![no_main]

// The file itself, not the crate: wasmtime takes longer to build than this to fuzz.
#[path = "../../src/detect.rs"]
mod detect;

use detect::Detected;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let is_wasm = matches!(
        detect::detect(bytes),
        Detected::Component | Detected::CoreModule | Detected::UnknownWasm
    );
    assert_eq!(is_wasm, bytes.starts_with(b"\0asm"));
});
