//! What modules export, and so what kind of guest they are.

use wasmparser::{BinaryReaderError, Parser, Payload};
use wasmtime::{Engine, component::Component};

use super::Wasi;

/// Export of a component that wasmfn calls, without its patch version.
const HANDLER: &str = "wasi:http/incoming-handler@0.2.";
/// The same, of a WASI 0.3 service.
const SERVICE: &str = "wasi:http/handler@0.3.";
/// Exports of guests that wasmfn knows but does not serve, and what they are.
const KNOWN: [(&str, &str); 1] = [(
    "wasi:cli/run@",
    "it is a command of WASI 0.2 (`wasi:cli/run`); build it for `wasm32-wasip1`, or export `wasi:http/incoming-handler`",
)];
/// Most names that a sentence lists.
const LISTED: usize = 10;

/// How a component is called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Exports {
    /// It handles HTTP requests by WASI 0.2.
    Handler,
    /// It handles HTTP requests by WASI 0.3.
    Service,
    /// It is a guest of a kind that is not served; a clause that says which.
    Known(&'static str),
    /// It exports nothing that could be called; what it does export.
    Other(String),
}

/// Looks at a component's exports.
pub(super) fn component(engine: &Engine, component: &Component) -> Exports {
    let kind = component.component_type();
    let names: Vec<&str> = kind.exports(engine).map(|(name, _)| name).collect();
    if names.iter().any(|name| name.starts_with(HANDLER)) {
        return Exports::Handler;
    }
    if names.iter().any(|name| name.starts_with(SERVICE)) {
        return Exports::Service;
    }
    KNOWN
        .iter()
        .find(|(export, _)| names.iter().any(|name| name.starts_with(export)))
        .map_or_else(
            || Exports::Other(list(&names)),
            |(_, what)| Exports::Known(what),
        )
}

/// The generation of WASI that a component is called by: 0.3 only where it has no export for 0.2.
pub(super) fn generation(bytes: &[u8]) -> Wasi {
    // Bytes that cannot be read are the compiler's to refuse.
    let exports = exports(bytes).unwrap_or_default();
    let has = |export: &str| exports.iter().any(|name| name.starts_with(export));
    if has(SERVICE) && !has(HANDLER) {
        Wasi::V0_3
    } else {
        Wasi::V0_2
    }
}

/// Names that a component exports, without those of the components inside.
fn exports(bytes: &[u8]) -> Result<Vec<&str>, BinaryReaderError> {
    let mut names = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    names.push(export?.name.name);
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Names in a sentence.
pub(super) fn list<N: AsRef<str>>(names: &[N]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<String> = names
        .iter()
        .take(LISTED)
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    let more = names.len().saturating_sub(LISTED);
    let text = shown.join(", ");
    if more == 0 {
        text
    } else {
        format!("{text} and {more} more")
    }
}
