//! WASI preview 1 commands under the JSON contract.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};
use support::{
    World, client,
    client::Answer,
    commands::{self, printing},
};

async fn world(module: Bytes, command: Value, limits: Value) -> World {
    let mut world = World::new().await;
    world.registry.push("r/command:1", module);
    let spec = json!({"image": "r/command:1", "command": command, "limits": limits});
    world.serve("hello", spec).await;
    world
}

async fn json(module: Bytes) -> World {
    world(module, json!({"contract": "JSON"}), json!({})).await
}

async fn post(world: &World, body: impl Into<Bytes>) -> Answer {
    let request = client::request("hello", "/")
        .method("POST")
        .body(Full::new(body.into()))
        .unwrap();
    client::read(client::send(world.address, request).await).await
}

fn is_error(answer: &Answer, status: u16, reason: &str, part: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("wasmfn-reason"), reason, "{answer:?}");
    assert!(answer.text.contains(part), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_document_in_one_document_out() {
    let world = json(printing("", commands::COPY)).await;
    let document = r#"{"cart": [1, "zwölf", null]}"#;
    let answer = post(&world, document).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.text, document);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_document_is_refused_on_both_sides() {
    let copier = json(printing("", commands::COPY)).await;
    is_error(
        &post(&copier, "{\"a\":").await,
        400,
        "BadRequest",
        "line 1 column 5",
    );
    is_error(&post(&copier, "").await, 400, "BadRequest", "empty");
    is_error(&post(&copier, "{} {}").await, 400, "BadRequest", "trailing");
    for (text, part) in [
        ("", "empty"),
        ("{}{}", "trailing"),
        ("hello", "expected value"),
    ] {
        let world = json(printing(text, "")).await;
        is_error(&post(&world, "{}").await, 500, "InvalidResponse", part);
    }
    let failing = json(printing("{}", &commands::exit(2))).await;
    is_error(
        &post(&failing, "{}").await,
        500,
        "Trapped",
        "exited with code 2",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_of_the_preset_says_by_how_much_it_was_passed() {
    let copier = json(printing("", commands::COPY)).await;
    let most = format!("\"{}\"", "a".repeat(19_998));
    assert_eq!(post(&copier, most).await.text.len(), 20_000);
    let more = format!("\"{}\"", "a".repeat(20_003));
    is_error(
        &post(&copier, more).await,
        500,
        "ResponseTooLarge",
        "20005 bytes, 5 more than the allowed 20000",
    );
    let far_more = format!("\"{}\"", "a".repeat(128_005));
    is_error(
        &post(&copier, far_more).await,
        413,
        "RequestTooLarge",
        "128007 bytes, 7 more than the allowed 128000",
    );
    let grower = json(printing("", commands::GROW)).await;
    is_error(
        &post(&grower, "{}").await,
        500,
        "OutOfMemory",
        "10000000 bytes",
    );
    let spinner = json(printing("", commands::SPIN)).await;
    is_error(
        &post(&spinner, "{}").await,
        500,
        "OutOfFuel",
        "more than 22000000 instructions; its budget is 11000000",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn instructions_are_counted_the_same_each_time() {
    let module = printing("{}", &commands::count_to(2_000));
    let count = |answer: &Answer| {
        let words: Vec<&str> = answer.text.split_whitespace().collect();
        let place = words.iter().position(|word| *word == "used").unwrap();
        words[place + 1].parse::<u64>().unwrap()
    };
    let command = json!({"contract": "JSON", "instructions": 15_000});
    let tight = world(module.clone(), command, json!({})).await;
    let answer = post(&tight, "{}").await;
    is_error(&answer, 500, "OutOfFuel", "more than its budget of 15000");
    let used = count(&answer);
    assert!((15_001..30_000).contains(&used), "{used}");
    for _ in 0..3 {
        assert_eq!(count(&post(&tight, "{}").await), used);
    }
    // That count is enough, and one less is not.
    let exact = json!({"contract": "JSON", "instructions": used});
    let enough = world(module.clone(), exact, json!({})).await;
    assert_eq!(post(&enough, "{}").await.status, 200);
    let one_less = json!({"contract": "JSON", "instructions": used - 1});
    let short = world(module, one_less, json!({})).await;
    is_error(&post(&short, "{}").await, 500, "OutOfFuel", ", 1 more than");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_spec_replace_the_presets() {
    let limits = json!({"requestBytes": "10", "responseBytes": "1Mi", "memoryPerRequest": "16Mi"});
    let copier = world(
        printing("", commands::COPY),
        json!({"contract": "JSON"}),
        limits,
    )
    .await;
    is_error(
        &post(&copier, "[1,2,3,4,5]").await,
        413,
        "RequestTooLarge",
        "11 bytes, 1 more",
    );
    assert_eq!(post(&copier, "[1,2,3]").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_found_out_and_the_field_changes_it() {
    // A budget alone means JSON; the same module is CGI once the field says so.
    let module = printing("Content-Type: text/plain\n\nhello", "");
    let mut world = world(module, json!({"instructions": 1_000_000}), json!({})).await;
    is_error(
        &post(&world, "{}").await,
        500,
        "InvalidResponse",
        "JSON document",
    );
    world
        .serve(
            "hello",
            json!({"image": "r/command:1", "command": {"contract": "CGI"}}),
        )
        .await;
    assert_eq!(post(&world, "{}").await.text, "hello");
    world.serve("hello", json!({"image": "r/command:1"})).await;
    assert_eq!(post(&world, "{}").await.text, "hello");
}
