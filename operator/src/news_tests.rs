use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::fixtures::{self, ApiServer};

/// Whom a change of an object with these labels wakes, in a namespace with these functions.
fn woken(functions: &[WasmFunction], labels: &Value) -> BTreeSet<String> {
    let server = ApiServer::scripted(Vec::new());
    let (context, mut writers) = fixtures::context(&server);
    for function in functions {
        writers.put_function(function);
    }
    let knowledge = Arc::clone(&context.knowledge);
    let followers = Followers::new(knowledge, fixtures::master_key(), "wasmfn");
    let news = News::new(Arc::clone(&context), followers);
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "x", "namespace": "a", "labels": labels },
    });
    let object = serde_json::from_value(object).unwrap();
    news.object(Kind::Service, &Event::Apply(object));
    let woken = context.functions.take();
    woken.into_iter().map(|key| key.name).collect()
}

#[tokio::test]
async fn an_object_is_seen_to_by_a_function_that_brings_it_back() {
    let dedicated = json!({ "placement": "Dedicated" });
    let mut gone = fixtures::function("gone", json!({}), json!({}));
    gone.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
    let functions = [
        fixtures::function("dedicated", dedicated, json!({})),
        fixtures::function("shared", json!({}), json!({})),
        gone,
    ];
    let names = |labels: Value| woken(&functions, &labels);
    let of_shared = names(json!({ RUNTIME_LABEL: SHARED_RUNTIME }));
    assert!(of_shared.contains("shared"), "{of_shared:?}");
    assert!(!of_shared.contains("dedicated"), "{of_shared:?}");
    let own = names(json!({ FUNCTION_LABEL: "dedicated" }));
    assert_eq!(own, BTreeSet::from(["dedicated".to_owned()]));
    let companion = names(json!({}));
    assert_eq!(companion.len(), 1);
    assert!(!companion.contains("gone"), "its reconcile does nothing");
}
