//! The digest of a function's image: the first that a pod of its own set reports.

use wasmfn_crds::Resolved;

use crate::reconcile::observed::{Observed, PodState, resolve_at, resolved as recorded};

/// The resolution that is good for what the object asks for now: the one on record, else the
/// first report.
pub(super) fn resolved(observed: &Observed<'_>) -> Option<Resolved> {
    let function = observed.function;
    if let Some(resolved) = recorded(function) {
        return Some(resolved.clone());
    }
    let (image, resolve_at) = (function.spec.image.as_str(), resolve_at(function));
    let pods = observed.target.pods.iter().chain(&observed.serving.pods);
    pods.filter_map(|pod| Some((pod.resolved_at, digest(pod, image, resolve_at)?)))
        .min_by_key(|(order, _)| *order)
        .map(|(_, digest)| Resolved::new(image, resolve_at, digest))
}

/// What a pod resolved `image` to, for the same asking.
fn digest<'a>(pod: &'a PodState, image: &str, resolve_at: &str) -> Option<&'a str> {
    let resolution = pod.report.as_ref()?.resolution.as_ref()?;
    let same = resolution.image == image && resolution.resolve_at == resolve_at;
    (same && is_digest(&resolution.digest)).then_some(resolution.digest.as_str())
}

fn is_digest(text: &str) -> bool {
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(lower_hex))
}
