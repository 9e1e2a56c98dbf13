use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use clap::Parser;
use futures::StreamExt;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use super::{super::PodSettings, Feed, follow};
use crate::{samples, source::FunctionSet};

type Set = watch::Receiver<Option<Arc<FunctionSet>>>;

/// An API server that says what a test tells it to.
struct Script {
    lists: AtomicUsize,
    /// Lines of the watch; one watch at a time.
    events: tokio::sync::Mutex<mpsc::Receiver<Value>>,
}

#[derive(serde::Deserialize)]
struct Parameters {
    watch: Option<bool>,
}

async fn functions(
    State(script): State<Arc<Script>>,
    Query(parameters): Query<Parameters>,
) -> Response {
    if parameters.watch == Some(true) {
        let lines = futures::stream::unfold(script, async |script| {
            let event = script.events.lock().await.recv().await?;
            // What is no object ends the connection, as a proxy does that gives up.
            let line = event.is_object().then(|| format!("{event}\n"))?;
            Some((Ok::<_, std::io::Error>(line), script))
        });
        return Body::from_stream(lines.boxed()).into_response();
    }
    match script.lists.fetch_add(1, Ordering::SeqCst) {
        // It is not there yet.
        0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => Json(json!({
            "apiVersion": "wasmfn.dev/v1alpha1",
            "kind": "WasmFunctionList",
            "metadata": {"resourceVersion": "1"},
            "items": [object("hello", "1"), unreadable("odd")],
        }))
        .into_response(),
    }
}

fn object(name: &str, resource_version: &str) -> Value {
    let mut object = serde_json::to_value(samples::function(name)).unwrap();
    object["metadata"]["resourceVersion"] = resource_version.into();
    object
}

/// An object of a later version, whose spec is nothing that this one knows.
fn unreadable(name: &str) -> Value {
    let mut object = object(name, "1");
    object["spec"] = json!({"source": {"kind": "elsewhere"}});
    object
}

async fn until(set: &mut Set, is_wanted: impl Fn(&FunctionSet) -> bool) {
    set.wait_for(|set| set.as_deref().is_some_and(&is_wanted))
        .await
        .unwrap();
}

#[tokio::test]
async fn follows_through_faults_and_objects_that_cannot_be_read() {
    let (events, script_events) = mpsc::channel(1);
    let script = Arc::new(Script {
        lists: AtomicUsize::new(0),
        events: tokio::sync::Mutex::new(script_events),
    });
    let path = "/apis/wasmfn.dev/v1alpha1/namespaces/team/wasmfunctions";
    let router = Router::new()
        .route(path, get(functions))
        .with_state(Arc::clone(&script));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let settings = PodSettings::parse_from([
        "wasmfn-runtime",
        "--namespace=team",
        "--pod-name=pod-1",
        "--runtime=wasmfn-shared",
    ]);
    let (sender, mut set) = watch::channel(None);
    let feed = Feed::new(&settings, sender);
    let config = Config::new(format!("http://{address}").parse().unwrap());
    let client = Client::try_from(config).unwrap();
    tokio::spawn(follow(client, "team".to_owned(), feed));

    until(&mut set, |set| set.keys().eq(["hello"])).await;
    let event = |kind: &str, object: Value| json!({"type": kind, "object": object});
    events
        .send(event("ADDED", object("second", "2")))
        .await
        .unwrap();
    until(&mut set, |set| set.keys().eq(["hello", "second"])).await;
    // The watch ends and begins again where it was.
    events.send(Value::Null).await.unwrap();
    events
        .send(event("MODIFIED", unreadable("second")))
        .await
        .unwrap();
    events
        .send(event("DELETED", object("hello", "3")))
        .await
        .unwrap();
    until(&mut set, |set| set.keys().eq(["second"])).await;
}
