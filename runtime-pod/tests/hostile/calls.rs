//! Calls that flood, or go where they may not.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;

use super::{cases::Arena, support::callee::Callee};

#[tokio::test(flavor = "multi_thread")]
async fn no_form_of_an_inner_address_is_called() {
    let callee = Callee::start().await;
    let port = callee.address.rsplit_once(':').unwrap().1.to_owned();
    let mut arena = Arena::new().await;
    // Listed by host, each of them; granted by no block.
    let hosts = [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::1]",
        "[2001::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
    ];
    let listed: Vec<String> = hosts
        .iter()
        .map(|host| format!("http://{host}:{port}"))
        .collect();
    arena.hostile(json!({"outbound": {"hosts": listed}})).await;
    let before = arena.at_rest().await;
    for host in hosts {
        let authority = format!("{host}:{port}")
            .replace('[', "%5B")
            .replace(']', "%5D");
        let text = arena
            .get(&format!("/calls?count=1&authority={authority}"))
            .await
            .text;
        assert_eq!(text, "0 ErrorCode::DestinationIpProhibited", "{host}");
    }
    let denied = arena.get("/calls?count=1&authority=example.com").await.text;
    assert_eq!(denied, "0 ErrorCode::HttpRequestDenied");
    assert_eq!(callee.connections(), 0);
    arena.is_well("addresses", before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_calls_end_at_the_allowance() {
    let callee = Callee::start().await;
    let mut arena = Arena::new().await;
    let spec = json!({
        "outbound": {"hosts": ["127.0.0.0/8"]},
        "limits": {"timeoutSeconds": 300},
    });
    arena.hostile(spec).await;
    let before = arena.at_rest().await;
    let text = arena
        .get(&format!("/calls?count=1500&authority={}", callee.address))
        .await
        .text;
    assert_eq!(text, "1000 ErrorCode::ConnectionLimitReached");
    // They shared what they could.
    assert!(callee.connections() < 100);
    arena.is_well("calls", before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_nothing_and_of_for_ever_are_times() {
    let callee = Callee::start().await;
    // It accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap();
    let mut arena = Arena::new().await;
    let limits = json!({"timeoutSeconds": 2});
    let outbound = json!({"hosts": ["127.0.0.0/8"]});
    arena
        .hostile(json!({"outbound": outbound, "limits": limits}))
        .await;
    let before = arena.at_rest().await;
    let path = format!("/timeouts?count=0&authority={silent_address}");
    let zero = arena.get(&path).await.text;
    assert!(zero.contains("Timeout"), "{zero}");
    let most = u64::MAX;
    let huge = arena
        .get(&format!(
            "/timeouts?count={most}&authority={}",
            callee.address
        ))
        .await;
    assert_eq!(huge.text, "200");
    let started = std::time::Instant::now();
    let path = format!("/timeouts?count={most}&authority={silent_address}");
    let waiting = arena.get(&path).await;
    super::cases::is_refused("for ever", &waiting, 504, "Timeout");
    assert!(started.elapsed() < Duration::from_secs(20));
    arena.is_well("timeouts", before).await;
}
