//! Names of requests in logs: the client's own, else a number.

use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderValue};

/// Header by which clients and proxies name a request.
const HEADER: &str = "x-request-id";
/// Longest name that is taken over: a UUID has 36 characters.
const MAX_BYTES: usize = 64;

/// Name of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RequestId {
    /// As its client says.
    Given(HeaderValue),
    /// A number that no other request of this process has.
    Own(u64),
}

impl RequestId {
    /// The name of a request with these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        // Numbers begin anywhere, so that those of two pods are unlikely to meet.
        static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(rand::random()));
        match headers.get(HEADER) {
            Some(given) if is_usable(given) => Self::Given(given.clone()),
            _ => Self::Own(NEXT.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

fn is_usable(given: &HeaderValue) -> bool {
    let bytes = given.as_bytes();
    (1..=MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(given) => formatter.write_str(given.to_str().unwrap_or_default()),
            Self::Own(number) => write!(formatter, "{number:016x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &'static str) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_static(given));
        RequestId::of(&headers)
    }

    #[test]
    fn a_clients_name_is_taken_over_if_it_is_one() {
        assert_eq!(of("abc-1").to_string(), "abc-1");
        let long = "0123456789012345678901234567890123456789012345678901234567890123456789";
        for unusable in ["", "two words", long] {
            assert!(matches!(of(unusable), RequestId::Own(_)), "{unusable}");
        }
    }

    #[test]
    fn requests_without_a_name_get_different_ones() {
        let none = HeaderMap::new();
        let first = RequestId::of(&none);
        assert_ne!(first, RequestId::of(&none));
        assert_eq!(first.to_string().len(), 16);
    }
}
