//! The scaler against an API server that plays along.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;
use wasmfn_report::{FunctionId, GatewayFunction, GatewayLine, PodState, RuntimeLine};

use super::super::Scaler;
use crate::{
    caches::Writers,
    context::Context,
    fixtures::{self, ApiServer, Call, HANGS, refusal},
    follow::PodId,
    reconcile::{object::Kind, pod},
};

/// Pods leave at once, so that a test need not wait for a window.
const NO_WINDOW: (u32, u32) = (0, 0);

struct World {
    context: Arc<Context>,
    writers: Writers,
    server: ApiServer,
}

impl World {
    /// `answers` says what is answered otherwise than by doing as asked.
    fn new(mut answers: impl FnMut(&Call) -> Option<(u16, Value)> + Send + 'static) -> Self {
        let mut version = 100;
        let server = ApiServer::new(move |call| {
            version += 1;
            let mut object = call.body.clone();
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            answers(call).unwrap_or((200, object))
        });
        let (context, writers) = fixtures::context(&server);
        let world = Self {
            context,
            writers,
            server,
        };
        world.gateway_is_heard();
        world
    }

    /// A settled Dedicated function of its own namespace, whose deployment has so many replicas.
    fn function(&mut self, namespace: &str, replicas: u32, (window, idle): (u32, u32)) {
        let scaling = json!({
            "targetConcurrency": 1, "scaleDownWindowSeconds": window, "idleSeconds": idle,
        });
        let status = json!({
            "resolved": { "image": "r/x:1", "resolveAt": "", "digest": "d", "shortDigest": "d" },
            "serving": { "digest": "d", "generation": 1, "runtime": "wasmfn-fn-f" },
            "replicas": 1, "readyReplicas": 1,
        });
        let spec = json!({ "placement": "Dedicated", "scaling": scaling });
        let mut function = fixtures::function("f", spec, status);
        function.metadata.namespace = Some(namespace.to_owned());
        function.metadata.uid = Some(format!("uid-{namespace}"));
        self.writers.put_function(&function);
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "wasmfn-fn-f", "namespace": namespace, "uid": format!("deployment-{namespace}"),
                "resourceVersion": "10",
            },
            "spec": { "replicas": replicas, "selector": {}, "template": {} },
        });
        self.writers.put(Kind::Deployment, &deployment);
    }

    /// A pod of it, ready or without a node, that serves so many requests.
    fn pod(&mut self, namespace: &str, name: &str, ready: bool, in_flight: u32) {
        let condition = if ready {
            json!({ "type": "Ready", "status": "True" })
        } else {
            let message = "0/2 nodes are available";
            json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message })
        };
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": name, "namespace": namespace, "uid": format!("uid-{name}"),
                "labels": { "wasmfn.dev/runtime": "wasmfn-fn-f", "app.kubernetes.io/component": "runtime" },
            },
            "status": { "conditions": [condition] },
        }))
        .unwrap();
        self.writers.put_pod(&pod);
        let (knowledge, id) = (&self.context.knowledge, pod::id(&pod));
        knowledge.runtime_opened(&id);
        let state = PodState {
            in_flight,
            ..PodState::default()
        };
        knowledge.runtime_said(&id, RuntimeLine::Pod(state));
        knowledge.runtime_said(&id, RuntimeLine::Synced);
    }

    fn gateway_is_heard(&self) {
        let (knowledge, gateway) = (&self.context.knowledge, gateway());
        let now = Instant::now();
        knowledge.gateway_seen(&gateway, true, now);
        knowledge.gateway_opened(&gateway);
        knowledge.gateway_said(&gateway, GatewayLine::Synced, now);
    }

    /// The gateway counts so many requests for the function of a namespace.
    fn requests(&self, namespace: &str, in_flight: u32, queued: u32) {
        let line = GatewayLine::Function(GatewayFunction {
            function: FunctionId {
                namespace: namespace.into(),
                name: "f".into(),
                uid: format!("uid-{namespace}"),
            },
            in_flight,
            queued,
        });
        let knowledge = &self.context.knowledge;
        knowledge.gateway_said(&gateway(), line, Instant::now());
    }

    /// Scales until it is dropped.
    fn leads(&self) -> AbortOnDropHandle<()> {
        let mut scaler = Scaler::new(Arc::clone(&self.context));
        AbortOnDropHandle::new(tokio::spawn(async move { scaler.run().await }))
    }

    fn writes(&self, kind: &str) -> Vec<Call> {
        let calls = self.server.calls().into_iter();
        calls.filter(|call| call.path.contains(kind)).collect()
    }
}

fn gateway() -> PodId {
    PodId {
        namespace: "wasmfn".into(),
        name: "gateway".into(),
        uid: "gateway".into(),
    }
}

/// A write of `replicas` in a namespace.
fn scales(namespace: &str) -> impl Fn(&Call) -> bool {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/wasmfn-fn-f");
    move |call: &Call| call.path == path
}

fn replicas(call: &Call) -> u64 {
    call.body["spec"]["replicas"].as_u64().unwrap()
}

#[tokio::test]
async fn a_waiting_request_has_a_pod_asked_for_within_a_tenth_of_a_second() {
    let mut world = World::new(|_| None);
    let namespaces = ["a", "b", "c", "d", "e"];
    for namespace in namespaces {
        world.function(namespace, 0, (60, 60));
    }
    let _scaler = world.leads();
    let mut took = Vec::new();
    for namespace in namespaces {
        let begun = Instant::now();
        world.requests(namespace, 0, 3);
        let call = world.server.hears(scales(namespace)).await;
        took.push(begun.elapsed());
        assert_eq!(replicas(&call), 3);
        assert_eq!(
            call.body["metadata"]["uid"],
            format!("deployment-{namespace}")
        );
        assert!(
            call.query.contains("fieldManager=wasmfn-operator-scale"),
            "{}",
            call.query
        );
    }
    // On a machine that does other things, one of them is not held up.
    assert!(
        took.iter().min() < Some(&Duration::from_millis(100)),
        "{took:?}"
    );
}

#[tokio::test]
async fn what_lasts_is_asked_for_though_nothing_new_is_said() {
    let mut world = World::new(|_| None);
    world.function("a", 1, (60, 60));
    let _scaler = world.leads();
    world.requests("a", 4, 0);
    let begun = Instant::now();
    let call = world.server.hears(scales("a")).await;
    assert_eq!(replicas(&call), 4);
    assert!(
        begun.elapsed() >= Duration::from_millis(200),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn the_least_busy_pod_is_marked_before_replicas_are_lowered() {
    let mut world = World::new(|_| None);
    world.function("a", 3, NO_WINDOW);
    for (name, in_flight) in [("p", 5), ("q", 0), ("r", 9)] {
        world.pod("a", name, true, in_flight);
    }
    world.requests("a", 2, 0);
    let _scaler = world.leads();
    let call = world.server.hears(scales("a")).await;
    assert_eq!(replicas(&call), 2);
    let calls = world.server.calls();
    assert_eq!(calls[0].path, "/api/v1/namespaces/a/pods/q");
    let annotations = &calls[0].body["metadata"]["annotations"];
    assert_eq!(
        annotations["controller.kubernetes.io/pod-deletion-cost"],
        "-1000000000"
    );
    assert!(scales("a")(&calls[1]), "{calls:?}");
    let event = world
        .server
        .hears(|call| call.path.contains("events"))
        .await;
    assert_eq!(event.body["reason"], "ScaledDown");
    assert_eq!(event.body["regarding"]["name"], "wasmfn-fn-f");
}

#[tokio::test]
async fn a_pod_more_is_marked_where_an_earlier_decrease_has_removed_nothing_yet() {
    let mut world = World::new(|_| None);
    world.function("a", 2, NO_WINDOW);
    for (name, in_flight) in [("p", 5), ("q", 0), ("r", 9)] {
        world.pod("a", name, true, in_flight);
    }
    world.requests("a", 1, 0);
    let _scaler = world.leads();
    let call = world.server.hears(scales("a")).await;
    assert_eq!(replicas(&call), 1);
    let calls = world.server.calls();
    let marked = calls.iter().filter(|call| call.path.contains("/pods/"));
    let mut marked: Vec<&str> = marked.map(|call| call.path.as_str()).collect();
    marked.sort_unstable();
    let expected = ["/api/v1/namespaces/a/pods/p", "/api/v1/namespaces/a/pods/q"];
    assert_eq!(marked, expected);
}

#[tokio::test]
async fn a_pod_that_may_not_be_marked_holds_up_nothing() {
    let mut world = World::new(|call| {
        call.path
            .contains("/pods/")
            .then(|| refusal(403, "Forbidden"))
    });
    world.function("a", 2, NO_WINDOW);
    world.pod("a", "p", true, 5);
    world.pod("a", "q", true, 0);
    world.requests("a", 1, 0);
    let _scaler = world.leads();
    assert_eq!(replicas(&world.server.hears(scales("a")).await), 1);
}

#[tokio::test]
async fn a_call_that_hangs_holds_up_no_other_deployment() {
    let mut world = World::new(|call| scales("a")(call).then_some((HANGS, Value::Null)));
    world.function("a", 0, (60, 60));
    world.function("b", 0, (60, 60));
    let _scaler = world.leads();
    world.requests("a", 0, 1);
    world.server.hears(scales("a")).await;
    world.requests("b", 0, 1);
    world.server.hears(scales("b")).await;
    assert_eq!(
        world.writes("namespaces/a/deployments").len(),
        1,
        "it is under way"
    );
}

#[tokio::test]
async fn what_failed_is_tried_again() {
    let mut failures = 1;
    let mut world = World::new(move |call| {
        let fails = scales("a")(call) && std::mem::replace(&mut failures, 0) > 0;
        fails.then(|| refusal(500, "InternalError"))
    });
    world.function("a", 0, (60, 60));
    let _scaler = world.leads();
    world.requests("a", 0, 1);
    world
        .server
        .hears(|call| call.path.contains("events"))
        .await;
    assert_eq!(world.writes("namespaces/a/deployments").len(), 2);
}

#[tokio::test]
async fn a_new_operator_lowers_nothing() {
    let mut world = World::new(|_| None);
    world.function("a", 5, (60, 60));
    world.function("b", 0, (60, 60));
    world.requests("b", 0, 1);
    let _scaler = world.leads();
    // Both are looked at in one go.
    world.server.hears(scales("b")).await;
    assert!(world.writes("namespaces/a/").is_empty());
}

#[tokio::test]
async fn a_silent_gateway_lowers_nothing() {
    let mut world = World::new(|_| None);
    world.function("a", 5, NO_WINDOW);
    world.function("b", 0, (60, 60));
    world.requests("a", 1, 0);
    world.requests("b", 0, 1);
    world.context.knowledge.gateway_closed(&gateway());
    let scaler = world.leads();
    world.server.hears(scales("b")).await;
    assert!(world.writes("namespaces/a/").is_empty());
    drop(scaler);
    world.gateway_is_heard();
    let _scaler = world.leads();
    let call = world.server.hears(scales("a")).await;
    assert_eq!(
        replicas(&call),
        0,
        "it has told its full picture, without any request"
    );
}

#[tokio::test]
async fn the_standby_watches_and_writes_nothing() {
    let mut world = World::new(|_| None);
    world.function("a", 0, (60, 60));
    world.requests("a", 0, 2);
    let mut scaler = Scaler::new(Arc::clone(&world.context));
    assert_eq!(scaler.watch().now_or_never(), None);
    assert!(world.server.calls().is_empty());
    let _leads = AbortOnDropHandle::new(tokio::spawn(async move { scaler.run().await }));
    assert_eq!(replicas(&world.server.hears(scales("a")).await), 2);
}

#[tokio::test]
async fn without_room_no_more_are_asked_for_and_it_is_told_why() {
    let mut world = World::new(|_| None);
    world.function("a", 2, (60, 60));
    world.pod("a", "p", true, 3);
    world.pod("a", "q", false, 0);
    world.requests("a", 9, 0);
    let _scaler = world.leads();
    let event = world
        .server
        .hears(|call| call.path.contains("events"))
        .await;
    assert_eq!(event.body["type"], "Warning");
    assert_eq!(event.body["reason"], "Unschedulable");
    let note = event.body["note"].as_str().unwrap();
    assert!(note.contains("0/2 nodes are available"), "{note}");
    assert!(world.writes("deployments").is_empty());
    let metrics = world.context.metrics.text().unwrap();
    let lacking = "wasmfn_operator_replicas_lacking{namespace=\"a\",deployment=\"wasmfn-fn-f\"} 7";
    assert!(metrics.contains(lacking), "{metrics}");
}

#[tokio::test]
async fn a_thousand_namespaces_are_looked_at_in_a_moment() {
    let mut world = World::new(|_| None);
    for index in 0..1000 {
        let namespace = format!("n{index}");
        world.function(&namespace, 1, (60, 60));
        world.pod(&namespace, &format!("p{index}"), true, 1);
    }
    let mut scaler = Scaler::new(Arc::clone(&world.context));
    let took = (0..10).map(|_| {
        scaler.all_at = Instant::now();
        let begun = Instant::now();
        assert_eq!(scaler.watch().now_or_never(), None);
        begun.elapsed()
    });
    // Without optimisation, on a machine that does other things: a tenth of that is usual.
    let least = took.min();
    assert!(least < Some(Duration::from_millis(500)), "{least:?}");
}
