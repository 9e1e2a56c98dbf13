//! What guests may import: the host functions, and the list of their interfaces.

use wasmtime::{
    Engine, Result,
    component::{Component, Linker},
};
use wasmtime_wasi_config::WasiConfig;

use super::Wasi;
use crate::sandbox::{self, Sandbox};

/// A package, its interfaces, and the beginning of their version.
type Package = (&'static str, &'static [&'static str], &'static str);

/// Interfaces that guests may import, by package. File system, sockets and name look-up are there
/// because toolchains import them; everything they are asked for is denied.
const OFFERED: [Package; 10] = [
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
        ],
        "0.2",
    ),
    ("wasi:clocks", &["monotonic-clock", "wall-clock"], "0.2"),
    ("wasi:config", &["store"], "0.2"),
    ("wasi:filesystem", &["preopens", "types"], "0.2"),
    ("wasi:http", &["outgoing-handler", "types"], "0.2"),
    ("wasi:io", &["error", "poll", "streams"], "0.2"),
    (
        "wasi:keyvalue",
        &["atomics", "batch", "store"],
        "0.2.0-draft",
    ),
    ("wasi:logging", &["logging"], "0.1.0-draft"),
    (
        "wasi:random",
        &["insecure", "insecure-seed", "random"],
        "0.2",
    ),
    (
        "wasi:sockets",
        &[
            "instance-network",
            "ip-name-lookup",
            "network",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
        "0.2",
    ),
];

/// Interfaces that guests of WASI 0.3 may import besides.
const OFFERED_0_3: [Package; 6] = [
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
            "types",
        ],
        "0.3",
    ),
    (
        "wasi:clocks",
        &["monotonic-clock", "system-clock", "types"],
        "0.3",
    ),
    ("wasi:filesystem", &["preopens", "types"], "0.3"),
    ("wasi:http", &["client", "types"], "0.3"),
    (
        "wasi:random",
        &["insecure", "insecure-seed", "random"],
        "0.3",
    ),
    ("wasi:sockets", &["ip-name-lookup", "types"], "0.3"),
];

/// A linker with everything that guests of this generation may import.
pub(super) fn linker(engine: &Engine, wasi: Wasi) -> Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    if wasi == Wasi::V0_3 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_config::add_to_linker(&mut linker, |sandbox: &mut Sandbox| {
        WasiConfig::from(sandbox.config())
    })?;
    sandbox::keyvalue::add_to_linker(&mut linker, Sandbox::keyvalue)?;
    sandbox::add_logging_to_linker(&mut linker, Sandbox::log)?;
    sandbox::bound_names(&mut linker, wasi)?;
    Ok(linker)
}

/// Imports of a component that are not offered, sorted.
pub(super) fn missing(engine: &Engine, component: &Component, wasi: Wasi) -> Vec<String> {
    let mut missing: Vec<String> = component
        .component_type()
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .filter(|name| !is_offered(name, wasi))
        .collect();
    missing.sort();
    missing
}

/// What guests of a generation may import.
fn offered(wasi: Wasi) -> impl Iterator<Item = &'static Package> {
    let newer = OFFERED_0_3.iter().filter(move |_| wasi == Wasi::V0_3);
    OFFERED.iter().chain(newer)
}

fn is_offered(import: &str, wasi: Wasi) -> bool {
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    let Some((package, interface)) = path.split_once('/') else {
        return false;
    };
    offered(wasi).any(|(offered, interfaces, major)| {
        *offered == package
            && interfaces.contains(&interface)
            && version
                .strip_prefix(major)
                .is_some_and(|rest| rest.starts_with('.') || (rest.is_empty() && is_draft(major)))
    })
}

/// Drafts have no patch versions.
fn is_draft(version: &str) -> bool {
    version.ends_with("-draft")
}

#[cfg(test)]
pub(super) fn offered_names(wasi: Wasi) -> impl Iterator<Item = String> {
    offered(wasi).flat_map(|(package, interfaces, major)| {
        let version = match *package {
            "wasi:config" => "0.2.0-rc.1".to_owned(),
            "wasi:keyvalue" => "0.2.0-draft".to_owned(),
            "wasi:logging" => "0.1.0-draft".to_owned(),
            _ => format!("{major}.0"),
        };
        interfaces
            .iter()
            .map(move |interface| format!("{package}/{interface}@{version}"))
    })
}
