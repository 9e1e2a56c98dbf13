//! What a guest ended of, told from the error that its call returned.

use wasmfn_crds::answer::AnswerReason;
use wasmtime::{Trap, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

use super::ending::Failure;
use crate::service::GaveUp;

/// Words of wasmtime's own limits, whose errors have no public type, and what they stand for. The
/// hostile guests of `tests/hostile` hold them against the version in use.
const WORDS: [(&str, AnswerReason, &str); 4] = [
    (
        "fuel allocated for hostcalls has been exhausted",
        AnswerReason::HostCallTooLarge,
        "the function passed too many bytes to the host in one call",
    ),
    (
        "total size of fields exceeds limit",
        AnswerReason::HostCallTooLarge,
        "the function put more into one set of headers than it may hold",
    ),
    (
        "exceeds limit",
        AnswerReason::HostCallTooLarge,
        "the function asked the host for too many bytes in one call",
    ),
    (
        "store handle limit exceeded",
        AnswerReason::TooManyHandles,
        TOO_MANY_HANDLES,
    ),
];

const TOO_MANY_HANDLES: &str = "the function held too many handles at the same time";

/// Why wasmfn answers instead of a guest whose call returned `error`: no addresses, no stack traces.
pub(super) fn failure(error: &wasmtime::Error) -> Failure {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        let reason = match trap {
            Trap::StackOverflow => AnswerReason::StackOverflow,
            _ => AnswerReason::Trapped,
        };
        return Failure::new(reason, format!("the function trapped: {trap}"));
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        let message = format!("the function exited with code {code} instead of answering");
        return Failure::new(AnswerReason::Trapped, message);
    }
    if let Some(gave_up) = error.downcast_ref::<GaveUp>() {
        return Failure::new(AnswerReason::Trapped, gave_up.to_string());
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return Failure::new(AnswerReason::TooManyHandles, TOO_MANY_HANDLES);
    }
    let known = error.chain().find_map(|cause| {
        let text = cause.to_string();
        WORDS.iter().find(|(words, ..)| text.contains(words))
    });
    match known {
        Some((_, reason, message)) => Failure::new(*reason, *message),
        None => Failure::new(AnswerReason::Trapped, "the function failed"),
    }
}
