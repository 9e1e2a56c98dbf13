//! What outlives a restart of the container, in the pod's emptyDir: the function list, the bytes of
//! modules and compiled code. Files are written beside their place and then renamed, so that each
//! is there as a whole or not at all; what was used longest ago makes room for what is new.

mod code;
mod draft;
#[cfg(feature = "pod")]
mod functions;
mod identity;
mod modules;
mod room;
mod split;
mod texts;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

pub(crate) use code::{CodeDraft, CodeStore};
#[cfg(feature = "pod")]
pub use functions::FunctionStore;
pub use modules::ModuleStore;
pub(crate) use texts::check as check_text;

/// Writes `bytes` so that `path` holds either what it held or all of them, also after a crash.
pub(crate) fn write_atomically(path: &Path, bytes: &[&[u8]]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_extension(room::PART);
    let mut file = File::create(&temporary)?;
    for part in bytes {
        file.write_all(part)?;
    }
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}
