//! Maps compiled code into memory: the one place where bytes of a file become code that runs.

use std::{ops::Range, os::fd::AsRawFd};

use rustix::mm::{MapFlags, ProtFlags, mmap};
use wasmtime::{Engine, Module, Result, component::Component, error::Context, format_err};

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
    let component = unsafe { Component::deserialize_file(engine, path(code)) }?;
    map_text(code, &component.image_range())?;
    Ok(component)
}

/// Maps a core module, in the same way.
pub(crate) fn module(engine: &Engine, code: &CodeFile) -> Result<Module> {
    #[allow(unsafe_code, reason = "as for components")]
    let module = unsafe { Module::deserialize_file(engine, path(code)) }?;
    map_text(code, &module.image_range())?;
    Ok(module)
}

/// By its descriptor: what is mapped is the very file that was checked, whatever has its name.
fn path(code: &CodeFile) -> String {
    format!("/proc/self/fd/{}", code.file().as_raw_fd())
}

/// Puts the text that lies in a file of its own where `image` has a hole.
fn map_text(code: &CodeFile, image: &Range<*const u8>) -> Result<()> {
    let Some((text, file)) = code.text() else {
        return Ok(());
    };
    let image_bytes = image.end.addr() - image.start.addr();
    let range = usize::try_from(text.range().start)?..usize::try_from(text.range().end)?;
    if range.end > image_bytes {
        return Err(format_err!("the text does not lie within its code"));
    }
    let place = image.start.wrapping_add(range.start).cast_mut().cast();
    #[allow(
        unsafe_code,
        reason = "The pages that are replaced are those of the text in the image that wasmtime has \
                  just mapped, whole pages and no more, and what takes their place is what was there \
                  when the compiler had written it: the seal names its digest, by which the file was \
                  found. Nobody else knows the image yet, none of its code has run, and wasmtime \
                  reads text only to run it. When the image goes, it unmaps the whole range."
    )]
    let mapped = unsafe {
        mmap(
            place,
            range.len(),
            ProtFlags::READ | ProtFlags::EXEC,
            MapFlags::PRIVATE | MapFlags::FIXED,
            file,
            0,
        )
    };
    mapped.map(drop).context("cannot map the text")
}
