//! What guests may import: the host functions, and the list of their interfaces.

use wasmtime::{
    Engine, Result,
    component::{Component, Linker},
};
use wasmtime_wasi_config::WasiConfig;

use crate::sandbox::{self, Sandbox};

/// Interfaces that guests may import, by package. File system, sockets and name look-up are there
/// because toolchains import them; everything they are asked for is denied.
const OFFERED: [(&str, &[&str], &str); 10] = [
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

/// A linker with everything in [`OFFERED`].
pub(super) fn linker(engine: &Engine) -> Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_config::add_to_linker(&mut linker, |sandbox: &mut Sandbox| {
        WasiConfig::from(sandbox.config())
    })?;
    sandbox::keyvalue::add_to_linker(&mut linker, Sandbox::keyvalue)?;
    sandbox::add_logging_to_linker(&mut linker, Sandbox::log)?;
    Ok(linker)
}

/// Imports of a component that are not offered, sorted.
pub(super) fn missing(engine: &Engine, component: &Component) -> Vec<String> {
    let mut missing: Vec<String> = component
        .component_type()
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .filter(|name| !is_offered(name))
        .collect();
    missing.sort();
    missing
}

fn is_offered(import: &str) -> bool {
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    let Some((package, interface)) = path.split_once('/') else {
        return false;
    };
    OFFERED.iter().any(|(offered, interfaces, major)| {
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
pub(super) fn offered_names() -> impl Iterator<Item = String> {
    OFFERED.iter().flat_map(|(package, interfaces, _)| {
        let version = match *package {
            "wasi:config" => "0.2.0-rc.1",
            "wasi:keyvalue" => "0.2.0-draft",
            "wasi:logging" => "0.1.0-draft",
            _ => "0.2.0",
        };
        interfaces
            .iter()
            .map(move |interface| format!("{package}/{interface}@{version}"))
    })
}
