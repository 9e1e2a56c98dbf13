//! Key-value stores as guests see them.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::sync::Arc;

use serde_json::json;
use support::{Plan, World, guests, registry::Shelf};
use wasmfn_crds::stores::{StoreOffer, StoreOffers};

async fn world() -> World {
    let plan = Plan {
        stores: StoreOffers::from([
            ("scratch".to_owned(), StoreOffer::Memory),
            ("other".to_owned(), StoreOffer::Memory),
        ]),
        ..Plan::default()
    };
    let world = World::with(plan, Arc::new(Shelf::default())).await;
    world.registry.push("r/stores:1", guests::bytes("stores"));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_store_keeps_values_between_requests_and_functions_apart() {
    let mut world = world().await;
    for name in ["one", "two"] {
        let spec = json!({"image": "r/stores:1", "stores": ["scratch"]});
        world.serve(name, spec).await;
    }
    for expected in ["1", "2", "3"] {
        assert_eq!(world.get("one", "/visits/scratch").await.text, expected);
    }
    assert_eq!(world.get("two", "/visits/scratch").await.text, "1");
    assert_eq!(
        world.get("two", "/round/scratch").await.text,
        r#"["a", "b", "c", "visits"] [Some(("a", [49])), None] false"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_denied() {
    let mut world = world().await;
    let spec = json!({"image": "r/stores:1", "stores": ["scratch"]});
    world.serve("one", spec).await;
    world.serve("none", json!({"image": "r/stores:1"})).await;
    assert_eq!(world.get("one", "/open/scratch").await.text, "opened");
    assert_eq!(world.get("none", "/log").await.text, "logged");
    // Whether the admin offers it is nothing to a guest.
    for (function, store) in [("one", "other"), ("one", "nowhere"), ("none", "scratch")] {
        let answer = world.get(function, &format!("/open/{store}")).await;
        assert_eq!(answer.text, "Error::AccessDenied", "{function} {store}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_with_a_sentence() {
    let mut world = world().await;
    let spec = json!({"image": "r/stores:1", "stores": ["scratch"]});
    world.serve("one", spec).await;
    let text = world.get("one", "/large/scratch").await.text;
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("a key must have 1 to 1024 bytes"),
        "{text}"
    );
    assert!(
        lines[1].contains("a value must have at most 1048576 bytes"),
        "{text}"
    );
    assert!(
        lines[2].contains("a batch must have at most 100 keys"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_offered_stops_its_function_alone() {
    let mut world = world().await;
    let spec = |store: &str| json!({"image": "r/stores:1", "stores": [store]});
    world.serve("well", spec("scratch")).await;
    world.apply("ill", spec("nowhere"));
    world.record("ill").await;
    let (reason, message) = world.failed("ill").await;
    assert_eq!(reason, "UnknownStore");
    assert!(message.contains("`nowhere`"), "{message}");
    assert_eq!(world.get("well", "/visits/scratch").await.status, 200);
    world.serve("ill", spec("scratch")).await;
    assert_eq!(world.get("ill", "/visits/scratch").await.text, "1");
}
