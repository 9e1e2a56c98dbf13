//! Objects that tests begin with.

use serde_json::json;
use wasmfn_crds::WasmFunction;

/// A function with defaults everywhere.
pub(crate) fn function(name: &str) -> WasmFunction {
    serde_json::from_value(json!({
        "apiVersion": "wasmfn.dev/v1alpha1",
        "kind": "WasmFunction",
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": format!("uid-{name}"),
            "generation": 1,
        },
        "spec": {"image": "registry.test/hello:v1"},
    }))
    .expect("the object is valid")
}
