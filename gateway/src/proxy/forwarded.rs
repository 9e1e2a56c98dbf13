//! For whom a request is asked: `x-forwarded-*` and `forwarded`.
//!
//! What they say can be made up by whoever sends them. So a client that the admin does not name as
//! a proxy is not heard, and a guest finds nothing there but what a gateway or a named proxy saw.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::client::Client;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What the headers begin with that proxies make up between them.
const CLAIM_PREFIX: &str = "x-forwarded-";
/// Others with which proxies say who asks.
const CLAIMS: [HeaderName; 2] = [header::FORWARDED, HeaderName::from_static("x-real-ip")];

/// Says for whom the request is asked: appended to what a trusted proxy says, in place of what
/// anyone else does.
pub fn set(headers: &mut HeaderMap, authority: &str, client: &Client) {
    if !client.is_trusted {
        forget(headers);
    }
    append(headers, FORWARDED_FOR, &client.address.to_string());
    append(headers, header::FORWARDED, &element(authority, client));
    let scheme = client.scheme.as_str();
    for (name, value) in [(FORWARDED_HOST, authority), (FORWARDED_PROTO, scheme)] {
        if !headers.contains_key(&name)
            && let Ok(value) = HeaderValue::from_str(value)
        {
            headers.insert(name, value);
        }
    }
}

/// Drops what is said about for whom the request is asked.
pub(super) fn forget(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(CLAIM_PREFIX) || CLAIMS.contains(name))
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Makes one line of the header and puts `item` at its end: who reads only the first line must not
/// miss what is said last.
fn append(headers: &mut HeaderMap, name: HeaderName, item: &str) {
    let lines: Vec<&[u8]> = headers
        .get_all(&name)
        .iter()
        .map(HeaderValue::as_bytes)
        .chain([item.as_bytes()])
        .collect();
    if let Ok(line) = HeaderValue::from_bytes(&lines.join(&b", "[..])) {
        headers.insert(name, line);
    }
}

/// What the gateway adds to `forwarded` (RFC 7239, 4). The authority was checked and needs no
/// escape; the gateway's own address (`by`) is nobody's business.
fn element(authority: &str, client: &Client) -> String {
    let node = match client.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    format!(
        "for={node};host=\"{authority}\";proto={}",
        client.scheme.as_str()
    )
}

#[cfg(test)]
mod tests {
    use http::uri::Scheme;

    use super::*;
    use crate::routes::Entrance;

    fn sent(address: &str, trusted: bool, claims: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers: HeaderMap = claims
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        let client = Client {
            entrance: Entrance::Public,
            address: address.parse().unwrap(),
            scheme: Scheme::HTTPS,
            is_trusted: trusted,
        };
        set(&mut headers, "a.b:80", &client);
        headers
    }

    const CLAIMED: [(&str, &str); 8] = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "203.0.113.10"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example.com"),
        ("x-forwarded-prefix", "/admin"),
        ("x-real-ip", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("x-mine", "1"),
    ];

    #[test]
    fn a_trusted_proxy_is_believed_and_appended() {
        let sent = sent("192.0.2.1", true, &CLAIMED);
        for (name, expected) in [
            ("x-forwarded-for", "203.0.113.9, 203.0.113.10, 192.0.2.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "shop.example.com"),
            ("x-forwarded-prefix", "/admin"),
            (
                "forwarded",
                "for=203.0.113.9, for=192.0.2.1;host=\"a.b:80\";proto=https",
            ),
        ] {
            let lines: Vec<_> = sent.get_all(name).iter().collect();
            assert_eq!(lines, [expected], "{name}");
        }
    }

    #[test]
    fn nobody_else_is() {
        let sent = sent("192.0.2.1", false, &CLAIMED);
        let mut lines: Vec<(&str, &str)> = sent
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                ("forwarded", "for=192.0.2.1;host=\"a.b:80\";proto=https"),
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-host", "a.b:80"),
                ("x-forwarded-proto", "https"),
                ("x-mine", "1"),
            ]
        );
    }

    #[test]
    fn an_address_of_ipv6_is_quoted_where_it_has_to_be() {
        let sent = sent("2001:db8::1", false, &[]);
        assert_eq!(sent["x-forwarded-for"], "2001:db8::1");
        assert_eq!(
            sent["forwarded"],
            "for=\"[2001:db8::1]\";host=\"a.b:80\";proto=https"
        );
    }
}
