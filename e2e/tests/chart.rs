//! What the chart repeats from the code must not drift: the CRD, and the names that both use.

use std::path::{Path, PathBuf};

use kube::CustomResourceExt;
use wasmfn_crds::{WasmFunction, names};

fn chart(file: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../charts/wasmfn")
        .join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_crd_is_the_one_that_the_code_prints() {
    let printed = serde_yaml::to_string(&WasmFunction::crd()).expect("the CRD is YAML");
    assert!(
        printed == chart("files/crds.yaml"),
        "run `cargo run -p wasmfn-crds --bin crdgen > charts/wasmfn/files/crds.yaml`"
    );
}

#[test]
fn the_chart_uses_the_names_of_the_code() {
    let table: &[(&str, &[&str])] = &[
        (
            "templates/operator/role.yaml",
            &[
                names::GROUP,
                names::RUNTIME_CLUSTER_ROLE,
                names::KEYS_SECRET,
                names::MASTER_KEY_SECRET,
                names::LEADER_LEASE,
            ],
        ),
        (
            "templates/gateway/deployment.yaml",
            &[names::MASTER_KEY_SECRET, names::GATEWAY_COMPONENT],
        ),
        (
            "templates/operator/deployment.yaml",
            &[names::OPERATOR_COMPONENT],
        ),
        (
            "templates/runtime/role.yaml",
            &[names::RUNTIME_CLUSTER_ROLE, names::KEYS_SECRET],
        ),
        (
            "templates/admission/objects.yaml",
            &[
                names::MANAGED_BY_LABEL,
                names::SHARED_RUNTIME,
                names::RUNTIME_ACCOUNT,
            ],
        ),
        (
            "templates/admission/secrets.yaml",
            &[names::KEYS_SECRET, names::MASTER_KEY_SECRET],
        ),
        (
            "templates/admission/pods.yaml",
            &[names::DELETION_COST_ANNOTATION, names::RUNTIME_COMPONENT],
        ),
        (
            "templates/admission/role-bindings.yaml",
            &[names::RUNTIME_CLUSTER_ROLE, names::RUNTIME_ACCOUNT],
        ),
    ];
    for (file, wanted) in table {
        let text = chart(file);
        for name in *wanted {
            assert!(text.contains(name), "{file} does not mention `{name}`");
        }
    }
}

#[test]
fn the_chart_opens_the_ports_of_the_code() {
    let gateway = chart("templates/gateway/deployment.yaml");
    for (name, port) in [
        ("public", names::GATEWAY_PUBLIC_PORT),
        ("public-tls", names::GATEWAY_PUBLIC_TLS_PORT),
        ("admin", names::GATEWAY_ADMIN_PORT),
        ("cluster", names::GATEWAY_CLUSTER_PORT),
    ] {
        let line = format!("{{ name: {name}, containerPort: {port} }}");
        assert!(gateway.contains(&line), "the gateway lacks {line}");
    }
    let operator = chart("templates/operator/deployment.yaml");
    let line = format!(
        "{{ name: admin, containerPort: {} }}",
        names::OPERATOR_ADMIN_PORT
    );
    assert!(operator.contains(&line), "the operator lacks {line}");
}
