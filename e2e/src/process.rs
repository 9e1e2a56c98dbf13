//! Runs other programs. A failure carries the end of what the program said.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;

/// How many lines of a failed program's output go into the error.
const TAIL_LINES: usize = 30;

/// A program to run. It is killed when the future that runs it is dropped.
pub struct Command {
    inner: tokio::process::Command,
    description: String,
    input: Option<Vec<u8>>,
    shows_errors: bool,
}

impl Command {
    /// `program` is looked up in `PATH` unless it is a path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let name = Path::new(program).file_name().unwrap_or(program);
        let mut inner = tokio::process::Command::new(program);
        inner.kill_on_drop(true).stdin(Stdio::null());
        Self {
            inner,
            description: name.to_string_lossy().into_owned(),
            input: None,
            shows_errors: false,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.description.push(' ');
        self.description
            .push_str(&argument.as_ref().to_string_lossy());
        self.inner.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Runs in `directory`.
    #[must_use]
    pub fn current_dir(mut self, directory: &Path) -> Self {
        self.inner.current_dir(directory);
        self
    }

    /// Gives `bytes` on standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Lets what it writes to standard error through as it comes.
    #[must_use]
    pub fn show_errors(mut self) -> Self {
        self.shows_errors = true;
        self
    }

    /// Runs it, and gives what it wrote to standard output.
    ///
    /// # Errors
    /// It could not be started, or failed: with the end of what it said.
    pub async fn output(self) -> Result<String> {
        let description = self.description.clone();
        let output = self.raw_output().await?;
        if !output.status.success() {
            bail!(failure(&description, &output));
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("`{description}` wrote something that is not UTF-8"))
    }

    /// Runs it and drops its output.
    ///
    /// # Errors
    /// As [`Self::output`].
    pub async fn run(self) -> Result<()> {
        let description = self.description.clone();
        let output = self.raw_output().await?;
        if !output.status.success() {
            bail!(failure(&description, &output));
        }
        Ok(())
    }

    /// Runs it, and gives its exit status and output, whatever they are.
    ///
    /// # Errors
    /// It could not be started.
    pub async fn raw_output(mut self) -> Result<Output> {
        self.inner.stdout(Stdio::piped());
        self.inner.stderr(if self.shows_errors {
            Stdio::inherit()
        } else {
            Stdio::piped()
        });
        if self.input.is_some() {
            self.inner.stdin(Stdio::piped());
        }
        let started = self.inner.spawn();
        let mut child = started.with_context(|| format!("cannot start `{}`", self.description))?;
        let stdin = child.stdin.take();
        let input = self.input.take();
        let feed = async move {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // A program that stops reading early says itself why.
                let _ = stdin.write_all(&input).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        output.with_context(|| format!("cannot wait for `{}`", self.description))
    }

    /// Runs it with our own standard input and output.
    ///
    /// # Errors
    /// It could not be started.
    pub async fn status(mut self) -> Result<ExitStatus> {
        self.inner.stdin(Stdio::inherit());
        let status = self.inner.status().await;
        status.with_context(|| format!("cannot start `{}`", self.description))
    }

    /// Starts it in the background; dropping the child kills it.
    ///
    /// # Errors
    /// It could not be started.
    pub fn background(mut self) -> Result<tokio::process::Child> {
        self.inner.stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = self.inner.spawn();
        child.with_context(|| format!("cannot start `{}`", self.description))
    }
}

fn failure(description: &str, output: &Output) -> String {
    let said = if output.stderr.trim_ascii().is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    format!(
        "`{description}` failed ({}): {}",
        output.status,
        tail(&String::from_utf8_lossy(said))
    )
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_carries_what_the_program_said() {
        let command = Command::new("sh").args(["-c", "echo out; echo because >&2; exit 3"]);
        let error = command.run().await.expect_err("it exits with 3");
        assert!(error.to_string().contains("because"), "{error}");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn input_reaches_the_program() {
        let command = Command::new("cat").input("hello");
        assert_eq!(command.output().await.expect("cat works"), "hello");
    }

    #[test]
    fn the_tail_is_bounded() {
        let text = (0..100).map(|line| format!("{line}\n")).collect::<String>();
        assert_eq!(tail(&text).lines().count(), TAIL_LINES);
        assert!(tail(&text).ends_with("99"));
    }
}
