//! Compiles modules, each in a child process of this very program: what a module makes the
//! compiler do ends with the child and never takes the pod along.
//!
//! The child (`child`) sets its own limits before it reads a byte; what it may use is in
//! `allowance`, and what its end means in `outcome`.

mod allowance;
mod child;
mod order;
mod outcome;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::{sleep, timeout},
};

pub use allowance::Allowance;
pub use child::run_if_child;
use order::Order;
pub use outcome::CompilationError;

use crate::{
    budget::{Budget, Reservation},
    engine::{self, Target},
    turns::{Demand, Turns},
};

/// Modules that are compiled at the same time, so that the parts of one that cannot be split leave
/// no core idle; the rest waits its turn.
const COMPILATIONS: usize = 2;

/// How long a compilation waits for memory of the pod before it gives up for a while.
const MEMORY_PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks whether there is memory.
const MEMORY_LOOK: Duration = Duration::from_millis(50);

/// What is kept of what a child says, in bytes.
const SAID_MAX_BYTES: u64 = 16 << 10;

/// The running program, also where its file was replaced meanwhile.
const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// What runs as the child.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Program {
    /// The running program, whose `main` calls [`run_if_child`] before anything else.
    ThisExecutable,
    /// Another program that does so.
    Path(PathBuf),
    /// None: modules are compiled in this process and without limits. For tests of other things.
    InProcess,
}

/// Compiles modules.
#[derive(Debug)]
pub(crate) struct Compiler {
    program: Program,
    turns: Arc<Turns>,
    budget: Arc<Budget>,
    /// From the sizes of a module and of the budget, in bytes.
    allow: fn(u64, u64) -> Allowance,
    /// How long it waits for memory.
    patience: Duration,
}

impl Compiler {
    /// Compiles with `program`; the memory for it is taken from `budget`.
    pub(crate) fn new(program: Program, budget: Arc<Budget>) -> Self {
        Self {
            program,
            turns: Turns::new(COMPILATIONS),
            budget,
            allow: Allowance::of,
            patience: MEMORY_PATIENCE,
        }
    }

    /// Counts the bytes of a module that waits to be compiled.
    pub(crate) fn charge(&self, bytes: u64) -> Reservation {
        self.budget.charge(bytes)
    }

    /// Compiles `module` for `target` into `code`, when it is its turn among those that are in
    /// demand.
    ///
    /// # Errors
    /// [`CompilationError`] that says what the module needed too much of, or what is wrong with it.
    pub(crate) async fn compile(
        &self,
        module: Bytes,
        target: Target,
        code: File,
        demand: &Arc<Demand>,
    ) -> Result<(), CompilationError> {
        let _turn = self.turns.turn(demand).await;
        // Its own bytes are in memory as well.
        let own_bytes = module.len() as u64;
        let most_bytes = self.budget.limit_bytes().saturating_sub(own_bytes);
        let mut allowance = (self.allow)(own_bytes, most_bytes);
        let wanted = allowance.memory_bytes;
        let memory = self.reserve(wanted).await?;
        allowance.memory_bytes = memory.bytes();
        let began = Instant::now();
        let result = match &self.program {
            Program::InProcess => in_process(module, target, code).await,
            Program::ThisExecutable => {
                let order = Order { allowance, target };
                in_child(THIS_EXECUTABLE.into(), order, module, code).await
            }
            Program::Path(path) => {
                let order = Order { allowance, target };
                in_child(path.clone(), order, module, code).await
            }
        };
        drop(memory);
        tracing::debug!(
            milliseconds = began.elapsed().as_millis(),
            is_compiled = result.is_ok(),
            "a compilation ended"
        );
        match result {
            // With all that it may have, it might be enough.
            Err(CompilationError::Memory(granted)) if granted < wanted => {
                Err(CompilationError::NoMemory { bytes: wanted })
            }
            result => result,
        }
    }

    /// Memory of the pod for a child, once it is there: all that it may have, or a good part of
    /// it, since few modules need it all.
    async fn reserve(&self, bytes: u64) -> Result<Reservation, CompilationError> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(memory) = self.budget.reserve_between(bytes / 4 * 3, bytes) {
                return Ok(memory);
            }
            if Instant::now() >= deadline {
                return Err(CompilationError::NoMemory { bytes });
            }
            sleep(MEMORY_LOOK).await;
        }
    }
}

async fn in_process(module: Bytes, target: Target, mut code: File) -> Result<(), CompilationError> {
    let work = tokio::task::spawn_blocking(move || {
        let compiled = engine::precompile(&module, target)
            .map_err(|error| CompilationError::Invalid(format!("{error:#}")))?;
        code.write_all(&compiled).map_err(CompilationError::Start)
    });
    work.await
        .unwrap_or_else(|error| Err(CompilationError::Crashed(error.to_string())))
}

/// Runs a child from its start to its end. Dropping this ends it.
async fn in_child(
    program: PathBuf,
    order: Order,
    module: Bytes,
    code: File,
) -> Result<(), CompilationError> {
    let child = Command::new(program)
        .arg0(child::NAME)
        .arg(child::MARKER)
        .args(order.words())
        .env_clear()
        .envs(child::ENVIRONMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::from(code))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(CompilationError::Start)?;
    let allowance = order.allowance;
    let (status, said) = match timeout(allowance.wall, end(child, module)).await {
        Ok(ended) => ended.map_err(CompilationError::Start)?,
        Err(_) => return Err(CompilationError::Time(allowance.wall)),
    };
    outcome::judge(status, &said, &allowance)
}

/// Gives a child its module, and waits for its end and what it said.
async fn end(mut child: Child, module: Bytes) -> io::Result<(ExitStatus, String)> {
    let stdin = child.stdin.take();
    let stderr = child.stderr.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A child that ends before it has read everything says why itself.
            let _ = stdin.write_all(&module).await;
        }
    };
    let listen = async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            let _ = stderr.take(SAID_MAX_BYTES).read_to_end(&mut said).await;
        }
        said
    };
    let ((), said) = tokio::join!(feed, listen);
    let status = child.wait().await?;
    Ok((status, String::from_utf8_lossy(&said).into_owned()))
}
