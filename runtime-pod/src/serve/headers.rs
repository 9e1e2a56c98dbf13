//! Headers that do not pass: those that belong to wasmfn, and those of one connection.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use wasmfn_crds::names::HEADER_PREFIX;

/// Headers that speak of one connection (RFC 9110, 7.6.1), besides those that `Connection` names,
/// and `Expect`, which the server has answered when the body is read.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers of one head, and their bytes with two for the separator of each: what the server takes
/// of a request, and what clients take of an answer.
pub(super) const MAX_HEADERS: usize = 200;
pub(super) const MAX_HEADER_BYTES: usize = 64 << 10;

/// Whether a head is larger than is passed on.
pub(super) fn are_too_large(headers: &HeaderMap) -> bool {
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 2;
    headers.len() > MAX_HEADERS || headers.iter().map(size).sum::<usize>() > MAX_HEADER_BYTES
}

/// Removes what begins with `wasmfn-`.
pub(super) fn remove_own(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(HEADER_PREFIX))
        .cloned()
        .collect();
    for name in own {
        headers.remove(name);
    }
}

/// Removes what speaks of one connection.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Whether a request asks for another protocol on its connection. HTTP/2 may be asked for in vain.
pub(super) fn wants_upgrade(method: &Method, headers: &HeaderMap) -> bool {
    let is_upgrade = headers
        .get(header::UPGRADE)
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c"));
    *method == Method::CONNECT || is_upgrade
}

/// `Content-Length`, if there is one that can be read.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Whether a guest may answer with this status: a final one.
pub(super) fn is_final(status: StatusCode) -> bool {
    (200..600).contains(&status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn own_headers_do_not_pass() {
        let mut headers = headers(&[("wasmfn-token", "a"), ("wasmfn-x", "b"), ("x-wasmfn", "c")]);
        remove_own(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("x-wasmfn"));
    }

    #[test]
    fn headers_of_the_connection_do_not_pass() {
        let mut headers = headers(&[
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["te"]);
    }

    #[test]
    fn heads_are_limited_in_number_and_size() {
        let mut many = HeaderMap::new();
        for _ in 0..MAX_HEADERS {
            many.append("x", HeaderValue::from_static("1"));
        }
        assert!(!are_too_large(&many));
        many.append("x", HeaderValue::from_static("1"));
        assert!(are_too_large(&many));
        let with = |bytes: usize| headers(&[("x-long", &"a".repeat(bytes))]);
        assert!(!are_too_large(&with(MAX_HEADER_BYTES - 8)));
        assert!(are_too_large(&with(MAX_HEADER_BYTES - 7)));
    }

    #[test]
    fn web_sockets_are_upgrades_and_http2_is_none() {
        let upgrade = |value| headers(&[("upgrade", value)]);
        assert!(wants_upgrade(&Method::GET, &upgrade("websocket")));
        assert!(!wants_upgrade(&Method::GET, &upgrade("h2c")));
        assert!(!wants_upgrade(&Method::GET, &HeaderMap::new()));
        assert!(wants_upgrade(&Method::CONNECT, &HeaderMap::new()));
    }
}
