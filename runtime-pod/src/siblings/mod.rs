//! Pods of one runtime deployment pass modules and compiled code to each other, so that the
//! registry is asked once and not by each, and one compiles for all.
//!
//! Both sides know the namespace's module token: the one who asks shows it. The one who answers
//! signs a module's bytes with it, since they cannot be checked against the digest of a manifest
//! that is not there; compiled code bears the seal that it has on disk, which names the text that
//! belongs to it.

mod claims;
mod client;
mod copy;
mod records;
mod server;
#[cfg(test)]
mod tests;

use hmac::{Hmac, Mac};
use sha2::Sha256;

pub(crate) use claims::{Claim, Claims};
pub use client::Siblings;
pub(crate) use copy::Copied;
pub(crate) use server::{Asked, Offer, router};

/// Header that holds the signature of the bytes.
const SIGNATURE_HEADER: &str = "wasmfn-signature";

/// Header that says how far a pod is that has no code yet, but will.
const STAGE_HEADER: &str = "wasmfn-code-stage";

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
