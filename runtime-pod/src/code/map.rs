//! Maps compiled code into memory: the one place where bytes of a file become code that runs.

use std::{fs::File, mem::forget, ops::Range, os::fd::AsRawFd};

use rustix::mm::{MapFlags, ProtFlags, mmap};
use wasmtime::{Engine, Module, Result, component::Component, ensure, error::Context};

use super::{CodeFile, text::Text};

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
    let leak = || forget(component.clone());
    join_text(code, &component.image_range(), component.text(), leak)?;
    Ok(component)
}

/// Maps a core module, in the same way.
pub(crate) fn module(engine: &Engine, code: &CodeFile) -> Result<Module> {
    #[allow(unsafe_code, reason = "as for components")]
    let module = unsafe { Module::deserialize_file(engine, path(code)) }?;
    let leak = || forget(module.clone());
    join_text(code, &module.image_range(), module.text(), leak)?;
    Ok(module)
}

/// By its descriptor: what is mapped is the very file that was checked, whatever has its name.
fn path(code: &CodeFile) -> String {
    format!("/proc/self/fd/{}", code.file().as_raw_fd())
}

/// Puts the text that lies in a file of its own, if there is one, in its `place` in an `image`.
fn join_text(
    code: &CodeFile,
    image: &Range<*const u8>,
    place: &[u8],
    leak: impl FnOnce(),
) -> Result<()> {
    let Some((text, file)) = code.text() else {
        return Ok(());
    };
    check_text(*text, file, image, place)?;
    // A part of the image may be mapped no more where that fails: it is never unmapped, since something
    // else may be there by then.
    map_text(file, place).inspect_err(|_| leak())
}

/// Whether `text` in `file` is what belongs where `image` has its `place` for it.
fn check_text(text: Text, file: &File, image: &Range<*const u8>, place: &[u8]) -> Result<()> {
    let at = place.as_ptr().addr() - image.start.addr();
    let is_there = at as u64 == text.at && place.len() as u64 == text.bytes;
    ensure!(is_there, "the text belongs elsewhere than the seal says");
    let bytes = file.metadata()?.len();
    ensure!(
        bytes == text.bytes,
        "the text is {bytes} bytes long, and not {}",
        text.bytes
    );
    Ok(())
}

/// Maps the text in `file` over its `place` in an image.
fn map_text(file: &File, place: *const [u8]) -> Result<()> {
    #[allow(
        unsafe_code,
        reason = "The pages that are replaced are those of the text, whole pages and no more, in an \
                  image that wasmtime has just mapped, and what takes their place is what was there \
                  when the compiler had written it: the seal names its digest, by which the file was \
                  found. wasmtime asks that an image be not changed; but nothing of this one has run, \
                  nobody else has its address, and wasmtime has read nothing of the text, which it \
                  does to run it alone, in the version that the workspace names exactly. When the \
                  image goes, the whole range is unmapped."
    )]
    let mapped = unsafe {
        mmap(
            place.cast_mut().cast(),
            place.len(),
            ProtFlags::READ | ProtFlags::EXEC,
            MapFlags::PRIVATE | MapFlags::FIXED,
            file,
            0,
        )
    };
    mapped.map(drop).context("cannot map the text")
}
