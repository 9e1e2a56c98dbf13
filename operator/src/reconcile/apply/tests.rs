use serde_json::json;
use wasmfn_crds::names::{KEYS_SECRET, RUNTIME_ACCOUNT};

use super::*;
use crate::{
    caches::{Writers, caches},
    fixtures::{self, ApiServer, Call, refusal},
    reconcile::{build, validate},
};

struct Setup {
    applier: Applier,
    writers: Writers,
    server: ApiServer,
}

fn setup(server: ApiServer) -> Setup {
    let (caches, writers) = caches();
    Setup {
        applier: Applier::new(server.client(), Arc::new(caches)),
        writers,
        server,
    }
}

fn with_house<T>(build: impl FnOnce(build::House<'_>) -> T) -> T {
    build(build::House {
        config: &fixtures::config(""),
        namespace: "wasmfn",
        master_key: &fixtures::master_key(),
    })
}

fn companions() -> Vec<Desired> {
    with_house(|house| build::companions(house, "a"))
}

fn companion(kind: Kind) -> Desired {
    let found = companions()
        .into_iter()
        .find(|desired| desired.key.kind == kind);
    found.unwrap()
}

fn deployment() -> Desired {
    let function = fixtures::function("f", json!({}), json!(null));
    let validated = validate::validate(&function, &[&function], &fixtures::config(""));
    with_house(|house| build::runtime_deployment(house, &validated.runtimes[0]))
}

fn echo(call: &Call) -> (u16, Value) {
    (200, call.body.clone())
}

#[tokio::test]
async fn makes_what_is_missing_once_and_without_force() {
    let setup = setup(ApiServer::new(|call| match call.method.as_str() {
        "GET" => refusal(404, "NotFound"),
        _ => echo(call),
    }));
    let account = companion(Kind::ServiceAccount);
    let first = setup.applier.apply(&account).await.unwrap();
    let second = setup.applier.apply(&account).await.unwrap();
    assert_eq!((first, second), (Outcome::Written, Outcome::Unchanged));
    let calls = setup.server.calls();
    let methods: Vec<&str> = calls.iter().map(|call| call.method.as_str()).collect();
    assert_eq!(methods, ["GET", "PATCH"]);
    assert_eq!(
        calls[1].path,
        "/api/v1/namespaces/a/serviceaccounts/wasmfn-runtime"
    );
    assert_eq!(calls[1].content_type, "application/apply-patch+yaml");
    assert!(
        calls[1].query.contains("fieldManager=wasmfn-operator"),
        "{}",
        calls[1].query
    );
    assert!(!calls[1].query.contains("force=true"), "{}", calls[1].query);
}

#[tokio::test]
async fn somebody_elses_object_is_not_touched() {
    let foreign = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": RUNTIME_ACCOUNT, "labels": { "app.kubernetes.io/managed-by": "me" } },
    });
    let setup = setup(ApiServer::scripted(vec![(200, foreign)]));
    let error = setup
        .applier
        .apply(&companion(Kind::ServiceAccount))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "ServiceAccount `wasmfn-runtime` was made by somebody else; remove or rename it"
    );
}

#[tokio::test]
async fn what_is_so_already_is_not_written() {
    let mut setup = setup(ApiServer::scripted(vec![]));
    let policy = companion(Kind::NetworkPolicy);
    let mut live = policy.body.clone();
    live["metadata"]["uid"] = json!("u");
    live["spec"]["egress"] = json!([]);
    // Objects of a list come without these.
    live.as_object_mut().unwrap().remove("apiVersion");
    live.as_object_mut().unwrap().remove("kind");
    setup.writers.put(Kind::NetworkPolicy, &live);
    assert_eq!(
        setup.applier.apply(&policy).await.unwrap(),
        Outcome::Unchanged
    );
}

#[tokio::test]
async fn what_somebody_changed_is_written_again_with_force() {
    let mut setup = setup(ApiServer::new(echo));
    let policy = companion(Kind::NetworkPolicy);
    let mut live = policy.body.clone();
    live["spec"]["ingress"] = json!([]);
    setup.writers.put(Kind::NetworkPolicy, &live);
    assert_eq!(
        setup.applier.apply(&policy).await.unwrap(),
        Outcome::Written
    );
    let calls = setup.server.calls();
    assert_eq!(calls.len(), 1);
    assert!(calls[0].query.contains("force=true"), "{}", calls[0].query);
}

#[test]
fn a_value_in_another_form_is_no_change_while_the_generation_stays() {
    let desired = deployment();
    let mut live = desired.body.clone();
    live["metadata"]["generation"] = json!(4);
    live["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other form");
    let at = Instant::now();
    let written = Written {
        digest: desired.digest.clone(),
        generation: Some(4),
        at,
    };
    let later = at + Duration::from_secs(60);
    let seen = |live: &Value| step(Some(live), &desired, Some(&written), later);
    assert_eq!(seen(&live), Step::Nothing);
    live["metadata"]["generation"] = json!(5);
    assert_eq!(seen(&live), Step::Write);
}

#[tokio::test]
async fn a_secret_is_written_blindly_but_only_if_it_is_ours() {
    let answers = [(200, json!({ "metadata": {} })), refusal(422, "Invalid")];
    for (answer, written) in answers.into_iter().zip([true, false]) {
        let setup = setup(ApiServer::scripted(vec![
            refusal(409, "AlreadyExists"),
            answer,
        ]));
        let outcome = setup.applier.apply(&companion(Kind::Secret)).await;
        assert_eq!(outcome.is_ok(), written, "{outcome:?}");
        let calls = setup.server.calls();
        assert_eq!(
            (calls[0].method.as_str(), calls[1].method.as_str()),
            ("POST", "PATCH")
        );
        assert!(calls[1].path.ends_with(KEYS_SECRET));
        assert_eq!(calls[1].content_type, "application/json-patch+json");
        let test = json!({ "op": "test", "path": "/metadata/labels/app.kubernetes.io~1managed-by", "value": "wasmfn" });
        assert_eq!(calls[1].body[0], test);
        assert_eq!(calls[1].body[1]["path"], "/data");
    }
}

#[tokio::test]
async fn a_stage_that_fails_keeps_the_next_from_beginning() {
    let setup = setup(ApiServer::new(|call| match call.method.as_str() {
        "GET" => refusal(404, "NotFound"),
        _ if call.path.contains("rolebindings") => refusal(403, "Forbidden"),
        _ => echo(call),
    }));
    let stages = [companions(), vec![deployment()]];
    let error = setup.applier.apply_shared("a", &stages).await.unwrap_err();
    assert!(
        matches!(error, ApplyError::Refused { ref message, .. } if message == "because of Forbidden"),
        "{error}"
    );
    let calls = setup.server.calls();
    assert!(calls.iter().all(|call| !call.path.contains("deployments")));
    assert!(
        calls
            .iter()
            .any(|call| call.path.contains("networkpolicies"))
    );
}

#[tokio::test]
async fn sixty_callers_at_once_write_once() {
    let setup = setup(ApiServer::new(|call| match call.method.as_str() {
        "GET" => refusal(404, "NotFound"),
        _ => echo(call),
    }));
    let stages = [companions(), vec![deployment()]];
    let callers = (0..60).map(|_| setup.applier.apply_shared("a", &stages));
    for outcome in futures::future::join_all(callers).await {
        outcome.unwrap();
    }
    let writes = setup.server.calls();
    let writes = writes.iter().filter(|call| call.method != "GET").count();
    assert_eq!(writes, 5);
}

#[tokio::test]
async fn what_was_removed_is_made_again_at_once() {
    let setup = setup(ApiServer::new(|call| match call.method.as_str() {
        "GET" => refusal(404, "NotFound"),
        _ => echo(call),
    }));
    let (account, secret) = (companion(Kind::ServiceAccount), companion(Kind::Secret));
    for _ in 0..2 {
        assert_eq!(
            setup.applier.apply(&account).await.unwrap(),
            Outcome::Written
        );
        assert_eq!(
            setup.applier.apply(&secret).await.unwrap(),
            Outcome::Written
        );
        setup.applier.gone(&account.key);
    }
}
