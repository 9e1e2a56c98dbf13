//! Addresses that a guest may not reach unless the spec grants them by a CIDR block.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Reads `ADDRESS/BITS`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix_bits: u8 = bits.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (prefix_bits <= most).then_some(Self {
            address,
            prefix_bits,
        })
    }

    /// Whether it holds one address only.
    pub(super) const fn is_one_address(&self) -> bool {
        match self.address {
            IpAddr::V4(_) => self.prefix_bits == 32,
            IpAddr::V6(_) => self.prefix_bits == 128,
        }
    }

    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix_bits: u8) -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix_bits,
        }
    }

    const fn v6(first: u16, second: u16, third: u16, prefix_bits: u8) -> Self {
        Self {
            address: IpAddr::V6(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0)),
            prefix_bits,
        }
    }

    /// Whether `address` lies in it.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix_bits);
                let prefix = |address: Ipv4Addr| address.to_bits().checked_shr(shift).unwrap_or(0);
                prefix(own) == prefix(other)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix_bits);
                let prefix = |address: Ipv6Addr| address.to_bits().checked_shr(shift).unwrap_or(0);
                prefix(own) == prefix(other)
            }
            _ => false,
        }
    }
}

/// IPv4 blocks that are not the public internet (IANA special-purpose registry), and Azure's
/// metadata address, which looks public.
const CLOSED_V4: [Network; 16] = [
    Network::v4(0, 0, 0, 0, 8),
    Network::v4(10, 0, 0, 0, 8),
    Network::v4(100, 64, 0, 0, 10),
    Network::v4(127, 0, 0, 0, 8),
    Network::v4(168, 63, 129, 16, 32),
    Network::v4(169, 254, 0, 0, 16),
    Network::v4(172, 16, 0, 0, 12),
    Network::v4(192, 0, 0, 0, 24),
    Network::v4(192, 0, 2, 0, 24),
    Network::v4(192, 88, 99, 0, 24),
    Network::v4(192, 168, 0, 0, 16),
    Network::v4(198, 18, 0, 0, 15),
    Network::v4(198, 51, 100, 0, 24),
    Network::v4(203, 0, 113, 0, 24),
    Network::v4(224, 0, 0, 0, 4),
    Network::v4(240, 0, 0, 0, 4),
];

/// Forms of IPv6 that carry an IPv4 address (mapped, compatible, translated, NAT64), Teredo, 6to4.
const CARRIERS: [Network; 3] = [
    Network::v6(0, 0, 0, 8),
    Network::v6(0x2001, 0, 0, 32),
    Network::v6(0x2002, 0, 0, 16),
];

/// NAT64's own prefix (RFC 6052), whose IPv4 address stands in the last 32 bits.
const NAT64: Network = Network::v6(0x64, 0xff9b, 0, 96);

/// The part of IPv6 that is routed on the internet. What carries an IPv4 address inside (mapped,
/// NAT64) lies outside of it.
const OPEN_V6: Network = Network::v6(0x2000, 0, 0, 3);

/// What is closed within [`OPEN_V6`]: protocol assignments with Teredo, documentation, 6to4.
const CLOSED_V6: [Network; 4] = [
    Network::v6(0x2001, 0, 0, 23),
    Network::v6(0x2001, 0xdb8, 0, 32),
    Network::v6(0x2002, 0, 0, 16),
    Network::v6(0x3fff, 0, 0, 20),
];

/// Blocks that even a service of the own namespace does not lie in: this pod, the node's
/// neighbourhood with its metadata service, multicast, and forms that carry an IPv4 address.
const NEVER_A_SERVICE: [Network; 14] = [
    Network::v4(0, 0, 0, 0, 8),
    Network::v4(127, 0, 0, 0, 8),
    Network::v4(168, 63, 129, 16, 32),
    Network::v4(169, 254, 0, 0, 16),
    Network::v4(224, 0, 0, 0, 4),
    Network::v4(240, 0, 0, 0, 4),
    Network::v6(0, 0, 0, 8),
    Network::v6(0x100, 0, 0, 8),
    Network::v6(0x2001, 0, 0, 23),
    Network::v6(0x2002, 0, 0, 16),
    Network::v6(0xfd00, 0xec2, 0, 32),
    Network::v6(0xfe80, 0, 0, 10),
    Network::v6(0xfec0, 0, 0, 10),
    Network::v6(0xff00, 0, 0, 8),
];

/// Where clouds tell machines their credentials: AWS, GCP, Azure and others (link-local), AWS over
/// IPv6, Azure's wire server, Alibaba, Oracle.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether `address` is one of the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    let lies_in = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
    match address {
        IpAddr::V4(_) => !lies_in(&CLOSED_V4),
        IpAddr::V6(v6) => OPEN_V6.contains(address) && !lies_in(&CLOSED_V6) && !is_isatap(v6),
    }
}

/// Whether a service of the cluster may have `address`.
pub(super) fn may_be_service(address: IpAddr) -> bool {
    let is_tunnel = matches!(address, IpAddr::V6(v6) if is_isatap(v6));
    !is_tunnel
        && !METADATA.contains(&address)
        && !NEVER_A_SERVICE
            .iter()
            .any(|network| network.contains(address))
}

/// Whether `address` is a cloud's metadata service.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    METADATA.contains(&address)
}

/// Whether `address` carries an IPv4 address that it leads to.
pub(super) fn is_carrier(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        // They are written like carriers, and lead to this pod alone.
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unspecified() => false,
        IpAddr::V6(v6) => is_isatap(v6) || CARRIERS.iter().any(|network| network.contains(address)),
    }
}

/// The IPv4 address that NAT64 makes of `address`.
pub(super) fn behind_nat64(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V6(v6) if NAT64.contains(address) => {
            let [.., a, b, c, d] = v6.octets();
            Some(Ipv4Addr::new(a, b, c, d).into())
        }
        _ => None,
    }
}

/// Where `address` leads to in the end.
pub(super) fn innermost(address: IpAddr) -> IpAddr {
    behind_nat64(address).unwrap_or_else(|| address.to_canonical())
}

/// Whether the lower half of an address says that it leads to the IPv4 address at its end (ISATAP,
/// RFC 5214).
fn is_isatap(address: Ipv6Addr) -> bool {
    let [.., high, low, _, _] = address.segments();
    low == 0x5efe && (high == 0 || high == 0x0200)
}
