//! Prints the CustomResourceDefinition of `WasmFunction` as YAML.

use kube::CustomResourceExt;
use wasmfn_crds::WasmFunction;

fn main() -> Result<(), serde_yaml::Error> {
    serde_yaml::to_writer(std::io::stdout().lock(), &WasmFunction::crd())
}
