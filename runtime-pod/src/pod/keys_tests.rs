use std::collections::BTreeMap;

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::StreamExt;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
};
use wasmfn_crds::token::{MasterKey, Purpose};

use super::*;

/// Lines of the watch; one watch at a time.
type Events = Arc<Mutex<mpsc::Receiver<Value>>>;

/// An API server whose account may see the one Secret by name only, which is not there at first.
async fn secrets(
    State(events): State<Events>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Response {
    let selected = parameters.get("fieldSelector").map(String::as_str);
    assert_eq!(selected, Some("metadata.name=wasmfn-keys"));
    if parameters.get("watch").is_none_or(|watch| watch != "true") {
        let list = json!({
            "apiVersion": "v1", "kind": "SecretList", "items": [],
            "metadata": { "resourceVersion": "1" },
        });
        return Json(list).into_response();
    }
    let lines = futures::stream::unfold(events, async |events| {
        let event = events.lock().await.recv().await?;
        Some((Ok::<_, std::io::Error>(format!("{event}\n")), events))
    });
    Body::from_stream(lines.boxed()).into_response()
}

fn event(kind: &str, version: &str, data: &BTreeMap<&str, k8s_openapi::ByteString>) -> Value {
    json!({ "type": kind, "object": {
        "apiVersion": "v1", "kind": "Secret", "data": data,
        "metadata": { "name": "wasmfn-keys", "namespace": "team", "resourceVersion": version },
    }})
}

fn fields(key: &MasterKey) -> BTreeMap<&'static str, k8s_openapi::ByteString> {
    let field = |purpose: Purpose| {
        let token = key.derive(purpose, "team").into_bytes();
        (purpose.field(), k8s_openapi::ByteString(token))
    };
    Purpose::ALL.into_iter().map(field).collect()
}

#[tokio::test]
async fn a_new_key_reaches_a_pod_that_runs_and_a_lost_one_takes_nothing_away() {
    let (sender, events) = mpsc::channel(1);
    let path = "/api/v1/namespaces/team/secrets";
    let router = Router::new()
        .route(path, get(secrets))
        .with_state(Arc::new(Mutex::new(events)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Config::new(format!("http://{address}").parse().unwrap());
    let client = Client::try_from(client).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(folder.path().to_owned());
    tokio::spawn(follow(client, "team".to_owned(), Arc::clone(&tokens)));

    let [first, second] = [[1; 32], [2; 32]].map(|key| MasterKey::new(&key).unwrap());
    let mut half = fields(&second);
    half.remove("code-key");
    sender
        .send(event("ADDED", "2", &fields(&first)))
        .await
        .unwrap();
    tokens.complete().await;
    let is = |key: &MasterKey| {
        tokens.matches(Purpose::Data, key.derive(Purpose::Data, "team").as_bytes())
    };
    assert!(is(&first));
    sender.send(event("MODIFIED", "3", &half)).await.unwrap();
    sender.send(event("DELETED", "4", &half)).await.unwrap();
    // The channel holds one event: that this one is in it says that the one before the last was read.
    sender
        .send(event("ADDED", "5", &fields(&first)))
        .await
        .unwrap();
    assert!(is(&first));
    sender
        .send(event("MODIFIED", "6", &fields(&second)))
        .await
        .unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while !is(&second) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the new key");
}
