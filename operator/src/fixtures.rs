//! What tests start from.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower::service_fn;
use wasmfn_crds::{
    WasmFunction,
    token::{KEY_BYTES, MasterKey},
};

use crate::config::Config;

/// A function `NAME` of the namespace `a`, of generation 1, with the UID `uid-NAME`.
pub(crate) fn function(
    name: &str,
    spec: impl Into<Value>,
    status: impl Into<Value>,
) -> WasmFunction {
    let mut spec = spec.into();
    if spec["image"].is_null() {
        spec["image"] = json!("r/x:1");
    }
    serde_json::from_value(json!({
        "apiVersion": "wasmfn.dev/v1alpha1",
        "kind": "WasmFunction",
        "metadata": {
            "name": name, "namespace": "a", "uid": format!("uid-{name}"), "generation": 1,
            "resourceVersion": "10", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
        "status": status.into(),
    }))
    .expect("a valid function")
}

/// Settings with an addition in YAML.
pub(crate) fn config(more: &str) -> Config {
    let least = "
hosts: { domain: example.com, clusterDomain: cluster.local, grantedSuffixes: { a: [granted.net] } }
external: { scheme: https, port: 443 }
gatewayService: wasmfn-gateway-cluster
runtime: { image: 'wasmfn-runtime:0.1.0' }
plainHttpRegistries: ['registry:5000', 'other:5000']
";
    Config::parse(&format!("{least}{more}")).expect("valid settings")
}

pub(crate) fn master_key() -> MasterKey {
    MasterKey::new(&[7; KEY_BYTES]).expect("long enough")
}

/// A call that came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

type Answer = (u16, Value);
type Handler = Box<dyn FnMut(&Call) -> Answer + Send>;

/// An API server that does what it is told, and remembers what it was asked.
#[derive(Clone)]
pub(crate) struct ApiServer(Arc<Mutex<(Vec<Call>, Handler)>>);

impl ApiServer {
    /// Answers each call by `handler`.
    pub(crate) fn new(handler: impl FnMut(&Call) -> Answer + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), Box::new(handler)))))
    }

    /// Answers the calls in turn; one call more is a failure.
    pub(crate) fn scripted(answers: Vec<Answer>) -> Self {
        let mut answers: VecDeque<Answer> = answers.into();
        Self::new(move |call| {
            answers
                .pop_front()
                .unwrap_or_else(|| panic!("unexpected call: {call:?}"))
        })
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.lock().expect("no test panics in it").0.clone()
    }

    pub(crate) fn client(&self) -> Client {
        let shared = Arc::clone(&self.0);
        let service = service_fn(move |request: Request<Body>| {
            let shared = Arc::clone(&shared);
            async move {
                let call = call_of(request).await;
                let mut shared = shared.lock().expect("no test panics in it");
                let (code, answer) = (shared.1)(&call);
                shared.0.push(call);
                let body = Body::from(answer.to_string().into_bytes());
                let answer = Response::builder().status(code).body(body);
                Ok::<_, Infallible>(answer.expect("a valid answer"))
            }
        });
        Client::new(service, "wasmfn")
    }
}

async fn call_of(request: Request<Body>) -> Call {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.expect("a whole body").to_bytes();
    let content_type = head.headers.get("content-type");
    Call {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        content_type: content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

/// What the API server says when it says no.
pub(crate) fn refusal(code: u16, reason: &str) -> Answer {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code, "reason": reason, "message": format!("because of {reason}"),
    });
    (code, status)
}
