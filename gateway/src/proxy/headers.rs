//! Headers that do not pass: those of one connection, and wasmfn's own.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use wasmfn_crds::names::{HEADER_PREFIX, REFUSED_HEADER};

use super::forwarded;
use crate::client::Client;

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

/// Fields that say how a message is framed, routed, or who sent it: they come too late in trailers
/// (RFC 9110, 6.5.1).
const NOT_IN_TRAILERS: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::HOST,
    header::TRAILER,
];

/// Makes a client's headers those that a pod gets, but for the function and the token.
pub fn of_request(headers: &mut HeaderMap, authority: &str, client: &Client) {
    let wants_trailers = wants_trailers(headers);
    drop_hop_by_hop(headers);
    drop_own(headers);
    // The gateway asks the client for the body itself once a pod reads it.
    headers.remove(header::EXPECT);
    if wants_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    join_cookies(headers);
    forwarded::set(headers, authority, client);
    if let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert(header::HOST, host);
    }
}

/// Makes a pod's headers those that a client gets.
pub fn of_response(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
    headers.remove(REFUSED_HEADER);
}

/// Makes a client's trailers those that a pod gets. Nothing may come in by them that could not as a
/// header.
pub fn of_trailers(trailers: &mut HeaderMap) {
    drop_hop_by_hop(trailers);
    drop_own(trailers);
    forwarded::forget(trailers);
    for name in &NOT_IN_TRAILERS {
        trailers.remove(name);
    }
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

#[cfg(test)]
mod tests {
    use http::uri::Scheme;

    use super::*;
    use crate::routes::Entrance;

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
        let address = [192, 0, 2, 1].into();
        let client = Client::new(Entrance::Public, address, Scheme::HTTP, &[]);
        of_request(&mut headers, "a.b:80", &client);
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
                "forwarded",
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
    fn trailers_bring_nothing_that_headers_may_not() {
        let mut trailers = headers(&[
            ("x-sum", "1"),
            ("grpc-status", "0"),
            ("wasmfn-function", "other"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("host", "x"),
            ("x-forwarded-for", "203.0.113.9"),
            ("cookie", "a=b"),
        ]);
        of_trailers(&mut trailers);
        let mut names: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["grpc-status", "x-sum"]);
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
