//! Maps compiled code into memory: the one place where bytes of a file become code that runs.

use std::os::fd::AsRawFd;

use wasmtime::{Engine, Module, Result, component::Component};

use super::CodeFile;

/// Maps a component. Pages are read when they are used.
pub(crate) fn component(engine: &Engine, code: &CodeFile) -> Result<Component> {
    #[allow(
        unsafe_code,
        reason = "wasmtime trusts what it maps. A `CodeFile` is what a compiler that this \
                  namespace's pods run has made: this process started it, or the file bears the \
                  namespace's seal. Files are made beside their place and renamed, and never \
                  written to afterwards, so they stay as they were checked while they are mapped. \
                  What was made by another version, for another processor or with other settings \
                  has another name, and wasmtime refuses it besides."
    )]
    unsafe {
        Component::deserialize_file(engine, path(code))
    }
}

/// Maps a core module, in the same way.
pub(crate) fn module(engine: &Engine, code: &CodeFile) -> Result<Module> {
    #[allow(unsafe_code, reason = "as for components")]
    unsafe {
        Module::deserialize_file(engine, path(code))
    }
}

/// By its descriptor: what is mapped is the very file that was checked, whatever has its name.
fn path(code: &CodeFile) -> String {
    format!("/proc/self/fd/{}", code.file().as_raw_fd())
}
