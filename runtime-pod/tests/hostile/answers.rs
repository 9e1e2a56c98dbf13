//! Answers that are none, or never end.

use serde_json::json;

use super::cases::{Arena, is_refused};

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_answered_is_not() {
    let mut arena = Arena::new().await;
    arena.hostile(json!({})).await;
    let before = arena.at_rest().await;
    let cases = [
        // Statuses that are no answer.
        ("/status?count=100", "InvalidResponse"),
        ("/status?count=101", "InvalidResponse"),
        ("/status?count=103", "InvalidResponse"),
        ("/status?count=600", "InvalidResponse"),
        ("/status?count=999", "InvalidResponse"),
        // More than one set of headers may hold.
        ("/long-header?count=70000", "HostCallTooLarge"),
        // A head that no client has to take.
        ("/headers?count=250", "InvalidResponse"),
    ];
    for (path, reason) in cases {
        is_refused(path, &arena.get(path).await, 500, reason);
        arena.is_well(path, before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_may_not_say_it_is_told_at_once() {
    let mut arena = Arena::new().await;
    arena.hostile(json!({})).await;
    let before = arena.at_rest().await;
    let cases = [
        ("/status?count=7", "no such status"),
        ("/status?count=65535", "no such status"),
        (
            "/header?name=connection&value=close",
            "HeaderError::Forbidden",
        ),
        (
            "/header?name=transfer-encoding&value=chunked",
            "HeaderError::Forbidden",
        ),
        (
            "/header?name=upgrade&value=websocket",
            "HeaderError::Forbidden",
        ),
        ("/header?name=keep-alive&value=5", "HeaderError::Forbidden"),
        (
            "/header?name=proxy-connection&value=a",
            "HeaderError::Forbidden",
        ),
        (
            "/header?name=host&value=elsewhere",
            "HeaderError::Forbidden",
        ),
        ("/header?name=a%20b&value=c", "HeaderError::InvalidSyntax"),
        (
            "/header?name=a&value=b%0d%0ax-smuggled:%201",
            "HeaderError::InvalidSyntax",
        ),
    ];
    for (path, expected) in cases {
        let answer = arena.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.text.contains(expected), "{path}: {}", answer.text);
        assert_eq!(answer.header("x-smuggled"), "", "{path}");
    }
    // Ours are dropped, whatever a guest says.
    let answer = arena.get("/header?name=wasmfn-reason&value=forged").await;
    assert_eq!(answer.header("wasmfn-reason"), "");
    arena.is_well("headers", before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_wrong_never_reaches_the_client_as_whole() {
    let mut arena = Arena::new().await;
    arena.hostile(json!({})).await;
    let before = arena.at_rest().await;
    // The body has 10 bytes.
    for value in ["5", "20", "%2B10", "10,10", "-1", "18446744073709551616"] {
        let path = format!("/header?name=content-length&value={value}");
        let answer = arena.get_cut(&path).await;
        let is_whole = answer.as_ref().is_some_and(|answer| {
            answer.status == 200 && !answer.is_broken && answer.text == "0123456789"
        });
        assert!(!is_whole, "{path}: {answer:?}");
        arena.is_well(&path, before).await;
    }
    let right = arena.get("/header?name=content-length&value=10").await;
    assert_eq!(
        (right.text.as_str(), right.is_broken),
        ("0123456789", false)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_end_is_cut() {
    let mut arena = Arena::new().await;
    let limits = json!({"timeoutSeconds": 5, "responseBytes": "1Mi"});
    arena.hostile(json!({"limits": limits})).await;
    let before = arena.at_rest().await;
    for path in ["/forever", "/drip", "/trap-after", "/unfinished"] {
        if let Some(answer) = arena.get_cut(path).await {
            let is_refused = answer.status == 500;
            assert!(answer.is_broken || is_refused, "{path}: {answer:?}");
            assert!(answer.text.len() <= 1 << 20, "{path}");
        }
        arena.is_well(path, before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_trailers_harms_nobody() {
    let mut arena = Arena::new().await;
    arena.hostile(json!({})).await;
    let before = arena.at_rest().await;
    for count in [100, 10_000] {
        let path = format!("/trailers?count={count}");
        let answer = arena.get_cut(&path).await;
        assert!(answer.is_none_or(|answer| matches!(answer.status.as_u16(), 200 | 500)));
        arena.is_well(&path, before).await;
    }
}
