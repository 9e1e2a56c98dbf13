//! How much of an answer's body HTTP still asks for, where the answer's head says so.

use http::{HeaderMap, Method, StatusCode, Version};

use super::headers;

/// What the connection still asks for. Over HTTP/1 hyper lets a body go once it has all announced bytes,
/// or where there is none to send, and does not ask whether it ends there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outstanding {
    /// Until it ends.
    Unknown,
    /// So many bytes.
    Bytes(u64),
    /// Nothing from the start (RFC 9112, section 6.3).
    NoBody,
}

impl Outstanding {
    /// Of an answer to a request with this `method` and `version`.
    pub(super) fn new(
        version: Version,
        method: &Method,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Self {
        let has_no_body = method == Method::HEAD
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        if version > Version::HTTP_11 {
            Self::Unknown
        } else if has_no_body {
            Self::NoBody
        } else {
            headers::content_length(headers).map_or(Self::Unknown, Self::Bytes)
        }
    }

    /// Whether bytes are missing, if the body ends now.
    pub(super) const fn is_short(self) -> bool {
        matches!(self, Self::Bytes(1..))
    }

    /// The connection has so many bytes more.
    pub(super) const fn handed_over(&mut self, bytes: u64) {
        if let Self::Bytes(left) = self {
            *left = left.saturating_sub(bytes);
        }
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
        let status = StatusCode::from_u16(status).unwrap();
        Outstanding::new(Version::HTTP_11, method, status, &headers)
    }

    #[test]
    fn what_is_announced_is_asked_for() {
        let mut outstanding = outstanding(&Method::GET, 200, Some("5"));
        outstanding.handed_over(3);
        assert_eq!(outstanding, Outstanding::Bytes(2));
        assert!(outstanding.is_short());
        outstanding.handed_over(2);
        assert_eq!(outstanding, Outstanding::Bytes(0));
        assert!(!outstanding.is_short());
    }

    #[test]
    fn nothing_is_asked_for_where_there_is_no_body() {
        for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
            let outstanding = outstanding(&method, status, Some("5"));
            assert_eq!(outstanding, Outstanding::NoBody, "{method} {status}");
        }
    }

    #[test]
    fn else_the_end_is_asked_for() {
        let unknown = outstanding(&Method::GET, 200, None);
        assert_eq!(unknown, Outstanding::Unknown);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
        let over_http_2 = Outstanding::new(Version::HTTP_2, &Method::GET, StatusCode::OK, &headers);
        assert_eq!(over_http_2, Outstanding::Unknown);
    }
}
