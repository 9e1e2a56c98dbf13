//! What modules export, and so what kind of guest they are.

use wasmparser::{Parser, Payload};
use wasmtime::{Engine, component::Component};

/// Export of a component that wasmfn calls, without its patch version.
const HANDLER: &str = "wasi:http/incoming-handler@0.2.";
/// Exports of guests that wasmfn knows but does not serve, and what they are.
const KNOWN: [(&str, &str); 2] = [
    (
        "wasi:http/handler@0.3.",
        "it is a WASI 0.3 service, which is not turned on; build it for WASI 0.2 (`wasi:http/proxy`)",
    ),
    (
        "wasi:cli/run@",
        "it is a command (`wasi:cli/run`), not an HTTP handler; export `wasi:http/incoming-handler` instead",
    ),
];
/// Most names that a sentence lists.
const LISTED: usize = 10;

/// How a component is called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Exports {
    /// It handles HTTP requests.
    Handler,
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
    KNOWN
        .iter()
        .find(|(export, _)| names.iter().any(|name| name.starts_with(export)))
        .map_or_else(
            || Exports::Other(list(&names)),
            |(_, what)| Exports::Known(what),
        )
}

/// Whether a core module is a WASI preview 1 command, and what it exports, for a sentence.
pub(super) fn core_module(bytes: &[u8]) -> (bool, String) {
    let (exports, is_preview1) = read_core(bytes).unwrap_or_default();
    (is_preview1 && exports.contains(&"_start"), list(&exports))
}

fn read_core(bytes: &[u8]) -> Result<(Vec<&str>, bool), wasmparser::BinaryReaderError> {
    let mut exports = Vec::new();
    let mut is_preview1 = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ExportSection(section) => {
                for export in section {
                    exports.push(export?.name);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    is_preview1 |= import?.module == "wasi_snapshot_preview1";
                }
            }
            _ => {}
        }
    }
    Ok((exports, is_preview1))
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
