use serde_json::{Value, json};

use super::*;
use crate::fixtures::{ApiServer, HANGS, refusal};

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

fn lease(holder: &str, version: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": LEADER_LEASE, "namespace": "wasmfn", "resourceVersion": version },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 10, "leaseTransitions": 3 },
    })
}

#[tokio::test]
async fn writes_with_the_version_that_it_saw() {
    let server = ApiServer::scripted(vec![(200, lease("", "7")), (200, lease("me", "8"))]);
    let mut candidate = Candidate::new(server.client(), "wasmfn", "me");
    assert!(candidate.try_once().await.unwrap());
    let call = server.calls().remove(1);
    assert_eq!(call.method, "PUT");
    let body = call.body;
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
        let server = ApiServer::scripted(answers);
        let mut candidate = Candidate::new(server.client(), "wasmfn", "me");
        assert!(!candidate.try_once().await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn losing_the_lease_ends_the_holding() {
    let server = ApiServer::scripted(vec![(200, lease("other", "9"))]);
    let mut candidate = Candidate::new(server.client(), "wasmfn", "me");
    let error = candidate.hold().await;
    assert!(matches!(error, LeaderError::Taken(holder) if holder == "other"));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_another_one_may_begin() {
    let server = ApiServer::new(|_| (HANGS, json!({})));
    let mut candidate = Candidate::new(server.client(), "wasmfn", "me");
    let begun = time::Instant::now();
    let error = candidate.hold().await;
    assert!(matches!(error, LeaderError::NotRenewed));
    assert_eq!(begun.elapsed(), GIVE_UP_AFTER);
}

#[tokio::test]
async fn gives_back_only_what_it_holds() {
    let server = ApiServer::scripted(vec![
        (200, lease("me", "7")),
        (200, lease("", "8")),
        (200, lease("other", "9")),
    ]);
    let mut candidate = Candidate::new(server.client(), "wasmfn", "me");
    candidate.release().await;
    let released = &server.calls()[1];
    assert_eq!(released.method, "PUT");
    assert_eq!(released.body["spec"]["holderIdentity"], "");
    assert_eq!(released.body["metadata"]["resourceVersion"], "7");
    candidate.release().await;
    assert_eq!(server.calls().len(), 3, "it is another's by then");
}
