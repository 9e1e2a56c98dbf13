//! Answers of wasmfn's own: status, one-word reason and a sentence as JSON.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use wasmfn_crds::{answer::AnswerReason, names::REASON_HEADER};

/// Seconds after which a client may come back, where a 503 is answered.
const RETRY_AFTER_SECONDS: &str = "1";

/// Why the gateway answers itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The word; it stands for a status too.
    pub reason: AnswerReason,
    /// A sentence for people.
    pub message: String,
}

#[derive(Serialize)]
struct Document<'a> {
    reason: &'a str,
    message: &'a str,
}

impl Answer {
    /// An answer with a sentence.
    #[must_use]
    pub fn new(reason: AnswerReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// The response that clients get.
    #[must_use]
    pub fn response(&self) -> Response<Full<Bytes>> {
        let document = Document {
            reason: self.reason.as_str(),
            message: &self.message,
        };
        let text = serde_json::to_vec(&document).expect("two strings can always be written");
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() =
            StatusCode::from_u16(self.reason.status()).expect("each reason has a valid status");
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(
            REASON_HEADER,
            HeaderValue::from_static(self.reason.as_str()),
        );
        if self.reason.has_retry_after() {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from_static(RETRY_AFTER_SECONDS),
            );
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn an_answer_has_its_words() {
        let response = Answer::new(AnswerReason::QueueFull, "too \"many\"").response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[REASON_HEADER], "QueueFull");
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            r#"{"reason":"QueueFull","message":"too \"many\""}"#.as_bytes()
        );
        let missing = Answer::new(AnswerReason::NotFound, "none").response();
        assert!(!missing.headers().contains_key(header::RETRY_AFTER));
    }
}
