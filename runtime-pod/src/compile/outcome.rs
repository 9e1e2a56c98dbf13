//! What the end of a child means.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use wasmfn_crds::Reason;

use super::{Allowance, child::INVALID};

/// Numbers of signals that ends are told from; the same on all Linux machines that are built for.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// What a child says that could get no more memory: Rust's allocator, the kernel, wasmtime.
const OUT_OF_MEMORY: [&str; 3] = [
    "memory allocation of",
    "Cannot allocate memory",
    "out of memory",
];

/// Why a module was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompilationError {
    /// The compiler refused it.
    #[error("the module cannot be compiled: {0}")]
    Invalid(String),
    /// It takes too much CPU time.
    #[error("the module used more than {0} s of CPU time to compile")]
    Cpu(u64),
    /// It takes too much memory.
    #[error("the module used more than {} MiB of memory to compile", .0 >> 20)]
    Memory(u64),
    /// It takes too long.
    #[error("the module took longer than {} s to compile", .0.as_secs())]
    Time(Duration),
    /// The compiler ended by itself.
    #[error("the compiler crashed on the module ({0})")]
    Crashed(String),
    /// The pod has no memory for it now.
    #[error("the pod has no {} MiB of memory free to compile the module", .bytes >> 20)]
    NoMemory {
        /// What it would need.
        bytes: u64,
    },
    /// There is no child.
    #[error("the compiler cannot be run: {0}")]
    Start(#[source] io::Error),
}

impl CompilationError {
    /// The reason of the API that it stands for.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_)
            | Self::Cpu(_)
            | Self::Memory(_)
            | Self::Time(_)
            | Self::Crashed(_) => Reason::CompileFailed,
            Self::NoMemory { .. } | Self::Start(_) => Reason::LoadFailed,
        }
    }

    /// Whether it may pass by itself.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::NoMemory { .. } | Self::Start(_))
    }
}

/// What the end of a child says about its module.
pub(super) fn judge(
    status: ExitStatus,
    said: &str,
    allowance: &Allowance,
) -> Result<(), CompilationError> {
    if status.success() {
        return Ok(());
    }
    let is_out_of_memory = OUT_OF_MEMORY.iter().any(|words| said.contains(words));
    Err(match (status.code(), status.signal()) {
        // The second limit of CPU time kills; nobody else does but the kernel, for want of memory.
        (_, Some(SIGXCPU)) => CompilationError::Cpu(allowance.cpu_seconds),
        (_, Some(SIGKILL)) => CompilationError::Memory(allowance.memory_bytes),
        (_, Some(SIGABRT)) | (Some(_), None) if is_out_of_memory => {
            CompilationError::Memory(allowance.memory_bytes)
        }
        (_, Some(signal)) => CompilationError::Crashed(format!("signal {signal}")),
        (Some(code), None) if code == i32::from(INVALID) => {
            CompilationError::Invalid(said.trim().to_owned())
        }
        _ => {
            tracing::warn!(%status, said, "a compiler ended in an unforeseen way");
            CompilationError::Crashed(status.to_string())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance() -> Allowance {
        Allowance {
            memory_bytes: 64 << 20,
            cpu_seconds: 20,
            wall: Duration::from_secs(100),
        }
    }

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn killed(signal: i32) -> ExitStatus {
        ExitStatus::from_raw(signal)
    }

    #[test]
    fn every_end_has_its_own_sentence() {
        let cases = [
            (killed(SIGXCPU), "", "used more than 20 s of CPU time"),
            (killed(SIGKILL), "", "used more than 64 MiB of memory"),
            (
                killed(SIGABRT),
                "memory allocation of 8 bytes failed\n",
                "used more than 64 MiB of memory",
            ),
            (
                exited(65),
                "mmap failed: Cannot allocate memory",
                "used more than 64 MiB of memory",
            ),
            (exited(65), "invalid magic\n", "compiled: invalid magic"),
            (killed(SIGABRT), "", "crashed on the module (signal 6)"),
            (killed(11), "", "crashed on the module (signal 11)"),
            (
                exited(101),
                "panicked",
                "crashed on the module (exit status: 101)",
            ),
        ];
        for (status, said, part) in cases {
            let error = judge(status, said, &allowance()).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(error.reason(), Reason::CompileFailed, "{error}");
            assert!(!error.is_transient(), "{error}");
        }
        assert!(judge(exited(0), "", &allowance()).is_ok());
    }

    #[test]
    fn what_is_the_pods_own_passes() {
        let error = CompilationError::NoMemory { bytes: 96 << 20 };
        assert!(error.is_transient());
        assert_eq!(error.reason(), Reason::LoadFailed);
        assert!(error.to_string().contains("96 MiB"), "{error}");
    }
}
