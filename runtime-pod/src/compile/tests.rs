use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

use super::*;
use crate::engine::{GuestKind, Wasi};

const TARGET: Target = Target {
    wasi: Wasi::V0_2,
    counts_instructions: true,
    initial_end_bytes: 0,
    guest: GuestKind::Component,
};

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

/// A compiler that is a script of the shell.
fn scripted(folder: &TempDir, script: &str, allow: fn(u64, u64) -> Allowance) -> Compiler {
    let path = folder.path().join("compiler");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Compiler {
        program: Program::Path(path),
        turns: Turns::new(1),
        budget: Budget::new(100 << 20),
        allow,
        patience: Duration::ZERO,
    }
}

fn patient(_: u64, _: u64) -> Allowance {
    Allowance {
        memory_bytes: 64 << 20,
        cpu_seconds: 7,
        wall: PATIENCE,
    }
}

fn hasty(_: u64, _: u64) -> Allowance {
    Allowance {
        wall: Duration::from_millis(50),
        ..patient(0, 0)
    }
}

async fn compile(compiler: &Compiler, folder: &TempDir) -> Result<String, CompilationError> {
    let path = folder.path().join("code");
    let module = Bytes::from_static(b"module");
    loop {
        let code = File::create(&path).unwrap();
        let made = compiler
            .compile(module.clone(), TARGET, code, &Arc::default())
            .await;
        match made {
            Ok(()) => return Ok(fs::read_to_string(path).unwrap()),
            // A child that another test has just forked may still hold the script open for writing.
            Err(CompilationError::Start(error))
                if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
            Err(error) => return Err(error),
        }
    }
}

#[tokio::test]
async fn a_child_gets_the_module_and_its_limits_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"cat; echo " $1 $2 $3 $4 $5 ${HOME-unset} ${CARGO-unset}""#;
    let compiler = scripted(&folder, script, patient);
    let code = compile(&compiler, &folder).await.unwrap();
    assert_eq!(
        code,
        "module compile-one-module 67108864 7 0.2 true unset unset\n"
    );
    assert_eq!(compiler.budget.used_bytes(), 0);
}

#[tokio::test]
async fn a_killed_child_is_told_from_one_that_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("kill -XCPU $$", "used more than 7 s of CPU time"),
        ("kill -KILL $$", "used more than 64 MiB of memory"),
        ("kill -SEGV $$", "crashed on the module (signal 11)"),
        ("echo no good >&2; exit 65", "cannot be compiled: no good"),
    ];
    for (script, part) in cases {
        let compiler = scripted(&folder, script, patient);
        let error = compile(&compiler, &folder).await.unwrap_err();
        assert!(error.to_string().contains(part), "{script}: {error}");
    }
}

#[tokio::test]
async fn a_child_that_takes_too_long_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let compiler = scripted(&folder, "exec sleep 600", hasty);
    let error = compile(&compiler, &folder).await.unwrap_err();
    assert!(matches!(error, CompilationError::Time(_)), "{error}");
}

#[tokio::test]
async fn a_child_ends_with_the_one_who_wanted_it() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 600", pid_file.display());
    let compiler = scripted(&folder, &script, patient);
    let pid = {
        let compiling = compile(&compiler, &folder);
        tokio::pin!(compiling);
        tokio::select! {
            result = &mut compiling => panic!("{result:?}"),
            pid = written(&pid_file) => pid,
        }
    };
    let gone = async {
        while test_kill_process(pid).is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(compiler.budget.used_bytes(), 0);
}

/// The process whose number a script has written.
async fn written(path: &Path) -> Pid {
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n')
            && let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw)
        {
            return pid;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_pod_without_memory_compiles_later() {
    let folder = tempfile::tempdir().unwrap();
    let compiler = scripted(&folder, "exit 0", patient);
    let held = compiler.budget.charge(60 << 20);
    let error = compile(&compiler, &folder).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    drop(held);
    assert!(compile(&compiler, &folder).await.is_ok());
}

#[tokio::test]
async fn too_little_memory_is_not_held_against_the_module() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$";
    let compiler = scripted(&folder, script, patient);
    let error = compile(&compiler, &folder).await.unwrap_err();
    assert!(matches!(error, CompilationError::Memory(_)), "{error}");
    let _held = compiler.budget.charge(50 << 20);
    let error = compile(&compiler, &folder).await.unwrap_err();
    assert!(
        matches!(error, CompilationError::NoMemory { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_module_that_has_had_all_there_is_is_told_so() {
    let all = |_, most_bytes| Allowance {
        memory_bytes: most_bytes,
        ..patient(0, 0)
    };
    let folder = tempfile::tempdir().unwrap();
    let script = "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$";
    let compiler = scripted(&folder, script, all);
    // As its loader counts its bytes.
    let _held = compiler.charge(b"module".len() as u64);
    let error = compile(&compiler, &folder).await.unwrap_err();
    assert!(matches!(error, CompilationError::Memory(_)), "{error}");
}

#[tokio::test]
async fn a_compiler_that_is_not_there_may_come() {
    let folder = tempfile::tempdir().unwrap();
    let mut compiler = scripted(&folder, "", patient);
    compiler.program = Program::Path(folder.path().join("elsewhere"));
    let error = compile(&compiler, &folder).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(matches!(error, CompilationError::Start(_)), "{error}");
}
