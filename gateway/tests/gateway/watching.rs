use std::{convert::Infallible, pin::pin, sync::Arc};

use bytes::Bytes;
use futures::{SinkExt, channel::mpsc};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower_test::mock::{self, Handle};
use wasmfn_crds::hosts::HostRules;
use wasmfn_gateway::{endpoints::RuntimeKey, routes::Entrance, watch, world::World};

use crate::setup::until;

type Said = UnsyncBoxBody<Bytes, Infallible>;
type ApiServer = Handle<Request<Body>, Response<Said>>;
type Events = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

fn world() -> Arc<World> {
    Arc::new(World::new(HostRules {
        domain: "localhost".into(),
        cluster_domain: "cluster.local".into(),
        ..HostRules::default()
    }))
}

fn api_server() -> (Client, ApiServer) {
    let (service, handle) = mock::pair();
    (Client::new(service, "default"), handle)
}

/// Answers the next request, a list of `path`, with these items.
async fn list(server: &mut ApiServer, path: &str, items: &[Value]) {
    let (request, send) = pin!(server).next_request().await.unwrap();
    assert_eq!(request.uri().path(), path);
    let list = json!({"metadata": {"resourceVersion": "1"}, "items": items});
    send.send_response(Response::new(Full::from(list.to_string()).boxed_unsync()));
}

/// Answers the next request, a watch, with what is sent.
async fn watch_events(server: &mut ApiServer) -> Events {
    let (request, send) = pin!(server).next_request().await.unwrap();
    let query = request.uri().query().unwrap();
    assert!(query.contains("watch=true"), "{query}");
    let (sender, events) = mpsc::channel(4);
    send.send_response(Response::new(StreamBody::new(events).boxed_unsync()));
    sender
}

async fn event(events: &mut Events, kind: &str, object: &Value) {
    let line = format!("{}\n", json!({"type": kind, "object": object}));
    events.send(Ok(Frame::data(line.into()))).await.unwrap();
}

fn function(name: &str, version: u32, spec: &Value) -> Value {
    json!({
        "apiVersion": "wasmfn.dev/v1alpha1",
        "kind": "WasmFunction",
        "metadata": {
            "namespace": "n", "name": name, "uid": name, "resourceVersion": version.to_string()
        },
        "spec": spec
    })
}

fn knows(world: &World, name: &str) -> bool {
    let host = format!("{name}.n");
    world.routes().find(Entrance::Cluster, &host, "/").is_some()
}

#[tokio::test]
async fn functions_are_followed_and_a_strange_one_breaks_only_itself() {
    let (client, mut server) = api_server();
    let world = world();
    tokio::spawn(watch::functions(client, world.clone()));
    let good = json!({"image": "r/x:1"});
    let strange = json!({"image": {"of": "the future"}});
    let path = "/apis/wasmfn.dev/v1alpha1/wasmfunctions";
    let items = [function("one", 1, &good), function("odd", 1, &strange)];
    list(&mut server, path, &items).await;
    until("the first is known", || knows(&world, "one")).await;
    assert!(!knows(&world, "odd"));

    let mut events = watch_events(&mut server).await;
    event(&mut events, "ADDED", &function("two", 2, &good)).await;
    until("the second is known", || knows(&world, "two")).await;
    event(&mut events, "MODIFIED", &function("two", 3, &strange)).await;
    event(&mut events, "DELETED", &function("one", 4, &good)).await;
    until("the first is gone", || !knows(&world, "one")).await;
    assert!(knows(&world, "two"), "what was known of it stands");

    // The API server goes away: everything stands, until a new list is there in full.
    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "status": "Failure"});
    event(&mut events, "ERROR", &gone).await;
    let (_, refused) = pin!(&mut server).next_request().await.unwrap();
    refused.send_error(std::io::Error::other("away"));
    assert!(knows(&world, "two"));
    list(&mut server, path, &[function("three", 9, &good)]).await;
    until("the new list counts", || knows(&world, "three")).await;
    assert!(!knows(&world, "two"));
}

#[tokio::test]
async fn endpoints_are_followed_by_their_label() {
    let (client, mut server) = api_server();
    let world = world();
    tokio::spawn(watch::endpoints(client, world.clone()));
    let slice = |ready: bool| {
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": "n", "name": "s", "resourceVersion": "1",
                "labels": {"wasmfn.dev/runtime": "wasmfn-shared"}
            },
            "addressType": "IPv4",
            "ports": [{"name": "data", "port": 8080}],
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]
        })
    };
    list(
        &mut server,
        "/apis/discovery.k8s.io/v1/endpointslices",
        &[slice(false)],
    )
    .await;
    let runtime = RuntimeKey {
        namespace: "n".into(),
        name: "wasmfn-shared".into(),
    };
    let pods = || {
        let endpoints = world.endpoints();
        let backends = endpoints.of(&runtime)?;
        Some((backends.ready.len(), backends.starting.len()))
    };
    until("the pod is starting", || pods() == Some((0, 1))).await;
    let mut events = watch_events(&mut server).await;
    event(&mut events, "MODIFIED", &slice(true)).await;
    until("the pod is ready", || pods() == Some((1, 0))).await;
    assert!(!world.is_synced(), "functions have not been heard of");
    world.set_functions(&[]);
    assert!(world.is_synced());
}
