//! Who sends a request, as far as the gateway can see.

use std::net::IpAddr;

use http::uri::Scheme;
use ipnet::IpNet;

use crate::routes::Entrance;

/// The other end of a connection: a client, or a proxy in front.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Client {
    /// Where it came in.
    pub entrance: Entrance,
    /// Its address; one of IPv4 is written so.
    pub address: IpAddr,
    /// What it speaks with the gateway.
    pub scheme: Scheme,
    /// Whether it may say for whom it asks.
    pub is_trusted: bool,
}

impl Client {
    /// The client at `address`, trusted where one of `proxies` holds it.
    #[must_use]
    pub fn new(entrance: Entrance, address: IpAddr, scheme: Scheme, proxies: &[IpNet]) -> Self {
        let address = address.to_canonical();
        Self {
            entrance,
            address,
            scheme,
            is_trusted: proxies.iter().any(|network| network.contains(&address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_in_a_named_network_is_trusted() {
        let proxies = [
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ];
        let trusted = |address: &str, proxies: &[IpNet]| {
            let address = address.parse().unwrap();
            Client::new(Entrance::Public, address, Scheme::HTTP, proxies).is_trusted
        };
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(trusted(address, &proxies), expected, "{address}");
            assert!(!trusted(address, &[]), "nobody, unless the admin says so");
        }
    }
}
