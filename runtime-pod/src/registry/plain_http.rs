//! Which registries are asked over plain HTTP: those that the admin lists, and no other.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

/// Registries without TLS, each as `HOST[:PORT]`, written as in references.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PlainHttpRegistries {
    authorities: BTreeSet<String>,
    loopback: bool,
}

impl PlainHttpRegistries {
    /// The same, and every registry on this machine's loopback addresses.
    #[must_use]
    pub fn with_loopback(self) -> Self {
        Self {
            loopback: true,
            ..self
        }
    }

    /// Whether `HOST[:PORT]` is asked over plain HTTP.
    pub(super) fn contains(&self, authority: &str) -> bool {
        self.authorities.contains(&authority.to_ascii_lowercase())
            || (self.loopback && is_loopback(authority))
    }

    /// Scheme to ask `HOST[:PORT]` by.
    pub(super) fn scheme(&self, authority: &str) -> Scheme {
        if self.contains(authority) {
            Scheme::HTTP
        } else {
            Scheme::HTTPS
        }
    }

    /// Whether a URI that a registry gave, in a redirect or a challenge, may be followed: HTTPS
    /// anywhere, plain HTTP only to a listed registry.
    pub(super) fn permits(&self, uri: &Uri) -> bool {
        let Some(authority) = uri.authority() else {
            return false;
        };
        if authority.as_str().contains('@') {
            return false;
        }
        match uri.scheme_str() {
            Some("https") => true,
            Some("http") => self.contains(authority.as_str()),
            _ => false,
        }
    }
}

impl FromStr for PlainHttpRegistries {
    type Err = Infallible;

    /// From a comma-separated list; spaces and empty parts mean nothing.
    fn from_str(list: &str) -> Result<Self, Infallible> {
        let authorities = list
            .split(',')
            .map(|authority| authority.trim().to_ascii_lowercase())
            .filter(|authority| !authority.is_empty())
            .collect();
        Ok(Self {
            authorities,
            loopback: false,
        })
    }
}

fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<http::uri::Authority>() else {
        return false;
    };
    let host = authority.host().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_registries_go_without_tls() {
        let Ok(list) = " registry:5000 ,,R.Example".parse::<PlainHttpRegistries>();
        for (authority, plain) in [
            ("registry:5000", true),
            ("Registry:5000", true),
            ("r.example", true),
            ("registry", false),
            ("registry:5001", false),
            ("r.example:5000", false),
            ("localhost:5000", false),
        ] {
            assert_eq!(list.contains(authority), plain, "{authority}");
        }
        let list = list.with_loopback();
        for authority in ["localhost:5000", "127.0.0.1:5000", "[::1]:5000"] {
            assert!(list.contains(authority), "{authority}");
        }
        assert!(!list.contains("10.0.0.1:5000"));
    }

    #[test]
    fn what_a_registry_points_to_is_https_or_listed() {
        let Ok(list) = "registry:5000".parse::<PlainHttpRegistries>();
        for (uri, permitted) in [
            ("https://anywhere.example/token", true),
            ("http://registry:5000/token", true),
            ("http://registry:5001/token", false),
            ("http://169.254.169.254/latest", false),
            ("https://user@anywhere.example/", false),
            ("ftp://registry:5000/", false),
            ("/only/a/path", false),
        ] {
            assert_eq!(list.permits(&uri.parse().unwrap()), permitted, "{uri}");
        }
    }
}
