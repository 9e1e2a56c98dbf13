use std::net::IpAddr;

use wasmfn_crds::spec;

use super::list;
use crate::sandbox::outbound::{
    AllowList,
    address::{is_public, may_be_service},
    allow::{Decision, Target, normal},
    connect::question,
};

fn target(is_https: bool, host: &str, port: u16) -> Target {
    Target {
        is_https,
        host: host.to_owned(),
        port,
    }
}

#[test]
fn addresses_that_are_not_the_internet_are_closed() {
    let closed = [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.19.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::10.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:a00:1::1",
        "2606:4700::5efe:a9fe:a9fe",
        "2606:4700::200:5efe:a00:1",
        "3fff::1",
        "4000::1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::808:808",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    for address in closed {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
    for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn services_have_private_addresses_but_not_the_nodes() {
    for address in ["10.96.0.1", "192.168.0.1", "fd12::1"] {
        assert!(may_be_service(address.parse().unwrap()), "{address}");
    }
    for address in [
        "127.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "100.100.100.200",
        "2001::1",
        "2002:a00:1::1",
        "fd00:ec2::254",
        "fd00::5efe:a00:1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!may_be_service(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn only_what_is_listed_is_allowed() {
    let list = list(
        &[
            "https://api.example.com",
            "http://plain.example.com:8080",
            "https://*.example.org",
            "https://[2606:4700::1111]",
            "10.1.0.0/16",
        ],
        &["cache", "database:5432"],
    );
    let service = |name: &str| Decision::Service(format!("{name}.team.svc"));
    let cases = [
        (target(true, "api.example.com", 443), Decision::Host),
        (target(true, "api.example.com", 8443), Decision::Denied),
        (target(false, "api.example.com", 80), Decision::Denied),
        (target(false, "plain.example.com", 8080), Decision::Host),
        (target(true, "a.b.example.org", 443), Decision::Host),
        (target(true, "example.org", 443), Decision::Denied),
        (target(true, "evilexample.org", 443), Decision::Denied),
        (target(true, "2606:4700::1111", 443), Decision::Host),
        (target(false, "10.1.2.3", 9000), Decision::Host),
        (target(false, "10.2.2.3", 80), Decision::Denied),
        (target(false, "cache", 6379), service("cache")),
        (target(false, "cache.team", 80), service("cache")),
        (target(false, "cache.team.svc", 80), service("cache")),
        (
            target(false, "cache.team.svc.cluster.local", 80),
            service("cache"),
        ),
        (target(false, "cache.other.svc", 80), Decision::Denied),
        (target(false, "cache.team.com", 80), Decision::Denied),
        (target(false, "database", 5432), service("database")),
        (target(false, "database", 80), Decision::Denied),
    ];
    for (target, expected) in cases {
        assert_eq!(list.decide(&target), expected, "{target:?}");
    }
}

#[test]
fn a_name_that_leads_inside_is_refused_unless_granted() {
    let inside: IpAddr = "10.1.2.3".parse().unwrap();
    let without = list(&["https://api.example.com"], &[]);
    assert!(!without.admits_address(&Decision::Host, inside));
    let with = list(&["https://api.example.com", "10.1.0.0/16"], &[]);
    assert!(with.admits_address(&Decision::Host, inside));
}

#[test]
fn entries_that_are_none_are_named() {
    for entry in ["ftp://host", "https://host:port", "10.0.0.0/33", "host"] {
        let outbound = spec::Outbound {
            hosts: vec![entry.to_owned()],
            services: Vec::new(),
        };
        let error = AllowList::read(&outbound, "team")
            .expect_err(entry)
            .to_string();
        assert!(error.contains(entry), "{error}");
    }
}

#[test]
fn a_block_grants_no_metadata_service_that_it_happens_to_hold() {
    let metadata = [
        "169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
    ];
    let wide = list(&["0.0.0.0/0", "::/0", "169.254.0.0/16"], &[]);
    for address in metadata {
        let address: IpAddr = address.parse().unwrap();
        assert!(!wide.admits_address(&Decision::Host, address), "{address}");
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let alone = list(&[&format!("{address}/{bits}")], &[]);
        assert!(alone.admits_address(&Decision::Host, address), "{address}");
    }
    assert!(wide.admits_address(&Decision::Host, "169.254.1.1".parse().unwrap()));
}

#[test]
fn a_block_of_one_family_grants_nothing_of_the_other() {
    let list = list(&["10.0.0.0/8"], &[]);
    for form in [
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
    ] {
        let address = form.parse().unwrap();
        assert!(!list.admits_address(&Decision::Host, address), "{form}");
        assert_eq!(
            list.decide(&target(false, form, 80)),
            Decision::Denied,
            "{form}"
        );
    }
}

#[test]
fn a_block_opens_no_address_that_carries_another() {
    let carriers = [
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::10.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b:1::a9fe:a9fe",
        "2001:0:a9fe:a9fe::1",
        "2002:a9fe:a9fe::1",
        "2606:4700::5efe:a9fe:a9fe",
        "fd00::200:5efe:a00:1",
    ];
    let wide = list(&["0.0.0.0/0", "::/0", "169.254.169.254/32"], &[]);
    for form in carriers {
        let address: IpAddr = form.parse().unwrap();
        let by_itself = list(&["::/0", &format!("{form}/128")], &[]);
        for list in [&wide, &by_itself] {
            assert!(!list.admits_address(&Decision::Host, address), "{form}");
            let decision = list.decide(&target(false, form, 80));
            assert_eq!(decision, Decision::Denied, "{form}");
        }
    }
    for form in ["::1", "fd12::1", "2001:db8::1"] {
        assert!(
            wide.admits_address(&Decision::Host, form.parse().unwrap()),
            "{form}"
        );
    }
}

#[test]
fn behind_nat64_is_open_what_is_open_in_front_of_it() {
    let admits = |hosts: &[&str], address: &str| {
        list(hosts, &[]).admits_address(&Decision::Host, address.parse().unwrap())
    };
    let (public, inner, metadata) = (
        "64:ff9b::8.8.8.8",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
    );
    assert!(!admits(&["0.0.0.0/0"], public));
    assert!(admits(&["64:ff9b::/96"], public));
    assert!(!admits(&["64:ff9b::/96"], inner));
    assert!(admits(&["64:ff9b::/96", "10.0.0.0/8"], inner));
    assert!(!admits(&["::/0", "0.0.0.0/0"], metadata));
}

#[test]
fn addresses_in_disguise_are_no_addresses() {
    let list = list(&["127.0.0.0/8", "10.0.0.0/8"], &[]);
    let disguises = [
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.1.nip.io",
        "10.0.0.1%2e",
        "fe80::1%25eth0",
    ];
    for host in disguises {
        assert_eq!(
            list.decide(&target(false, host, 80)),
            Decision::Denied,
            "{host}"
        );
    }
    // Another way to write the same host is the same host.
    assert_eq!(normal("127.0.0.1."), "127.0.0.1");
    assert_eq!(normal("API.Example.COM."), "api.example.com");
    assert_eq!(normal("[::1]"), "::1");
}

#[test]
fn hosts_of_the_internet_are_not_looked_up_along_the_search_list() {
    assert_eq!(question("api.example.com"), "api.example.com.");
    assert_eq!(question("cache.team.svc"), "cache.team.svc");
    assert_eq!(question("localhost"), "localhost");
}
