//! Objects that tests begin with.

pub(crate) mod tls;

use std::{io::Write, sync::Arc};

use serde_json::json;
use wasmfn_crds::WasmFunction;

use crate::{
    code::{CodeFile, CodeKey, Seal},
    engine::{Target, precompile},
    store::CodeStore,
};

/// The smallest component that handles requests: it gives no answer.
pub(crate) fn handler() -> Vec<u8> {
    handler_with("")
}

/// Such a component, with machine code of more than a mebibyte, all of it jump tables.
pub(crate) fn large_handler() -> Vec<u8> {
    let targets = "0 1 ".repeat(1000);
    let function = format!("(func (param i32) block block local.get 0 br_table {targets} end end)");
    handler_with(&format!("(core module {})", function.repeat(200)))
}

fn handler_with(more: &str) -> Vec<u8> {
    let text = r#"(component
        (import "wasi:http/types@0.2.0" (instance $types
            (export "incoming-request" (type (sub resource)))
            (export "response-outparam" (type (sub resource)))))
        (alias export $types "incoming-request" (type $request))
        (alias export $types "response-outparam" (type $outparam))
        (core module $module (func (export "handle") (param i32 i32)))
        (core instance $instance (instantiate $module))
        (func $handle
            (param "request" (own $request)) (param "response-out" (own $outparam))
            (canon lift (core func $instance "handle")))
        (instance $handler (export "handle" (func $handle)))
        (export "wasi:http/incoming-handler@0.2.0" (instance $handler))"#;
    wat::parse_str(format!("{text}{more})")).expect("the text is valid")
}

/// A module's compiled code, in memory.
pub(crate) fn code(module: &[u8], target: Target) -> CodeFile {
    let bytes = precompile(module, target).expect("the module is valid");
    let store = CodeStore::nowhere(Arc::new(Seal::of_process()));
    let key = CodeKey::parse(&"0".repeat(64)).expect("it is a key");
    let draft = store.draft(key).expect("there is memory");
    let mut writer = draft.writer().expect("it can be written to");
    writer.write_all(&bytes).expect("there is memory");
    let (_, code) = store.seal(draft, target).expect("it can be read");
    code
}

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
