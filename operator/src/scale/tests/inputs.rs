use std::time::Instant;

use serde_json::{Value, json};
use wasmfn_autoscale::{Cause, History, Inputs, Usage, decide};
use wasmfn_crds::WasmFunction;

use super::super::collect::input;
use crate::{fixtures, follow::Demand};

fn function(spec: Value, status: Value) -> WasmFunction {
    fixtures::function("f", spec, status)
}
fn served_by(runtime: &str) -> Value {
    json!({
        "resolved": { "image": "r/x:1", "resolveAt": "", "digest": "d", "shortDigest": "d" },
        "serving": { "digest": "d", "generation": 1, "runtime": runtime },
        "replicas": 1, "readyReplicas": 1,
    })
}

#[test]
fn what_a_function_asks_of_a_runtime_deployment() {
    let dedicated = json!({ "placement": "Dedicated" });
    let cases = [
        (
            "not loaded yet",
            function(json!({}), json!(null)),
            "wasmfn-shared",
            1,
            Cause::Loading,
        ),
        (
            "settled and idle",
            function(json!({}), served_by("wasmfn-shared")),
            "wasmfn-shared",
            0,
            Cause::Idle,
        ),
        (
            "fixed",
            function(
                json!({ "placement": "Dedicated", "replicas": 4 }),
                served_by("wasmfn-fn-f"),
            ),
            "wasmfn-fn-f",
            4,
            Cause::Fixed,
        ),
        (
            "what still answers keeps its pods",
            function(dedicated.clone(), served_by("wasmfn-shared")),
            "wasmfn-shared",
            2,
            Cause::Handover,
        ),
        (
            "what takes over starts",
            function(dedicated, served_by("wasmfn-shared")),
            "wasmfn-fn-f",
            1,
            Cause::Loading,
        ),
    ];
    let now = Instant::now() + std::time::Duration::from_secs(3600);
    for (name, function, runtime, replicas, cause) in cases {
        let inputs = Inputs {
            current: 2,
            keep_warm: 0,
            functions: vec![input(
                &function,
                runtime,
                Demand::default(),
                Usage::default(),
            )],
            known_since: Some(now - std::time::Duration::from_secs(1800)),
            rolling: false,
            no_capacity: false,
        };
        let decision = decide(&History::default(), &inputs, now);
        assert_eq!(
            (decision.replicas, decision.cause),
            (replicas, cause),
            "{name}"
        );
    }
}
