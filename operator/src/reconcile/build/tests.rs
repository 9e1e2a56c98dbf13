use serde_json::{Value, json};

use super::*;
use crate::{
    fixtures,
    reconcile::{
        object::Kind,
        validate::{Owner, validate},
    },
};

fn plan(spec: Value) -> RuntimePlan {
    let function = fixtures::function("f", spec, json!(null));
    let config = fixtures::config("dedicatedTemplate: { nodeSelector: true }");
    let validated = validate(&function, &[&function], &config);
    assert_eq!(validated.problem, None);
    validated.runtimes.into_iter().next().unwrap()
}

fn with_house<T>(build: impl FnOnce(House<'_>) -> T) -> T {
    build(House {
        config: &fixtures::config(""),
        namespace: "wasmfn-system",
        master_key: &fixtures::master_key(),
    })
}

fn built(plan: &RuntimePlan) -> Value {
    with_house(|house| runtime_deployment(house, plan).body)
}

fn shared() -> Value {
    built(&plan(json!({})))
}

fn dedicated(template: &Value) -> Value {
    let spec = json!({ "placement": "Dedicated", "limits": { "timeoutSeconds": 90 }, "template": template });
    built(&plan(spec))
}

fn companion(kind: Kind) -> Value {
    let all = with_house(|house| companions(house, "a"));
    all.into_iter()
        .find(|desired| desired.key.kind == kind)
        .unwrap()
        .body
}

#[test]
fn nothing_says_how_many_replicas() {
    assert_eq!(shared()["spec"].get("replicas"), None);
    assert_eq!(dedicated(&json!({}))["spec"].get("replicas"), None);
}

#[test]
fn pods_meet_the_restricted_standard() {
    let pod = &shared()["spec"]["template"]["spec"];
    assert_eq!(
        pod["securityContext"],
        json!({
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": { "type": "RuntimeDefault" },
        })
    );
    assert_eq!(
        pod["containers"][0]["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        })
    );
    assert_eq!(pod["serviceAccountName"], "wasmfn-runtime");
}

#[test]
fn pods_get_what_the_contract_says() {
    let container = &shared()["spec"]["template"]["spec"]["containers"][0];
    let env: std::collections::BTreeMap<String, String> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let value = entry["value"].as_str().map(str::to_owned);
            let from = entry["valueFrom"]["fieldRef"]["fieldPath"].as_str();
            (
                entry["name"].as_str().unwrap().to_owned(),
                value.or(from.map(str::to_owned)).unwrap(),
            )
        })
        .collect();
    for (name, value) in [
        ("WASMFN_NAMESPACE", "metadata.namespace"),
        ("WASMFN_POD_NAME", "metadata.name"),
        ("WASMFN_RUNTIME", "wasmfn-shared"),
        ("WASMFN_PLAIN_HTTP_REGISTRIES", "registry:5000,other:5000"),
        ("WASMFN_MODULE_MAX_BYTES", "134217728"),
        ("WASMFN_STORES", r#"{"scratch":{"kind":"Memory"}}"#),
        (
            "WASMFN_GATEWAY_HOST",
            "wasmfn-gateway-cluster.wasmfn-system.svc.cluster.local",
        ),
        ("WASMFN_GRACE_SECONDS", "330"),
        ("RUST_LOG", "info"),
    ] {
        assert_eq!(env.get(name).map(String::as_str), Some(value), "{name}");
    }
    let mounts: Vec<&str> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    assert_eq!(
        mounts,
        [
            "/etc/wasmfn/keys",
            "/etc/wasmfn/references",
            "/var/lib/wasmfn",
            "/tmp"
        ]
    );
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
}

#[test]
fn a_pod_waits_for_no_secret_that_no_function_names() {
    let template = &shared()["spec"]["template"];
    let volumes = &template["spec"]["volumes"];
    assert_eq!(
        volumes[0],
        json!({ "name": "keys", "emptyDir": { "medium": "Memory" } })
    );
    assert_eq!(volumes[1]["projected"]["sources"], json!([]));
    assert!(!volumes.to_string().contains("wasmfn-keys"), "{volumes}");
}

#[test]
fn what_functions_name_comes_by_named_keys_and_may_be_missing() {
    let spec = json!({
        "imagePullSecrets": [{ "name": "pull" }],
        "env": [
            { "name": "A", "valueFrom": { "secretKeyRef": { "name": "s", "key": "a" } } },
            { "name": "B", "valueFrom": { "secretKeyRef": { "name": "s", "key": "b" } } },
        ],
        "config": { "c": { "valueFrom": { "configMapKeyRef": { "name": "m", "key": "k" } } } },
    });
    let deployment = built(&plan(spec));
    let template = &deployment["spec"]["template"];
    let item = |key: &str, path: &str| json!({ "key": key, "path": path });
    assert_eq!(
        template["spec"]["volumes"][1]["projected"]["sources"],
        json!([
            { "secret": { "name": "pull", "optional": true,
                "items": [item(".dockerconfigjson", "secrets/pull/.dockerconfigjson")] } },
            { "secret": { "name": "s", "optional": true,
                "items": [item("a", "secrets/s/a"), item("b", "secrets/s/b")] } },
            { "configMap": { "name": "m", "optional": true,
                "items": [item("k", "configmaps/m/k")] } },
        ])
    );
    let digest = template["metadata"]["annotations"]["wasmfn.dev/references"].as_str();
    assert!(digest.is_some_and(|digest| !digest.is_empty()));
}

#[test]
fn a_dedicated_function_owns_its_deployment_and_shapes_it() {
    let template = json!({
        "labels": { "team": "x", "wasmfn.dev/runtime": "another" },
        "annotations": { "note": "y" },
        "resources": { "limits": { "memory": "1Gi" } },
        "nodeSelector": { "disk": "fast" },
    });
    let deployment = dedicated(&template);
    assert_eq!(deployment["metadata"]["name"], "wasmfn-fn-f");
    assert_eq!(
        deployment["metadata"]["ownerReferences"],
        json!([{ "apiVersion": "wasmfn.dev/v1alpha1", "kind": "WasmFunction", "name": "f", "uid": "uid-f", "controller": true }])
    );
    let pod = &deployment["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"]["team"], "x");
    assert_eq!(
        pod["metadata"]["labels"]["wasmfn.dev/runtime"], "wasmfn-fn-f",
        "ours win"
    );
    assert_eq!(pod["metadata"]["annotations"]["note"], "y");
    assert_eq!(pod["spec"]["nodeSelector"], json!({ "disk": "fast" }));
    assert_eq!(
        pod["spec"]["containers"][0]["resources"]["limits"]["memory"],
        "1Gi"
    );
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 120);
    assert_eq!(pod["spec"]["shareProcessNamespace"], true);
}

#[test]
fn what_functions_share_has_no_owner() {
    let deployment = shared();
    assert_eq!(deployment["metadata"].get("ownerReferences"), None);
    assert_eq!(
        deployment["metadata"]["labels"]["app.kubernetes.io/managed-by"],
        "wasmfn"
    );
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for (key, value) in selector.as_object().unwrap() {
        assert_eq!(&labels[key], value, "{key}");
    }
}

#[test]
fn the_budget_never_blocks_a_drain_of_a_single_pod() {
    let objects = runtime_companions(&plan(json!({})));
    let budget = objects
        .iter()
        .find(|object| object.key.kind == Kind::PodDisruptionBudget);
    let spec = &budget.unwrap().body["spec"];
    assert_eq!(spec["maxUnavailable"], 1);
    assert_eq!(spec.get("minAvailable"), None);
}

#[test]
fn runtime_pods_let_in_whom_the_contract_names() {
    let policy = companion(Kind::NetworkPolicy);
    let rules: Vec<(i64, Value)> = policy["spec"]["ingress"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let peer = &rule["from"][0];
            let component = &peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"];
            let namespace =
                &peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
            (
                rule["ports"][0]["port"].as_i64().unwrap(),
                json!([namespace, component]),
            )
        })
        .collect();
    assert_eq!(
        rules,
        [
            (8080, json!(["wasmfn-system", "gateway"])),
            (8081, json!(["wasmfn-system", "operator"])),
            (8082, json!([null, "runtime"])),
        ]
    );
}

#[test]
fn who_reads_metrics_is_let_in_there_alone() {
    let prometheus = json!({ "namespaceSelector": { "matchLabels": { "name": "monitoring" } } });
    let peers = [serde_json::from_value(prometheus.clone()).unwrap()];
    let policy = network_policy::network_policy("a", "wasmfn-system", &peers);
    let ingress = policy.spec.unwrap().ingress.unwrap();
    let lets_in: Vec<bool> = ingress
        .iter()
        .map(|rule| rule.from.as_ref().unwrap().contains(&peers[0]))
        .collect();
    assert_eq!(lets_in, [false, true, false]);
}

#[test]
fn each_namespace_has_its_own_keys() {
    let data = companion(Kind::Secret)["data"].clone();
    let fields: Vec<&String> = data.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["admin-token", "code-key", "data-token", "module-token"]
    );
}

#[test]
fn a_functions_name_leads_to_the_gateway() {
    let config = fixtures::config("");
    let master_key = fixtures::master_key();
    let house = House {
        config: &config,
        namespace: "wasmfn-system",
        master_key: &master_key,
    };
    let function = fixtures::function("f", json!({}), json!(null));
    let service = alias(house, "a", &Owner::of(&function)).body;
    assert_eq!(service["spec"]["type"], "ExternalName");
    assert_eq!(
        service["spec"]["externalName"],
        "wasmfn-gateway-cluster.wasmfn-system.svc.cluster.local"
    );
    assert_eq!(service["metadata"]["labels"]["wasmfn.dev/function"], "f");
}
