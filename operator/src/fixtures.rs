//! What tests start from.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::{
    Client,
    client::Body,
    runtime::events::{Recorder, Reporter},
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::service_fn;
use wasmfn_crds::{
    WasmFunction,
    token::{KEY_BYTES, MasterKey},
};

use crate::{
    backoff::Backoff,
    caches::{Writers, caches},
    config::Config,
    context::Context,
    follow::Knowledge,
    host_table::HostTables,
    metrics::Metrics,
    reconcile::{Applier, Pacing, Recent},
    wake::Wakes,
};

/// How long a test waits for what has to come: far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(20);

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
runtime: { image: 'wasmfn-runtime:0.1.0', stores: { scratch: { kind: Memory } } }
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

/// Code of an answer that never comes.
pub(crate) const HANGS: u16 = 0;

/// An API server that does what it is told, and remembers what it was asked.
#[derive(Clone)]
pub(crate) struct ApiServer {
    asked: Arc<Mutex<(Vec<Call>, Handler)>>,
    bell: Arc<Notify>,
}

impl ApiServer {
    /// Answers each call by `handler`.
    pub(crate) fn new(handler: impl FnMut(&Call) -> Answer + Send + 'static) -> Self {
        Self {
            asked: Arc::new(Mutex::new((Vec::new(), Box::new(handler)))),
            bell: Arc::default(),
        }
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
        self.asked.lock().expect("no test panics in it").0.clone()
    }

    /// Waits until a call like that has come.
    pub(crate) async fn hears(&self, like: impl Fn(&Call) -> bool) -> Call {
        let found = async {
            loop {
                if let Some(call) = self.calls().into_iter().find(&like) {
                    return call;
                }
                self.bell.notified().await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("no such call: {:?}", self.calls()))
    }

    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let call = call_of(request).await;
                let (code, answer) = server.answer(call);
                if code == HANGS {
                    std::future::pending::<()>().await;
                }
                let body = Body::from(answer.to_string().into_bytes());
                let answer = Response::builder().status(code).body(body);
                Ok::<_, Infallible>(answer.expect("a valid answer"))
            }
        });
        Client::new(service, "wasmfn")
    }

    fn answer(&self, call: Call) -> Answer {
        let mut asked = self.asked.lock().expect("no test panics in it");
        let answer = (asked.1)(&call);
        asked.0.push(call);
        self.bell.notify_one();
        answer
    }
}

/// All that reconciles and the scaler share, with empty caches and their writing ends.
pub(crate) fn context(server: &ApiServer) -> (Arc<Context>, Writers) {
    let (caches, writers) = caches();
    let caches = Arc::new(caches);
    let functions = Arc::new(Wakes::default());
    let namespaces = Arc::new(Wakes::default());
    let config = config("");
    let reporter = Reporter {
        controller: "wasmfn-operator".into(),
        instance: Some("pod".into()),
    };
    let context = Context {
        client: server.client(),
        hosts: HostTables::new(config.hosts.clone()),
        config,
        namespace: "wasmfn".into(),
        master_key: master_key(),
        applier: Applier::new(server.client(), Arc::clone(&caches)),
        caches,
        knowledge: Arc::new(Knowledge::new(
            Arc::clone(&functions),
            Arc::clone(&namespaces),
        )),
        functions,
        namespaces,
        removal: Notify::new(),
        pacing: Pacing::default(),
        recent: Recent::default(),
        backoff: Backoff::default(),
        recorder: Recorder::new(server.client(), reporter),
        metrics: Metrics::new(),
    };
    (Arc::new(context), writers)
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
