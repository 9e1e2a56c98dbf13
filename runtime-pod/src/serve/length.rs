//! How much of an answer's body HTTP still has to send, where the answer's head says so.

use http::{HeaderMap, Method, StatusCode};

use super::headers;

/// Bytes that are still to be sent. Hyper lets a body go once all announced bytes of it are sent, and
/// does not ask whether it ends there: that it was sent whole is known from here alone.
#[derive(Debug)]
pub(super) struct Outstanding(Option<u64>);

impl Outstanding {
    /// Of an answer to a request with this `method` (RFC 9112, section 6.3).
    pub(super) fn new(method: &Method, status: StatusCode, headers: &HeaderMap) -> Self {
        let has_no_body = method == Method::HEAD
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        Self(if has_no_body {
            Some(0)
        } else {
            headers::content_length(headers)
        })
    }

    /// So many bytes more are sent.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.0 = self.0.map(|left| left.saturating_sub(bytes));
    }

    /// Whether all of it is sent. Never, where only the body's end says that.
    pub(super) fn is_zero(&self) -> bool {
        self.0 == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CONTENT_LENGTH};

    use super::*;

    fn outstanding(method: &Method, status: u16, length: Option<&'static str>) -> Outstanding {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        Outstanding::new(method, StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn what_is_announced_is_sent_after_so_many_bytes() {
        let mut outstanding = outstanding(&Method::GET, 200, Some("5"));
        outstanding.sent(3);
        assert!(!outstanding.is_zero());
        outstanding.sent(2);
        assert!(outstanding.is_zero());
    }

    #[test]
    fn nothing_is_sent_where_there_is_no_body() {
        for (method, status, is_zero) in [
            (Method::HEAD, 200, true),
            (Method::GET, 204, true),
            (Method::GET, 304, true),
            (Method::GET, 200, false),
        ] {
            let outstanding = outstanding(&method, status, Some("5"));
            assert_eq!(outstanding.is_zero(), is_zero, "{method} {status}");
        }
        assert!(!outstanding(&Method::GET, 200, None).is_zero());
    }
}
