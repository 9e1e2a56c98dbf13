use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

#[test]
fn a_lease_is_taken_only_when_it_is_nobodys() {
    let hold = |holder: &str, unchanged| Hold {
        holder: holder.to_owned(),
        duration: Duration::from_secs(10),
        unchanged: Duration::from_millis(unchanged),
    };
    for (hold, step) in [
        (hold("", 0), Step::Acquire),
        (hold("me", 0), Step::Renew),
        (hold("me", 60_000), Step::Renew),
        (hold("other", 0), Step::Wait),
        (hold("other", 9_999), Step::Wait),
        (hold("other", 10_000), Step::Acquire),
    ] {
        assert_eq!(decide(&hold, "me"), step, "{hold:?}");
    }
}

#[test]
fn a_holder_that_asks_for_longer_gets_it() {
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {}, "spec": { "holderIdentity": "other", "leaseDurationSeconds": 60 },
    }))
    .unwrap();
    let hold = Hold::of(&lease, Duration::from_secs(30));
    assert_eq!(decide(&hold, "me"), Step::Wait);
}

/// Calls that came, as method and body, and answers that are yet to go out.
#[derive(Default)]
struct Script {
    answers: VecDeque<(u16, Value)>,
    calls: Vec<(String, Value)>,
}

fn server(answers: Vec<(u16, Value)>) -> (Client, Arc<Mutex<Script>>) {
    let script = Arc::new(Mutex::new(Script {
        answers: answers.into(),
        calls: Vec::new(),
    }));
    let shared = Arc::clone(&script);
    let service = service_fn(move |request: Request<Body>| {
        let script = Arc::clone(&shared);
        async move {
            let method = request.method().to_string();
            let bytes = request.into_body().collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let mut script = script.lock().unwrap();
            script.calls.push((method, body));
            let (code, answer) = script.answers.pop_front().expect("an answer for each call");
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, std::convert::Infallible>(Response::builder().status(code).body(body).unwrap())
        }
    });
    (Client::new(service, "wasmfn"), script)
}

fn lease(holder: &str, version: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": LEADER_LEASE, "namespace": "wasmfn", "resourceVersion": version },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 10, "leaseTransitions": 3 },
    })
}

fn refusal(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code, "reason": reason, "message": reason,
    });
    (code, status)
}

#[tokio::test]
async fn writes_with_the_version_that_it_saw() {
    let (client, script) = server(vec![(200, lease("", "7")), (200, lease("me", "8"))]);
    let mut candidate = Candidate::new(client, "wasmfn", "me");
    assert!(candidate.try_once().await.unwrap());
    let (method, body) = script.lock().unwrap().calls[1].clone();
    assert_eq!(method, "PUT");
    assert_eq!(body["metadata"]["resourceVersion"], "7");
    assert_eq!(body["spec"]["holderIdentity"], "me");
    assert_eq!(body["spec"]["leaseTransitions"], 4);
}

#[tokio::test]
async fn whoever_is_second_does_not_lead() {
    for answers in [
        vec![(200, lease("", "7")), refusal(409, "Conflict")],
        vec![refusal(404, "NotFound"), refusal(409, "AlreadyExists")],
        vec![(200, lease("other", "7"))],
    ] {
        let (client, _) = server(answers);
        let mut candidate = Candidate::new(client, "wasmfn", "me");
        assert!(!candidate.try_once().await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn losing_the_lease_ends_the_holding() {
    let (client, _) = server(vec![(200, lease("other", "9"))]);
    let mut candidate = Candidate::new(client, "wasmfn", "me");
    let error = candidate.hold().await;
    assert!(matches!(error, LeaderError::Taken(holder) if holder == "other"));
}

#[tokio::test]
async fn gives_back_only_what_it_holds() {
    let (client, script) = server(vec![
        (200, lease("me", "7")),
        (200, lease("me", "8")),
        (200, lease("", "9")),
    ]);
    let mut candidate = Candidate::new(client, "wasmfn", "me");
    candidate.try_once().await.unwrap();
    candidate.release().await;
    let released = script.lock().unwrap().calls[2].1.clone();
    assert_eq!(released["spec"]["holderIdentity"], "");
    candidate.release().await;
    assert_eq!(script.lock().unwrap().calls.len(), 3);
}
