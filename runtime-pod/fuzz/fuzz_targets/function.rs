//! A function's file, and the amounts in it.
#![no_main]

use wasmfn_crds::{WasmFunction, quantity};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(function) = serde_yaml::from_slice::<WasmFunction>(bytes) else {
        return;
    };
    let _ = quantity::bytes(&function.spec.limits.memory_per_request);
    let text = serde_yaml::to_string(&function).expect("what was read can be written");
    let again: WasmFunction = serde_yaml::from_str(&text).expect("and read again");
    assert_eq!(again.spec, function.spec);
});
