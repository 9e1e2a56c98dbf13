//! A function's whole way, against an API server that plays along.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::core::DeserializeGuard;
use serde_json::{Value, json};
use wasmfn_report::RuntimeLine;

use super::*;
use crate::{
    caches::Writers,
    fixtures::{self, ApiServer, Call, refusal},
};

struct World {
    context: Arc<Context>,
    writers: Writers,
    server: ApiServer,
}

fn world(mut refuses: impl FnMut(&Call) -> Option<(u16, Value)> + Send + 'static) -> World {
    let mut version = 100;
    let server = ApiServer::new(move |call| {
        if let Some(refusal) = refuses(call) {
            return refusal;
        }
        if call.method == "GET" {
            return refusal(404, "NotFound");
        }
        version += 1;
        let mut object = call.body.clone();
        if call.path.ends_with("/status") {
            object["spec"] = json!({ "image": "r/x:1" });
        }
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        (200, object)
    });
    let (context, writers) = fixtures::context(&server);
    World {
        context,
        writers,
        server,
    }
}

impl World {
    async fn reconcile(&mut self, function: &WasmFunction) -> Result<Action, ReconcileError> {
        self.writers.put_function(function);
        let object = Arc::new(DeserializeGuard(Ok(function.clone())));
        reconcile(object, Arc::clone(&self.context)).await
    }

    fn writes(&self) -> Vec<Call> {
        let calls = self.server.calls();
        calls
            .into_iter()
            .filter(|call| call.method != "GET")
            .collect()
    }

    fn last_status(&self) -> Value {
        let calls = self.server.calls();
        let last = calls
            .iter()
            .rev()
            .find(|call| call.path.ends_with("/status"));
        last.unwrap().body["status"].clone()
    }
}

fn ready(status: &Value) -> (String, String) {
    let conditions = status["conditions"].as_array().unwrap();
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")
        .unwrap();
    let word = |field: &str| ready[field].as_str().unwrap().to_owned();
    (word("status"), word("reason"))
}

#[tokio::test]
async fn a_new_function_gets_what_it_needs_and_nothing_is_written_twice() {
    let mut world = world(|_| None);
    let function = fixtures::function("f", json!({}), json!(null));
    world.reconcile(&function).await.unwrap();
    let mut paths: Vec<String> = world.writes().into_iter().map(|call| call.path).collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/api/v1/namespaces/a/secrets",
            "/api/v1/namespaces/a/serviceaccounts/wasmfn-runtime",
            "/api/v1/namespaces/a/services/f",
            "/api/v1/namespaces/a/services/wasmfn-shared",
            "/apis/apps/v1/namespaces/a/deployments/wasmfn-shared",
            "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies/wasmfn-runtime",
            "/apis/policy/v1/namespaces/a/poddisruptionbudgets/wasmfn-shared",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings/wasmfn-runtime",
            "/apis/wasmfn.dev/v1alpha1/namespaces/a/wasmfunctions/f/status",
        ]
    );
    let status = world.writes().pop().unwrap();
    assert_eq!(status.body["metadata"]["uid"], "uid-f");
    assert!(
        status.query.contains("fieldManager=wasmfn-operator-status"),
        "{}",
        status.query
    );
    let before = world.server.calls().len();
    world.reconcile(&function).await.unwrap();
    assert_eq!(
        world.server.calls().len(),
        before,
        "the cache is behind, and yet it is known"
    );
}

#[tokio::test]
async fn a_taken_name_is_told_and_looked_at_again_later() {
    let mut world = world(|call| {
        let foreign = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "f" } });
        (call.method == "GET" && call.path.ends_with("/services/f")).then_some((200, foreign))
    });
    let function = fixtures::function("f", json!({}), json!(null));
    let action = world.reconcile(&function).await.unwrap();
    assert_eq!(action, Action::requeue(NAME_TAKEN_RECHECK));
    assert_eq!(
        ready(&world.last_status()),
        ("False".into(), "NameTaken".into())
    );
    let writes = world.writes();
    assert!(
        writes
            .iter()
            .all(|call| !call.path.ends_with("/services/f"))
    );
    let event = writes
        .iter()
        .find(|call| call.path.contains("events"))
        .unwrap();
    assert_eq!(event.body["reason"], "NameTaken");
    assert_eq!(event.body["type"], "Warning");
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told_in_its_words_and_tried_again() {
    let mut world = world(|call| {
        (call.method == "PATCH" && call.path.contains("deployments"))
            .then(|| refusal(403, "Forbidden"))
    });
    let function = fixtures::function("f", json!({}), json!(null));
    let error = world.reconcile(&function).await.unwrap_err();
    let status = world.last_status();
    assert_eq!(ready(&status), ("False".into(), "ApplyFailed".into()));
    assert!(
        status.to_string().contains("because of Forbidden"),
        "{status}"
    );
    let object = DeserializeGuard(Ok(function));
    let first = after_error(&object, &error, &world.context);
    assert_eq!(first, Action::requeue(Duration::from_secs(1)));
    let second = after_error(&object, &error, &world.context);
    assert_eq!(second, Action::requeue(Duration::from_secs(2)));
}

#[tokio::test]
async fn an_api_server_that_is_away_changes_no_word_of_the_status() {
    let mut world =
        world(|call| (call.path.contains("deployments")).then(|| refusal(500, "InternalError")));
    let function = fixtures::function("f", json!({}), json!(null));
    world.reconcile(&function).await.unwrap_err();
    assert_eq!(
        ready(&world.last_status()),
        ("Unknown".into(), "Pending".into())
    );
}

#[tokio::test]
async fn what_a_pod_says_ends_up_in_the_status() {
    let mut world = world(|_| None);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": "p", "namespace": "a", "uid": "p",
            "labels": { "wasmfn.dev/runtime": "wasmfn-shared", "app.kubernetes.io/component": "runtime" },
        },
    }))
    .unwrap();
    world.writers.put_pod(&pod);
    let digest = format!("sha256:{}", "a".repeat(64));
    let line: RuntimeLine = serde_json::from_value(json!({
        "type": "Function",
        "function": { "namespace": "a", "name": "f", "uid": "uid-f" },
        "generation": 1,
        "resolution": { "image": "r/x:1", "digest": digest },
        "load": { "phase": "Loaded" },
        "serving": { "digest": digest, "generation": 1, "kind": "Component" },
    }))
    .unwrap();
    let knowledge = &world.context.knowledge;
    knowledge.runtime_opened(&pod::id(&pod));
    knowledge.runtime_said(&pod::id(&pod), line);
    knowledge.runtime_said(&pod::id(&pod), RuntimeLine::Synced);
    assert_eq!(world.context.functions.take().len(), 1);
    world
        .reconcile(&fixtures::function("f", json!({}), json!(null)))
        .await
        .unwrap();
    let status = world.last_status();
    assert_eq!(ready(&status), ("True".into(), "Answering".into()));
    assert_eq!(status["resolved"]["digest"], digest);
    assert_eq!(status["serving"]["runtime"], "wasmfn-shared");
    assert_eq!(status["kind"], "Component");
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_told_so_once() {
    let world = world(|_| None);
    let unreadable: Guarded = serde_json::from_value(json!({
        "apiVersion": "wasmfn.dev/v1alpha1",
        "kind": "WasmFunction",
        "metadata": { "name": "f", "namespace": "a", "uid": "u", "generation": 3 },
        "spec": { "image": 7 },
    }))
    .unwrap();
    let object = Arc::new(unreadable);
    for _ in 0..2 {
        let action = reconcile(Arc::clone(&object), Arc::clone(&world.context))
            .await
            .unwrap();
        assert_eq!(action, Action::await_change());
    }
    let writes = world.writes();
    let paths: Vec<&str> = writes.iter().map(|call| call.path.as_str()).collect();
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(paths[0].ends_with("/wasmfunctions/f/status"));
    assert!(paths[1].contains("events"));
    let status = &writes[0].body["status"];
    assert_eq!(ready(status), ("False".into(), "InvalidSpec".into()));
    assert_eq!(
        status.as_object().unwrap().len(),
        1,
        "the rest is not ours to touch"
    );
}

#[tokio::test]
async fn a_function_on_its_way_out_is_left_alone() {
    let mut world = world(|_| None);
    let mut function = fixtures::function("f", json!({}), json!(null));
    function.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-02T00:00:00Z")).unwrap();
    world.reconcile(&function).await.unwrap();
    assert!(world.server.calls().is_empty());
}
