//! `wasmtime serve` of the version that the runtime is built with, with its defaults but for one: each request
//! gets an instance of its own, also in 0.3, where it would serve 128 one after the other and 16 at a time;
//! but for a case whose instances are shared, where it does.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::cases::Reuse;

/// The version that is compared.
const VERSION: &str = "50.0.1";
/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server; ended when dropped.
pub(super) struct WasmtimeServe {
    address: SocketAddr,
    process: Child,
}

impl WasmtimeServe {
    /// Starts it, if it is installed, on the core of the thread that calls.
    pub(super) fn start(module: &Path, reuse: Reuse) -> Result<Option<Self>> {
        let version = Command::new("wasmtime").arg("--version").output();
        let is_there = version.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).starts_with(&format!("wasmtime {VERSION}"))
        });
        if !is_there {
            println!("cargo install wasmtime-cli --version {VERSION} --locked");
            return Ok(None);
        }
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        // Guests import `wasi:cli`, which it links only on demand.
        let mut serve = Command::new("wasmtime");
        serve.args(["serve", "-Scli", "--addr", &address.to_string()]);
        if reuse != Reuse::Shared {
            serve
                .args(["--max-instance-reuse-count", "1"])
                .args(["--max-instance-concurrent-reuse-count", "1"]);
        }
        let process = serve
            .arg(module)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut serve = Self { address, process };
        serve.wait()?;
        Ok(Some(serve))
    }

    fn wait(&mut self) -> Result<()> {
        let begun_at = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            ensure!(
                self.process.try_wait()?.is_none(),
                "`wasmtime serve` has ended"
            );
            ensure!(
                begun_at.elapsed() < PATIENCE,
                "`wasmtime serve` never answers"
            );
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for WasmtimeServe {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
