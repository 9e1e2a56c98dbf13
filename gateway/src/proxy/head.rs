//! Rules for the head of a request: whether it can be served, and whom it is for.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderValue, Method, Version, header,
    request::Parts,
    uri::{Authority, Scheme},
};
use wasmfn_crds::answer::AnswerReason;

use crate::answer::Answer;

/// Longest host, in bytes: the bound of DNS.
const HOST_BYTES: usize = 253;

/// Whom a request is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Addressee {
    /// As the client wrote it, with its port.
    pub authority: String,
    /// Lower case, no port, no trailing dot.
    pub host: String,
}

/// Checks the head.
///
/// # Errors
/// The answer that the client gets instead.
pub fn check(parts: &Parts) -> Result<Addressee, Answer> {
    if parts.method == Method::CONNECT || asks_for_upgrade(&parts.headers) {
        return Err(Answer::new(
            AnswerReason::UpgradeRefused,
            "functions answer requests; upgrades and tunnels are not offered",
        ));
    }
    check_target(parts)?;
    check_framing(&parts.headers)?;
    let authority = authority(parts)?;
    let host = host(&authority)?;
    Ok(Addressee { authority, host })
}

/// The target is a path, with a query or without. Over HTTP/2 it has a scheme and an authority
/// besides; over HTTP/1.1 only requests to a proxy do (RFC 9112, 3.2.2), which this is not.
fn check_target(parts: &Parts) -> Result<(), Answer> {
    let path = parts.uri.path();
    if let Some(scheme) = parts.uri.scheme() {
        if parts.version < Version::HTTP_2 {
            return Err(bad("the target must be a path, not a URL"));
        }
        if ![Scheme::HTTP, Scheme::HTTPS].contains(scheme) {
            return Err(bad("the scheme must be http or https"));
        }
    }
    if !path.starts_with('/') {
        return Err(bad("the path must start with `/`"));
    }
    // Read as a URL, such a path names another host.
    if path.starts_with("//") || path.contains('\\') {
        return Err(bad("the path must not start with `//` or hold a `\\`"));
    }
    Ok(())
}

/// Over HTTP/1.1 the connection's guard has refused all of this; over HTTP/2, which frames bodies
/// itself, it could still mislead a pod.
fn check_framing(headers: &HeaderMap) -> Result<(), Answer> {
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return Err(bad("there must be one `content-length`"));
    }
    let expects = headers.get_all(header::EXPECT).iter();
    if expects
        .map(HeaderValue::as_bytes)
        .any(|value| !value.eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(bad("`expect` must be `100-continue`"));
    }
    Ok(())
}

fn bad(message: &str) -> Answer {
    Answer::new(AnswerReason::BadRequest, message)
}

/// An offer to go on with HTTP/2 may be passed over; anything else is a tunnel.
fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::UPGRADE)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

/// The authority of the target where it has one (HTTP/2, absolute form), else the header `host`;
/// where there are both they must agree.
fn authority(parts: &Parts) -> Result<String, Answer> {
    let mut named = parts.headers.get_all(header::HOST).iter();
    let header = named
        .next()
        .map(|value| value.to_str().map_err(|_| bad("`host` must be ASCII")))
        .transpose()?;
    if named.next().is_some() {
        return Err(bad("there must be one `host`"));
    }
    let target = parts.uri.authority().map(Authority::as_str);
    match (target, header) {
        (Some(target), Some(header)) if !same(target, header) => {
            Err(bad("`host` must be the same as the target's"))
        }
        (Some(authority), _) | (None, Some(authority)) => Ok(authority.to_owned()),
        (None, None) if parts.version < Version::HTTP_11 => {
            Err(bad("`host` must be set, also with HTTP/1.0"))
        }
        (None, None) => Err(bad("`host` must be set")),
    }
}

fn same(left: &str, right: &str) -> bool {
    match (host(left), host(right)) {
        (Ok(left), Ok(right)) => left == right,
        _ => false,
    }
}

fn host(authority: &str) -> Result<String, Answer> {
    let (name, port) = split_port(authority).ok_or_else(|| bad("`host` is not valid"))?;
    if port.is_some_and(|port| port.is_empty() || port.parse::<u16>().is_err()) {
        return Err(bad("the port in `host` must be a number up to 65535"));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_address = name.parse::<IpAddr>().is_ok();
    if name.is_empty() || name.len() > HOST_BYTES || !(is_address || name.split('.').all(is_label))
    {
        return Err(bad("`host` must be a DNS name or an address"));
    }
    Ok(name.to_ascii_lowercase())
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((address, Some(port))),
            None => rest.is_empty().then_some((address, None)),
        };
    }
    Some(match authority.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (authority, None),
    })
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn checked(request: http::request::Builder) -> Result<String, u16> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts)
            .map(|addressee| addressee.host)
            .map_err(|answer| answer.reason.status())
    }

    #[test]
    fn hosts() {
        let long = "a.".repeat(127);
        let cases = [
            ("hello.default.localhost", Ok("hello.default.localhost")),
            (
                "Hello.Default.LOCALHOST:8080",
                Ok("hello.default.localhost"),
            ),
            (
                "hello.default.svc.cluster.local.",
                Ok("hello.default.svc.cluster.local"),
            ),
            ("10.0.0.1:80", Ok("10.0.0.1")),
            ("[::1]:80", Ok("::1")),
            ("[::1]", Ok("::1")),
            ("a_b.c", Ok("a_b.c")),
            ("", Err(400)),
            (".", Err(400)),
            ("a..b", Err(400)),
            ("a:", Err(400)),
            ("a:99999", Err(400)),
            ("a:b:c", Err(400)),
            ("user@a", Err(400)),
            ("a/b", Err(400)),
            ("a b", Err(400)),
            ("[::1", Err(400)),
            ("[::1]x", Err(400)),
            (long.as_str(), Ok(long.trim_end_matches('.'))),
            (&format!("{long}a.b"), Err(400)),
        ];
        for (host, expected) in cases {
            let found = checked(Request::get("/").header("host", host));
            assert_eq!(found, expected.map(str::to_owned), "{host}");
        }
    }

    #[test]
    fn targets_and_hosts_agree() {
        let cases = [
            (Request::get("/"), Err(400)),
            (
                Request::get("/").header("host", "a").header("host", "a"),
                Err(400),
            ),
            (over2("http://a/x"), Ok("a")),
            (over2("https://A:80/x").header("host", "a"), Ok("a")),
            (over2("http://a/x").header("host", "b"), Err(400)),
            (over2("http://u@a/x"), Err(400)),
            (over2("ftp://a/x"), Err(400)),
        ];
        check_all(cases);
    }

    fn over2(target: &str) -> http::request::Builder {
        Request::get(target).version(Version::HTTP_2)
    }

    fn check_all<const N: usize>(cases: [(http::request::Builder, Result<&str, u16>); N]) {
        for (request, expected) in cases {
            let shown = format!("{request:?}");
            assert_eq!(checked(request), expected.map(str::to_owned), "{shown}");
        }
    }

    #[test]
    fn a_target_is_a_path_and_cannot_be_read_as_anything_else() {
        let get = |target: &str| Request::get(target).header("host", "a");
        check_all([
            (get("/"), Ok("a")),
            (get("/a//b?c=//d"), Ok("a")),
            (get("/%2F/..%5c?\\"), Ok("a")),
            (get("/?http://b/"), Ok("a")),
            (get("http://a/"), Err(400)),
            (get("//b/c"), Err(400)),
            (get("/\\b"), Err(400)),
            (Request::options("*").header("host", "a"), Err(400)),
            (over2("http://a//b"), Err(400)),
        ]);
    }

    #[test]
    fn what_misleads_about_the_body_is_refused_over_http2_too() {
        check_all([
            (over2("http://a/").header("content-length", "3"), Ok("a")),
            (
                over2("http://a/")
                    .header("content-length", "3")
                    .header("content-length", "3"),
                Err(400),
            ),
            (over2("http://a/").header("expect", "100-Continue"), Ok("a")),
            (over2("http://a/").header("expect", "200-ok"), Err(400)),
        ]);
    }

    #[test]
    fn upgrades_are_refused_but_for_an_offer_of_http2() {
        let cases = [
            (Request::get("/").header("upgrade", "websocket"), Err(501)),
            (Request::get("/").header("upgrade", "h2c"), Ok("a")),
            (
                Request::get("/")
                    .header("upgrade", "h2c")
                    .header("upgrade", "websocket"),
                Err(501),
            ),
            (Request::connect("a:80"), Err(501)),
        ];
        for (request, expected) in cases {
            let shown = format!("{request:?}");
            let found = checked(request.header("host", "a"));
            assert_eq!(found, expected.map(str::to_owned), "{shown}");
        }
    }
}
