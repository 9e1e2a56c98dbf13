use serde_json::{Value, json};

use super::*;
use crate::fixtures;

fn problem(spec: Value, rules: &str) -> Option<(Reason, String)> {
    let function = fixtures::function("f", spec, json!(null));
    let validated = validate(&function, &[&function], &fixtures::config(rules));
    validated
        .problem
        .map(|problem| (problem.reason, problem.message))
}

#[test]
fn a_template_stays_within_what_the_admin_allows() {
    let bounded = "dedicatedTemplate: { maxResources: { memory: 1Gi } }";
    let open = "dedicatedTemplate: { nodeSelector: true, tolerations: true, affinity: true }";
    let memory = |amount: &str| json!({ "resources": { "limits": { "memory": amount } } });
    let selector = json!({ "nodeSelector": { "a": "b" } });
    for (template, rules, field) in [
        (json!({}), "", None),
        (memory("512Mi"), bounded, None),
        (memory("1024Mi"), bounded, None),
        (memory("2Gi"), bounded, Some("limits.memory")),
        (memory("99Gi"), "", None),
        (
            json!({ "resources": { "requests": { "cpu": "1" } } }),
            bounded,
            Some("requests.cpu"),
        ),
        (selector.clone(), "", Some("nodeSelector")),
        (selector, open, None),
        (
            json!({ "tolerations": [{ "operator": "Exists" }] }),
            "",
            Some("tolerations"),
        ),
        (json!({ "affinity": {} }), "", Some("affinity")),
        (json!({ "affinity": {} }), open, None),
    ] {
        let spec = json!({ "placement": "Dedicated", "template": template });
        match (problem(spec, rules), field) {
            (None, None) => {}
            (Some((Reason::TemplateNotAllowed, message)), Some(field)) => {
                assert!(message.contains(field), "{message}");
            }
            (found, expected) => panic!("{template}: {found:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn a_problem_leaves_the_old_dedicated_deployment_alone() {
    let spec = json!({ "placement": "Dedicated", "template": { "affinity": {} } });
    let function = fixtures::function("f", spec, json!(null));
    let validated = validate(&function, &[&function], &fixtures::config(""));
    assert!(validated.runtimes.is_empty());
}

#[test]
fn what_the_schema_lets_pass_and_cannot_be_is_named() {
    let spec = json!({ "limits": { "memoryPerRequest": "1Ti" } });
    let (reason, message) = problem(spec, "").unwrap();
    assert_eq!(reason, Reason::InvalidSpec);
    assert!(message.contains("limits.memoryPerRequest"), "{message}");
    let spec = json!({ "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "s", "key": ".." } } }] });
    assert_eq!(problem(spec, "").unwrap().0, Reason::InvalidSpec);
}

#[test]
fn one_bad_function_does_not_spoil_the_shared_volume() {
    let reference = |name: &str, key: &str| json!({ "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "name": name, "key": key } } }] });
    let good = fixtures::function("good", reference("s", "k"), json!(null));
    let bad = fixtures::function("bad", reference("s", ".."), json!(null));
    let validated = validate(&good, &[&bad, &good], &fixtures::config(""));
    assert_eq!(validated.problem, None);
    assert_eq!(
        validated.runtimes[0].references,
        References::of(&good, &StoreOffers::new())
    );
}

#[test]
fn a_moving_function_has_both_places() {
    let status = |runtime: &str| json!({ "serving": { "digest": "d", "generation": 1, "runtime": runtime }, "replicas": 0, "readyReplicas": 0 });
    let names = |placement: &str, runtime: &str| -> Vec<String> {
        let function = fixtures::function("f", json!({ "placement": placement }), status(runtime));
        let validated = validate(&function, &[&function], &fixtures::config(""));
        validated
            .runtimes
            .into_iter()
            .map(|plan| plan.name)
            .collect()
    };
    assert_eq!(names("Shared", "wasmfn-shared"), ["wasmfn-shared"]);
    assert_eq!(names("Dedicated", "wasmfn-fn-f"), ["wasmfn-fn-f"]);
    assert_eq!(
        names("Dedicated", "wasmfn-shared"),
        ["wasmfn-shared", "wasmfn-fn-f"]
    );
    assert_eq!(
        names("Shared", "wasmfn-fn-f"),
        ["wasmfn-shared"],
        "the old one is left as it is"
    );
}
