use serde_json::{Value as Json, json};

use super::*;

/// A function with the spec `image` plus `patch`, as the API server would see it.
fn function(name: &str, patch: &Json) -> WasmFunction {
    let mut spec = json!({ "image": "registry.example.com/hello:v1" });
    for (key, value) in patch.as_object().expect("a patch is an object") {
        spec[key] = value.clone();
    }
    let spec = serde_json::from_value(spec).expect("the spec can be read");
    WasmFunction::new(name, spec)
}

fn verdict(name: &str, patch: &Json) -> Result<(), String> {
    function(name, patch)
        .validate_cel()
        .map_err(|errors| format!("{errors:?}"))
}

#[track_caller]
fn accepts(patch: &Json) {
    assert_eq!(verdict("hello", patch), Ok(()));
}

#[track_caller]
fn refuses(patch: &Json, sentence: &str) {
    let error = verdict("hello", patch).expect_err("must be refused");
    assert!(error.contains(sentence), "{error}");
    assert!(
        sentence.contains("must"),
        "a rule says what must be: {sentence}"
    );
}

#[test]
fn name_is_a_short_dns_label() {
    let longest = "a".repeat(50);
    for name in ["a", "hello-2", longest.as_str()] {
        assert_eq!(verdict(name, &json!({})), Ok(()), "{name}");
    }
    let too_long = "a".repeat(51);
    for name in ["1a", "a.b", "a-", "A", too_long.as_str()] {
        let error = verdict(name, &json!({})).expect_err(name);
        assert!(error.contains("must be a DNS label"), "{error}");
    }
}

#[test]
fn name_leaves_ours_alone() {
    let error = verdict("wasmfn-shared", &json!({})).expect_err("must be refused");
    assert!(error.contains("must not start with `wasmfn-`"), "{error}");
}

#[test]
fn replicas_only_for_dedicated() {
    accepts(&json!({ "placement": "Dedicated", "replicas": 2 }));
    refuses(&json!({ "replicas": 2 }), "`replicas` must be unset");
}

#[test]
fn template_only_for_dedicated() {
    accepts(&json!({ "placement": "Dedicated", "template": { "labels": { "a": "b" } } }));
    refuses(&json!({ "template": {} }), "`template` must be unset");
}

#[test]
fn shared_requests_are_bounded_by_the_grace_period() {
    accepts(&json!({ "limits": { "timeoutSeconds": 300 } }));
    accepts(&json!({ "placement": "Dedicated", "limits": { "timeoutSeconds": 301 } }));
    refuses(
        &json!({ "limits": { "timeoutSeconds": 301 } }),
        "`limits.timeoutSeconds` must be at most 300",
    );
}

#[test]
fn commands_are_not_reused() {
    accepts(&json!({ "reuse": {} }));
    accepts(&json!({ "command": { "contract": "JSON", "instructions": 1_000_000 } }));
    refuses(
        &json!({ "reuse": {}, "command": {} }),
        "`reuse` must be unset where `command` is set",
    );
}

#[test]
fn minimum_is_at_most_maximum() {
    accepts(&json!({ "scaling": { "minReplicas": 10 } }));
    refuses(
        &json!({ "scaling": { "minReplicas": 11 } }),
        "`minReplicas` must be at most `maxReplicas`",
    );
}

#[test]
fn memory_has_bounds() {
    for memory in ["1Mi", "128Mi", "4Gi", "1048576"] {
        accepts(&json!({ "limits": { "memoryPerRequest": memory } }));
    }
    for memory in ["0", "1Ki", "5Gi"] {
        refuses(
            &json!({ "limits": { "memoryPerRequest": memory } }),
            "`memoryPerRequest` must be between 1Mi and 4Gi",
        );
    }
}

#[test]
fn bodies_have_bounds() {
    for field in ["requestBytes", "responseBytes"] {
        accepts(&json!({ "limits": { field: "16Gi" } }));
        refuses(
            &json!({ "limits": { field: "17Gi" } }),
            &format!("`{field}` must be at most 16Gi"),
        );
    }
}

#[test]
fn environment_has_one_source_a_variable() {
    let secret = json!({ "secretKeyRef": { "name": "s", "key": "k" } });
    accepts(&json!({ "env": [
        { "name": "A", "value": "1" },
        { "name": "B", "valueFrom": secret },
    ] }));
    let sentence = "must have exactly one of `value` and `valueFrom`";
    refuses(&json!({ "env": [{ "name": "A" }] }), sentence);
    refuses(
        &json!({ "env": [{ "name": "A", "value": "1", "valueFrom": secret }] }),
        sentence,
    );
}

#[test]
fn configuration_has_one_source_a_value() {
    let config_map = json!({ "configMapKeyRef": { "name": "c", "key": "k" } });
    accepts(&json!({ "config": { "a": { "value": "1" }, "b": { "valueFrom": config_map } } }));
    refuses(
        &json!({ "config": { "a": {} } }),
        "must have exactly one of `value` and `valueFrom`",
    );
}

#[test]
fn a_reference_names_one_object() {
    let key = json!({ "name": "s", "key": "k" });
    let sentence = "must have exactly one of `secretKeyRef` and `configMapKeyRef`";
    refuses(
        &json!({ "env": [{ "name": "A", "valueFrom": {} }] }),
        sentence,
    );
    let both = json!({ "secretKeyRef": key, "configMapKeyRef": key });
    refuses(
        &json!({ "env": [{ "name": "A", "valueFrom": both }] }),
        sentence,
    );
    accepts(&json!({ "env": [{ "name": "A", "valueFrom": { "configMapKeyRef": key } }] }));
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let spec = function("hello", &json!({})).spec;
    assert_eq!(spec.placement, Placement::Shared);
    assert_eq!(spec.scaling.max_replicas, 10);
    assert_eq!(spec.scaling.target_concurrency, 100);
    assert_eq!(spec.limits.memory_per_request.0, "128Mi");
    assert_eq!(spec.limits.cpu_milliseconds_per_request, 10_000);
    assert_eq!(spec.limits.timeout_seconds, 30);
    assert_eq!(spec.route.visibility, Visibility::Public);
    assert!(!spec.suspend);
}
