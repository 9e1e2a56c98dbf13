//! Guests that take more than they may.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    cases::{Arena, is_refused},
    wat::{component, handler},
};

/// A loop that never ends.
const SPIN: &str = "(loop $again (br $again))";

struct Case {
    name: &'static str,
    module: Bytes,
    limits: Value,
    reason: &'static str,
}

fn case(name: &'static str, module: Bytes, limits: Value, reason: &'static str) -> Case {
    Case {
        name,
        module,
        limits,
        reason,
    }
}

fn cases() -> Vec<Case> {
    let little_cpu = || json!({"cpuMillisecondsPerRequest": 100});
    let little_memory = || json!({"memoryPerRequest": "8Mi"});
    // Fifteen memories, each of which alone would fit.
    let memories: String = (0..15)
        .map(|_| "(core instance (instantiate $memory))")
        .collect();
    let memories = format!(
        r#"(core module $memory (memory 16)) {memories}
        (core module $module (func (export "handle") (param i32 i32)))"#
    );
    vec![
        case("spin", handler("", SPIN), little_cpu(), "OutOfCpu"),
        case(
            "spin-in-start",
            handler(&format!("(func $s {SPIN}) (start $s)"), ""),
            little_cpu(),
            "OutOfCpu",
        ),
        case(
            "grow",
            handler(
                "(memory 1)",
                "(loop $again (br_if $again (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))) unreachable",
            ),
            little_memory(),
            "OutOfMemory",
        ),
        case(
            "many-memories",
            component(&memories),
            little_memory(),
            "OutOfMemory",
        ),
        case(
            "memory-of-4-gib",
            handler("(memory 65536)", ""),
            json!({}),
            "OutOfMemory",
        ),
        case(
            "data-beyond-its-memory",
            handler("(memory 1) (data (i32.const 65530) \"0123456789\")", ""),
            json!({}),
            "Trapped",
        ),
        case(
            "large-tables",
            handler(&"(table 100000 funcref)".repeat(4), ""),
            json!({"memoryPerRequest": "2Mi"}),
            "OutOfMemory",
        ),
        case(
            "grow-tables",
            handler(
                "(memory 15) (table $t 1 funcref)",
                "(loop $again (br_if $again (i32.ge_s (table.grow $t (ref.null func) (i32.const 1000)) (i32.const 0)))) unreachable",
            ),
            json!({"memoryPerRequest": "1Mi"}),
            "OutOfMemory",
        ),
        case(
            "recurse",
            component(
                r#"(core module $module
                    (func $r (param i32) (result i32) (i32.add (i32.const 1) (call $r (local.get 0))))
                    (func (export "handle") (param i32 i32) (drop (call $r (i32.const 0)))))"#,
            ),
            json!({}),
            "StackOverflow",
        ),
        case("no-answer", handler("", ""), json!({}), "Trapped"),
        case("trap", handler("", "unreachable"), json!({}), "Trapped"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_much_ends_alone_and_gives_it_back() {
    let mut arena = Arena::new().await;
    for case in cases() {
        let name = case.name;
        arena.module(name, case.module, case.limits).await;
        let before = arena.at_rest().await;
        for _ in 0..3 {
            is_refused(name, &arena.get("/").await, 500, case.reason);
        }
        arena.is_well(name, before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_holds_for_a_guest_is_limited() {
    let mut arena = Arena::new().await;
    arena.hostile(json!({})).await;
    let before = arena.at_rest().await;
    let cases = [
        // Its own stack lies in its memory, and ends there.
        ("/recurse?count=10000000", "Trapped"),
        ("/leak-handles", "TooManyHandles"),
        ("/leak-streams", "TooManyHandles"),
        ("/large-call?count=20000000", "HostCallTooLarge"),
        ("/random?count=100000000", "HostCallTooLarge"),
        ("/silent", "Trapped"),
        ("/panic", "Trapped"),
    ];
    for (path, reason) in cases {
        is_refused(path, &arena.get(path).await, 500, reason);
        arena.is_well(path, before).await;
    }
    for (letters, taken) in [
        (64, "[true, true, true]"),
        (65, "[false, true, true]"),
        (600, "[false, false, true]"),
        (1_000_000, "[false, false, false]"),
    ] {
        let path = format!("/long-words?count={letters}");
        assert_eq!(arena.get(&path).await.text, taken, "{letters}");
    }
    assert_eq!(arena.get("/recurse?count=100").await.text, "5050");
    assert_eq!(arena.get("/random?count=4096").await.text, "4096");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_but_http() {
    let mut arena = Arena::new().await;
    arena.hostile(json!({})).await;
    let text = arena.get("/outside").await.text;
    assert!(text.starts_with("folders 0, name "), "{text}");
    for part in [
        "name ErrorCode { code: 20, name: \"permanent-resolver-failure\"",
        "tcp Err(ErrorCode { code: 1, name: \"access-denied\"",
        "udp Err(ErrorCode { code: 1, name: \"access-denied\"",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_log_lines_is_dropped_and_the_request_goes_on() {
    let mut arena = Arena::new().await;
    arena.hostile(json!({})).await;
    let before = arena.at_rest().await;
    for path in ["/log?count=20000", "/long-line?count=1000"] {
        let answer = arena.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (200, "logged"),
            "{path}"
        );
        arena.is_well(path, before).await;
    }
}
