//! Answers that come from wasmfn itself.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use wasmfn_crds::{
    answer::{AnswerReason, Refusal},
    names::{REASON_HEADER, REFUSED_HEADER},
};
use wasmtime_wasi_http::Error;

use super::ending::Failure;

/// The body of an answer, a guest's or our own.
pub type AnswerBody = UnsyncBoxBody<Bytes, Error>;

/// Seconds after which a client may come back.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The answer in place of a guest's.
pub(super) fn failure(failure: &Failure) -> Response<AnswerBody> {
    let reason = failure.reason;
    let body = serde_json::json!({"reason": reason.as_str(), "message": failure.message});
    let mut answer = Response::new(full(body.to_string()));
    *answer.status_mut() =
        StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(REASON_HEADER, HeaderValue::from_static(reason.as_str()));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if reason.has_retry_after() {
        headers.insert(RETRY_AFTER, RETRY_SECONDS);
    }
    answer
}

/// The answer to a request that was not begun: the gateway takes it elsewhere.
pub(super) fn refusal(refusal: Refusal) -> Response<AnswerBody> {
    let mut answer = Response::new(full(String::new()));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = answer.headers_mut();
    headers.insert(REFUSED_HEADER, HeaderValue::from_static(refusal.as_str()));
    headers.insert(RETRY_AFTER, RETRY_SECONDS);
    if refusal == Refusal::Failed {
        let reason = AnswerReason::LoadFailed.as_str();
        headers.insert(REASON_HEADER, HeaderValue::from_static(reason));
    }
    if refusal == Refusal::Unauthorized {
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
    }
    answer
}

fn full(text: String) -> AnswerBody {
    Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed_unsync()
}
