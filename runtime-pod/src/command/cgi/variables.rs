//! Meta-variables of a CGI program (RFC 3875, 4.1).

use http::{HeaderMap, HeaderName, HeaderValue, Version, header, request::Parts};
use percent_encoding::percent_decode_str;

use crate::command::CommandError;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Headers that become no `HTTP_` variable: those with variables of their own, those of the
/// connection, and `Proxy`, whose variable many programs take for a setting (CVE-2016-5385,
/// "httpoxy"). `Authorization` passes: wasmfn itself authenticates nobody, so that the program has to.
const WITHHELD: [HeaderName; 10] = [
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONNECTION,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The variables of a request. The program is the whole of its host, so `SCRIPT_NAME` is empty and
/// `PATH_INFO` the whole path. `REQUEST_URI` and `HTTPS` are no part of the RFC, but every server
/// has them, and Go's `net/http/cgi` reads them.
pub(in crate::command) fn variables(
    request: &Parts,
) -> Result<Vec<(String, String)>, CommandError> {
    let uri = &request.uri;
    let headers = &request.headers;
    let is_secure = header(headers, FORWARDED_PROTO) == "https";
    let host = uri.authority().map_or_else(
        || header(headers, "host"),
        |authority| authority.as_str().to_owned(),
    );
    let (name, port) = split_port(&host);
    let default_port = if is_secure { "443" } else { "80" };
    let mut variables: Vec<(String, String)> = [
        ("GATEWAY_INTERFACE", "CGI/1.1".to_owned()),
        (
            "SERVER_SOFTWARE",
            concat!("wasmfn/", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
        ("SERVER_PROTOCOL", protocol(request.version).to_owned()),
        ("SERVER_NAME", name.to_owned()),
        ("SERVER_PORT", port.unwrap_or(default_port).to_owned()),
        ("REQUEST_METHOD", request.method.as_str().to_owned()),
        (
            "REQUEST_URI",
            uri.path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        ),
        ("SCRIPT_NAME", String::new()),
        ("PATH_INFO", decoded(uri.path())?),
        ("QUERY_STRING", uri.query().unwrap_or_default().to_owned()),
        ("REMOTE_ADDR", remote(headers)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if is_secure {
        variables.push(("HTTPS".to_owned(), "on".to_owned()));
    }
    for (name, variable) in [
        (header::CONTENT_LENGTH, "CONTENT_LENGTH"),
        (header::CONTENT_TYPE, "CONTENT_TYPE"),
    ] {
        if let Some(value) = headers.get(name) {
            variables.push((variable.to_owned(), text(value)));
        }
    }
    variables.extend(headers.keys().filter_map(|name| from_header(name, headers)));
    Ok(variables)
}

/// The variable of a header. Names with an underscore have none: `x_a` and `x-a` would share one,
/// and one of them could pass for the other.
fn from_header(name: &HeaderName, headers: &HeaderMap) -> Option<(String, String)> {
    if WITHHELD.contains(name) || name.as_str().contains('_') {
        return None;
    }
    let variable = format!(
        "HTTP_{}",
        name.as_str().to_ascii_uppercase().replace('-', "_")
    );
    let separator = if *name == header::COOKIE { "; " } else { ", " };
    let values: Vec<String> = headers.get_all(name).iter().map(text).collect();
    Some((variable, values.join(separator)))
}

/// The address that the gateway appended: the others are what proxies in front say.
fn remote(headers: &HeaderMap) -> String {
    let last = headers.get_all(FORWARDED_FOR).iter().next_back().map(text);
    last.as_deref()
        .and_then(|chain| chain.rsplit(',').next())
        .map(str::trim)
        .filter(|address| !address.is_empty())
        // Without a gateway, as `wasmfn run` serves it, only this machine can ask.
        .unwrap_or("127.0.0.1")
        .to_owned()
}

fn decoded(path: &str) -> Result<String, CommandError> {
    let text = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| CommandError::BadRequest("its path is not UTF-8"))?;
    if text.contains('\0') {
        return Err(CommandError::BadRequest("its path holds a zero byte"));
    }
    Ok(text.into_owned())
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            (name, Some(port))
        }
        _ => (host, None),
    }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(text).unwrap_or_default()
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn of(request: http::request::Builder) -> BTreeMap<String, String> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        variables(&parts).unwrap().into_iter().collect()
    }

    #[test]
    fn a_request_becomes_variables() {
        let variables = of(Request::post("/a%20b/c?x=1&y=%20")
            .header("host", "shop.example.com:8080")
            .header("content-type", "text/plain")
            .header("content-length", "3")
            .header("x-forwarded-for", "203.0.113.9, 10.0.0.7")
            .header("accept", "a")
            .header("accept", "b")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("authorization", "Bearer t"));
        let expected = [
            ("CONTENT_LENGTH", "3"),
            ("CONTENT_TYPE", "text/plain"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("HTTP_ACCEPT", "a, b"),
            ("HTTP_AUTHORIZATION", "Bearer t"),
            ("HTTP_COOKIE", "a=1; b=2"),
            ("HTTP_HOST", "shop.example.com:8080"),
            ("HTTP_X_FORWARDED_FOR", "203.0.113.9, 10.0.0.7"),
            ("PATH_INFO", "/a b/c"),
            ("QUERY_STRING", "x=1&y=%20"),
            ("REMOTE_ADDR", "10.0.0.7"),
            ("REQUEST_METHOD", "POST"),
            ("REQUEST_URI", "/a%20b/c?x=1&y=%20"),
            ("SCRIPT_NAME", ""),
            ("SERVER_NAME", "shop.example.com"),
            ("SERVER_PORT", "8080"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
        ];
        for (name, value) in expected {
            assert_eq!(
                variables.get(name).map(String::as_str),
                Some(value),
                "{name}"
            );
        }
        assert_eq!(variables.len(), expected.len() + 1, "{variables:?}");
        assert!(variables["SERVER_SOFTWARE"].starts_with("wasmfn/"));
    }

    #[test]
    fn what_stands_for_something_else_gets_no_variable() {
        let variables = of(Request::get("/")
            .header("host", "[::1]:80")
            .header("proxy", "http://evil.example.com")
            .header("x_forwarded_for", "1.2.3.4")
            .header("transfer-encoding", "chunked"));
        for name in [
            "HTTP_PROXY",
            "HTTP_X_FORWARDED_FOR",
            "HTTP_TRANSFER_ENCODING",
            "CONTENT_LENGTH",
        ] {
            assert!(!variables.contains_key(name), "{name}");
        }
        assert_eq!(variables["SERVER_NAME"], "[::1]");
        assert_eq!(variables["REMOTE_ADDR"], "127.0.0.1");
    }

    #[test]
    fn the_clients_scheme_is_told() {
        let variables = of(Request::get("/")
            .header("host", "shop.example.com")
            .header("x-forwarded-proto", "https"));
        assert_eq!(variables["HTTPS"], "on");
        assert_eq!(variables["SERVER_PORT"], "443");
    }

    #[test]
    fn a_path_that_no_variable_can_hold_is_refused() {
        for path in ["/a%00b", "/%ff"] {
            let (parts, ()) = Request::get(path).body(()).unwrap().into_parts();
            assert!(variables(&parts).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_variable_holds_a_zero_byte(path in "/[ -~]{0,40}", value in "[\\x20-\\x7e\\x80-\\xff]{0,40}") {
            let Ok(request) = Request::get(path.replace(' ', "%20")).header("x-a", value.as_bytes()).body(()) else {
                return Ok(());
            };
            let (parts, ()) = request.into_parts();
            for (name, value) in variables(&parts).unwrap_or_default() {
                prop_assert!(!name.contains(['\0', '=']) && !value.contains('\0'), "{name}={value:?}");
            }
        }
    }
}
