//! Pods of one runtime deployment pass module bytes to each other, so that the registry is asked
//! once and not by each.
//!
//! Both sides know the namespace's module token: the one who asks shows it, and the one who
//! answers signs the bytes with it, since they cannot be checked against the digest of a manifest
//! that is not there.

mod client;
mod server;
#[cfg(test)]
mod tests;

use hmac::{Hmac, Mac};
use sha2::Sha256;

pub use client::Siblings;
pub use server::router;

/// Header that holds the signature of the bytes.
const SIGNATURE_HEADER: &str = "wasmfn-signature";

/// Signature of a module's bytes under a digest.
fn signature(token: &str, digest: &str, bytes: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes any key length");
    mac.update(b"wasmfn/module/v1/");
    mac.update(digest.as_bytes());
    mac.update(b"/");
    mac.update(bytes);
    hex::encode(mac.finalize().into_bytes())
}
