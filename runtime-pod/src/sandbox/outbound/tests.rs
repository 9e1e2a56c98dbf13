use std::net::IpAddr;

use http_body_util::{BodyExt, Empty};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use wasmfn_crds::spec;

use super::{
    address::{is_public, may_be_service},
    allow::{Decision, Target},
    *,
};
use crate::name_resolver::NameResolver;

fn list(hosts: &[&str], services: &[&str]) -> AllowList {
    let own = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect();
    let outbound = spec::Outbound {
        hosts: own(hosts),
        services: own(services),
    };
    AllowList::read(&outbound, "team").unwrap()
}

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
        "127.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.1.1",
        "198.19.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "3fff::1",
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
        "fe80::1",
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

async fn call(list: &AllowList, uri: &str) -> Result<String, String> {
    let request = http::Request::builder()
        .uri(uri)
        .body(Empty::new().map_err(|never| match never {}).boxed_unsync())
        .unwrap();
    let (answer, driver) = Outbound::new(NameResolver::from_system().unwrap())
        .send(list, request, None)
        .await
        .map_err(|error| format!("{error:?}"))?;
    tokio::spawn(Box::into_pin(driver));
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn calls_what_is_granted_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        let length = stream.read(&mut head).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        String::from_utf8(head[..length].to_vec()).unwrap()
    });
    let uri = format!("http://{address}/path?query");

    let denied = call(&AllowList::default(), &uri).await.unwrap_err();
    assert_eq!(denied, "HttpRequestDenied");
    let by_name = list(&[&format!("http://{address}")], &[]);
    let prohibited = call(&by_name, &uri).await.unwrap_err();
    assert_eq!(prohibited, "DestinationIpProhibited");
    let granted = list(&["127.0.0.0/8"], &[]);
    assert_eq!(call(&granted, &uri).await.unwrap(), "ok");
    let head = server.await.unwrap();
    assert!(head.starts_with("GET /path?query HTTP/1.1"), "{head}");
}
