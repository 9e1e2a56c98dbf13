use kube::core::{DeserializeGuard, error_boundary::InvalidObject};
use serde_json::Value;

use super::*;

fn function(name: &str, placement: &str, serving: Option<&str>) -> Arc<Guarded> {
    let status = serving.map_or(
        Value::Null,
        |runtime| json!({ "serving": { "digest": "d", "generation": 1, "runtime": runtime } }),
    );
    let function = serde_json::from_value(json!({
        "apiVersion": "wasmfn.dev/v1alpha1",
        "kind": "WasmFunction",
        "metadata": { "name": name, "namespace": "a" },
        "spec": { "image": "x", "placement": placement },
        "status": status,
    }))
    .unwrap();
    Arc::new(DeserializeGuard(Ok(function)))
}

fn unparsable(name: &str) -> Arc<Guarded> {
    Arc::new(DeserializeGuard(Err(InvalidObject {
        error: "newer".to_owned(),
        metadata: serde_json::from_value(json!({ "name": name, "namespace": "a" })).unwrap(),
    })))
}

type Object = (ObjectKey, BTreeMap<String, String>, String);

fn object(kind: Kind, name: &str, labels: &[(&str, &str)]) -> Object {
    let key = ObjectKey {
        kind,
        namespace: "a".to_owned(),
        name: name.to_owned(),
    };
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    (key, labels, "uid".to_owned())
}

fn all() -> Vec<Object> {
    let shared = [(RUNTIME_LABEL, "wasmfn-shared")];
    let dedicated = [(RUNTIME_LABEL, "wasmfn-fn-f"), (FUNCTION_LABEL, "f")];
    vec![
        object(Kind::ServiceAccount, RUNTIME_ACCOUNT, &[]),
        object(Kind::Service, "f", &[(FUNCTION_LABEL, "f")]),
        object(Kind::Deployment, "wasmfn-shared", &shared),
        object(Kind::Deployment, "wasmfn-fn-f", &dedicated),
    ]
}

#[test]
fn what_a_function_needs_or_owns_stays() {
    for (name, functions, gone) in [
        (
            "none left; what it owned goes by itself",
            vec![],
            vec![RUNTIME_ACCOUNT, "wasmfn-shared"],
        ),
        (
            "shared",
            vec![function("f", "Shared", None)],
            vec!["wasmfn-fn-f"],
        ),
        (
            "dedicated",
            vec![function("f", "Dedicated", Some("wasmfn-fn-f"))],
            vec!["wasmfn-shared"],
        ),
        (
            "moving out",
            vec![function("f", "Dedicated", Some("wasmfn-shared"))],
            vec![],
        ),
        (
            "moving in",
            vec![function("f", "Shared", Some("wasmfn-fn-f"))],
            vec![],
        ),
        ("unreadable", vec![unparsable("f")], vec![]),
    ] {
        let found: Vec<String> = unneeded(all(), &functions)
            .into_iter()
            .map(|object| object.key.name)
            .collect();
        assert_eq!(found, gone, "{name}");
    }
}

#[test]
fn nothing_goes_before_its_grace_is_over() {
    let start = Instant::now();
    let mut since = HashMap::new();
    let objects = || unneeded(all(), &[]);
    assert_eq!(
        due(&mut since, objects(), start),
        (vec![], Some(start + GRACE))
    );
    // It was needed again for a moment.
    due(&mut since, vec![], start + GRACE / 2);
    let (early, next) = due(&mut since, objects(), start + GRACE);
    assert_eq!((early, next), (vec![], Some(start + 2 * GRACE)));
    let (late, _) = due(&mut since, objects(), start + 2 * GRACE);
    let kinds: Vec<Kind> = late.iter().map(|object| object.key.kind).collect();
    assert_eq!(
        kinds,
        [Kind::Deployment, Kind::ServiceAccount],
        "the account last"
    );
}
