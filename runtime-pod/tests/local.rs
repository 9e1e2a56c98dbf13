//! One function without a cluster.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]
#![allow(clippy::needless_pass_by_value, reason = "specs are written in place")]

mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use support::{client, guests};
use wasmfn_crds::WasmFunction;
use wasmfn_runtime::{
    local::{self, Local, LocalError, Module, Options},
    roots::Roots,
    serve::Observed,
};

fn function(spec: serde_json::Value) -> WasmFunction {
    serde_json::from_value(json!({
        "apiVersion": "wasmfn.dev/v1alpha1",
        "kind": "WasmFunction",
        "metadata": {},
        "spec": spec,
    }))
    .unwrap()
}

async fn serve(
    spec: serde_json::Value,
    bytes: Bytes,
    seen: &Arc<Mutex<Vec<Observed>>>,
) -> Result<Local, LocalError> {
    let seen = Arc::clone(seen);
    local::serve(Options {
        serves_wasi_0_3: false,
        function: function(spec),
        module: Module::Bytes(bytes),
        port: 0,
        references_folder: None,
        roots: Roots::default(),
        compiler: support::compiler(),
        observer: Some(Arc::new(move |observed: &Observed| {
            seen.lock().unwrap().push(observed.clone());
        })),
    })
    .await
}

async fn get(local: &Local, path: &str) -> client::Answer {
    let request = Request::builder()
        .uri(path)
        .header("host", "localhost")
        .body(Full::<Bytes>::default())
        .unwrap();
    client::read(client::send(local.address(), request).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_everyone_under_the_limits_and_tells_of_each_request() {
    let seen = Arc::default();
    let spec = json!({
        "image": "ignored",
        "limits": {"cpuMillisecondsPerRequest": 100},
        "env": [{"name": "GREETING", "value": "hei"}],
    });
    let local = serve(spec, guests::bytes("answer"), &seen).await.unwrap();
    assert_eq!(get(&local, "/env/GREETING").await.text, "hei\n");
    assert_eq!(get(&local, "/spin?a=1").await.status, 500);
    let told: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|observed| {
            (
                observed.path.clone(),
                observed.status.as_u16(),
                observed.is_broken,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("/env/GREETING".to_owned(), 200, false),
            ("/spin?a=1".to_owned(), 500, false)
        ]
    );
    local.close(std::time::Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_loaded_says_why() {
    let seen = Arc::default();
    let error = serve(json!({"image": "x"}), Bytes::from("text"), &seen)
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "NotWasm: the module is not WebAssembly: it is text"
    );
}
