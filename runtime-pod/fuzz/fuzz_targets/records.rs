//! What a sibling sends of a file: nothing lies beyond what may be written, and what was written is what is
//! sent on.
#![no_main]
#![allow(dead_code, reason = "the store uses the rest")]

use std::{
    fs::File,
    io::{Read, Seek},
    sync::LazyLock,
};

#[path = "../../src/code"]
mod code {
    pub mod pages;
}
#[path = "../../src/siblings/records.rs"]
mod records;

/// Few enough that a file is quickly read.
const MAX_BYTES: u64 = 1 << 20;

static FILES: LazyLock<[File; 2]> = LazyLock::new(|| [(); 2].map(|()| tempfile::tempfile().unwrap()));

fn bytes(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

libfuzzer_sys::fuzz_target!(|sent: &[u8]| {
    let [first, second] = &*FILES;
    let is_whole = records::write(sent, first, MAX_BYTES).is_ok();
    let length = first.metadata().unwrap().len();
    assert!(length <= MAX_BYTES);
    if !is_whole {
        return;
    }
    let (mut sent_on, mut from) = (Vec::new(), 0);
    while let Some((records, next)) = records::read(first, from).unwrap() {
        sent_on.extend(records);
        from = next;
    }
    records::write(&sent_on[..], second, MAX_BYTES).unwrap();
    // Zeros at the end are not sent.
    second.set_len(length).unwrap();
    assert!(bytes(first) == bytes(second));
});
