//! Whether bytes are one JSON document, against a full parse.
#![no_main]

#[path = "../../src/command/json/document.rs"]
mod document;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let is_document = document::check(bytes).is_ok();
    // A full parse refuses depth and numbers that it cannot hold; the check never passes less.
    if serde_json::from_slice::<serde_json::Value>(bytes).is_ok() {
        assert!(is_document);
    }
});
