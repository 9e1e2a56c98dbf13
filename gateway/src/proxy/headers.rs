//! Headers that do not pass: those of one connection, and wasmfn's own.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use wasmfn_crds::names::{HEADER_PREFIX, REFUSED_HEADER};

/// Headers of one connection, whether `connection` names them or not (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];
/// The same, of names that have no constant.
const HOP_BY_HOP_TOO: [&str; 2] = ["proxy-connection", "http2-settings"];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Makes a client's headers those that a pod gets, but for the function and the token.
pub fn of_request(headers: &mut HeaderMap, authority: &str, peer: IpAddr) {
    let wants_trailers = wants_trailers(headers);
    drop_hop_by_hop(headers);
    drop_own(headers);
    // The gateway asks the client for the body itself once a pod reads it.
    headers.remove(header::EXPECT);
    if wants_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    join_cookies(headers);
    forwarded(headers, authority, peer);
    if let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert(header::HOST, host);
    }
}

/// Makes a pod's headers those that a client gets.
pub fn of_response(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
    headers.remove(REFUSED_HEADER);
}

/// Whether the client takes trailers, which only the pod can then say more of.
#[must_use]
pub fn wants_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &header::TE).any(|token| token.eq_ignore_ascii_case("trailers"))
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &header::CONNECTION)
        .filter_map(|token| token.parse().ok())
        .filter(|name| !is_needed(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    for name in HOP_BY_HOP_TOO {
        headers.remove(name);
    }
}

/// No client can have these dropped by naming them in `connection`.
fn is_needed(name: &HeaderName) -> bool {
    [header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE].contains(name)
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn drop_own(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(HEADER_PREFIX))
        .cloned()
        .collect();
    for name in own {
        headers.remove(name);
    }
}

/// HTTP/2 may split `cookie`; HTTP/1.1 has it in one (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, whole);
    }
}

/// Appends the client to `x-forwarded-for`; says what it asked for unless a proxy in front did.
fn forwarded(headers: &mut HeaderMap, authority: &str, peer: IpAddr) {
    let peer = peer.to_canonical().to_string();
    let chain: Vec<&[u8]> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(HeaderValue::as_bytes)
        .chain([peer.as_bytes()])
        .collect();
    // One line: who reads only the first must not read what a client made up.
    let chain = HeaderValue::from_bytes(&chain.join(&b", "[..]))
        .expect("header values and an address make a header value");
    headers.insert(FORWARDED_FOR, chain);
    if !headers.contains_key(FORWARDED_HOST)
        && let Ok(host) = HeaderValue::from_str(authority)
    {
        headers.insert(FORWARDED_HOST, host);
    }
    headers
        .entry(FORWARDED_PROTO)
        .or_insert(HeaderValue::from_static("http"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn sent(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = headers(pairs);
        of_request(&mut headers, "a.b:80", [192, 0, 2, 1].into());
        headers
    }

    #[test]
    fn what_belongs_to_one_connection_is_dropped() {
        let sent = sent(&[
            ("connection", "close, X-Private"),
            ("connection", "host, content-length"),
            ("x-private", "1"),
            ("keep-alive", "1"),
            ("proxy-connection", "1"),
            ("proxy-authorization", "1"),
            ("te", "trailers, deflate"),
            ("upgrade", "h2c"),
            ("http2-settings", "1"),
            ("expect", "100-continue"),
            ("content-length", "3"),
            ("trailer", "x-sum"),
            ("x-kept", "1"),
        ]);
        let mut names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "content-length",
                "host",
                "te",
                "trailer",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto",
                "x-kept"
            ]
        );
        assert_eq!(sent["te"], "trailers");
        assert_eq!(sent["host"], "a.b:80");
    }

    #[test]
    fn no_client_can_forge_what_is_wasmfns() {
        let sent = sent(&[
            ("wasmfn-function", "other"),
            ("wasmfn-token", "x"),
            ("wasmfn-anything", "x"),
            ("wasmfnx", "1"),
        ]);
        assert!(
            sent.keys()
                .all(|name| !name.as_str().starts_with("wasmfn-"))
        );
        assert!(sent.contains_key("wasmfnx"));
    }

    #[test]
    fn proxies_in_front_are_kept_and_the_client_appended() {
        let sent = sent(&[
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "203.0.113.10"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example.com"),
        ]);
        let chain: Vec<_> = sent.get_all("x-forwarded-for").iter().collect();
        assert_eq!(chain, ["203.0.113.9, 203.0.113.10, 192.0.2.1"]);
        assert_eq!(sent["x-forwarded-proto"], "https");
        assert_eq!(sent["x-forwarded-host"], "shop.example.com");
    }

    #[test]
    fn crumbs_become_one_cookie() {
        assert_eq!(
            sent(&[("cookie", "a=1"), ("cookie", "b=2")])["cookie"],
            "a=1; b=2"
        );
    }

    #[test]
    fn a_refusal_never_leaves_but_a_reason_does() {
        let mut headers = headers(&[
            ("wasmfn-refused", "Full"),
            ("wasmfn-reason", "Trapped"),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
        ]);
        of_response(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["wasmfn-reason"], "Trapped");
    }
}
