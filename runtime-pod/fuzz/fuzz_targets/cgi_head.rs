//! The head of a CGI answer, whole and in two pieces.
#![no_main]

#[path = "../../src/command/cgi/head.rs"]
mod head;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(whole)) = head::parse(bytes) else {
        let _ = head::unfinished(bytes);
        return;
    };
    assert!(whole.length_bytes <= bytes.len());
    assert!((200..600).contains(&whole.status.as_u16()));
    // What comes after a head changes nothing, and nothing of it can be missing.
    let exact = &bytes[..whole.length_bytes];
    assert_eq!(head::parse(exact).as_ref(), Ok(&Some(whole)));
    assert!(matches!(head::parse(&exact[..exact.len() - 1]), Ok(None)));
});
