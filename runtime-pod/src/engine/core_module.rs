//! What a core module shows of itself: whether it is a command, and whether it can be served.

use wasmfn_crds::spec::Contract;
use wasmparser::{BinaryReaderError, Parser, Payload};

use super::{advice, compile::CompileError, inspect::list};
use crate::command::{START, contract};

/// The module that preview 1's functions are imported from.
const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// Preview 1's functions, as its `wasi_snapshot_preview1.witx` lists them.
const FUNCTIONS: [&str; 46] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// A core module's outside.
#[derive(Debug, Default)]
struct Outside<'a> {
    exports: Vec<&'a str>,
    /// Module and name of each import.
    imports: Vec<(&'a str, &'a str)>,
    contract: Option<Contract>,
}

/// Says which contract a core module names, if it is a command that can be served.
///
/// # Errors
/// [`CompileError`] that says what it is instead, or what it lacks.
pub(super) fn command(bytes: &[u8]) -> Result<Option<Contract>, CompileError> {
    // Bytes that cannot be read are the compiler's to refuse, in its own words.
    let Ok(outside) = read(bytes) else {
        return Ok(None);
    };
    if outside
        .imports
        .iter()
        .any(|(module, _)| *module == "wasi_unstable")
    {
        return Err(CompileError::Unsupported(
            "it is built for `wasi_unstable`, which WASI preview 1 replaced in 2020; build it with a newer toolchain",
        ));
    }
    if !outside.exports.contains(&START) {
        return Err(CompileError::WrongExports(not_a_command(&outside.exports)));
    }
    let missing = missing(&outside.imports);
    if missing.is_empty() {
        Ok(outside.contract)
    } else {
        Err(CompileError::MissingImport(advice::with_list(&missing)))
    }
}

fn not_a_command(exports: &[&str]) -> String {
    let what = if exports.contains(&"_initialize") {
        "it is a library (a WASI reactor), not a program: build one with a `main`"
    } else {
        "it is a core module, not a component: a WASI preview 1 command exports `_start`"
    };
    format!("{}, and {what}", list(exports))
}

/// Imports that are none of preview 1's, sorted.
fn missing(imports: &[(&str, &str)]) -> Vec<String> {
    let mut missing: Vec<String> = imports
        .iter()
        .filter(|(module, name)| *module != PREVIEW_1 || !FUNCTIONS.contains(name))
        .map(|(module, name)| format!("{module}/{name}"))
        .collect();
    missing.sort();
    missing.dedup();
    missing
}

fn read(bytes: &[u8]) -> Result<Outside<'_>, BinaryReaderError> {
    let mut outside = Outside::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ExportSection(section) => {
                for export in section {
                    outside.exports.push(export?.name);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    outside.imports.push((import.module, import.name));
                }
            }
            Payload::CustomSection(section) if section.name() == contract::SECTION => {
                outside.contract = contract::parse_section(section.data());
            }
            _ => {}
        }
    }
    Ok(outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<Option<Contract>, CompileError> {
        command(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn a_command_may_name_its_contract() {
        let command = r#"(module (func (export "_start")))"#;
        assert_eq!(verdict(command).unwrap(), None);
        let json = r#"(module (@custom "wasmfn:contract" "JSON") (func (export "_start")))"#;
        assert_eq!(verdict(json).unwrap(), Some(Contract::JSON));
    }

    #[test]
    fn what_is_no_command_is_named() {
        let cases = [
            (
                r#"(module (func (export "add")))"#,
                "`add`, and it is a core module",
            ),
            (r#"(module (func (export "_initialize")))"#, "a library"),
            (
                r#"(module (import "wasi_unstable" "fd_write" (func)) (func (export "_start")))"#,
                "wasi_unstable",
            ),
            (
                r#"(module (import "wasi_snapshot_preview1" "sock_open" (func)) (func (export "_start")))"#,
                "`wasi_snapshot_preview1/sock_open`",
            ),
            (
                r#"(module (import "gojs" "runtime.wasmExit" (func)) (func (export "_start")))"#,
                "GOOS=wasip1",
            ),
        ];
        for (text, part) in cases {
            let error = verdict(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn every_function_of_preview_1_is_linked() {
        let engine = wasmtime::Engine::default();
        let linker = crate::command::linker(&engine).unwrap();
        for name in FUNCTIONS {
            let text = format!(r#"(module (import "{PREVIEW_1}" "{name}" (func)))"#);
            let module = wasmtime::Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
            let error = format!("{:#}", linker.instantiate_pre(&module).err().unwrap());
            // Only the type, which this test leaves out, is wrong.
            assert!(
                error.contains("incompatible import type"),
                "{name}: {error}"
            );
        }
    }
}
