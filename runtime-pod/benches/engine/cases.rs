//! What is compared.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{guests::Guest, ours};

/// A server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Peer {
    /// This runtime, with its default limits.
    Ours,
    /// A native axum server.
    Native,
    /// `wasmtime serve` with its defaults.
    WasmtimeServe,
}

impl Peer {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "wasmfn",
            Self::Native => "axum",
            Self::WasmtimeServe => "wasmtime serve",
        }
    }
}

/// Whether instances serve several requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reuse {
    /// Each request has its own.
    None,
    /// One after another.
    InTurn,
    /// Sixteen at the same time: what `wasmtime serve` does by default in WASI 0.3.
    Shared,
}

impl Reuse {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::InTurn => ", reuse",
            Self::Shared => ", shared",
        }
    }

    /// What a function's spec says of it.
    pub(super) fn spec(self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::InTurn => json!({}),
            Self::Shared => json!({ "maxConcurrent": 16 }),
        }
    }
}

/// One comparison.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) guest: Guest,
    pub(super) reuse: Reuse,
    /// Functions that are asked in turn, each with a module of its own.
    pub(super) functions: usize,
    /// Requests at the same time.
    pub(super) concurrency: usize,
}

/// All comparisons.
pub(super) fn all() -> Vec<Case> {
    vec![
        Case::of(Guest::Hello, 1, 1),
        Case::of(Guest::Hello, 1, 32),
        Case::of(Guest::Hello, 1, 32).with(Reuse::InTurn),
        Case::of(Guest::Hello, 1, 512),
        Case::of(Guest::HelloLargeStack, 1, 32),
        Case::of(Guest::Echo, 1, 32),
        Case::of(Guest::Service, 1, 32),
        Case::of(Guest::Service, 1, 32).with(Reuse::InTurn),
        Case::of(Guest::Service, 1, 32).with(Reuse::Shared),
        Case::of(Guest::JavaScript, 1, 32),
        Case::of(Guest::Python, 1, 32),
        Case::of(Guest::Go, 1, 32),
        Case::of(Guest::Json, 1, 1),
        Case::of(Guest::Json, 1, 32),
        Case::of(Guest::Hello, 100, 32),
        Case::of(Guest::Hello, 1000, 32),
        Case::of(Guest::Hello, 5000, 32),
    ]
}

impl Case {
    const fn of(guest: Guest, functions: usize, concurrency: usize) -> Self {
        Self {
            guest,
            reuse: Reuse::None,
            functions,
            concurrency,
        }
    }

    const fn with(self, reuse: Reuse) -> Self {
        Self { reuse, ..self }
    }

    pub(super) fn name(&self) -> String {
        format!(
            "{}{}, {} function{}, {} at a time",
            self.guest.name(),
            self.reuse.name(),
            self.functions,
            if self.functions == 1 { "" } else { "s" },
            self.concurrency
        )
    }

    /// Whether it is the one case of a command that is also called as a component.
    pub(super) const fn is_command_at_full_load(&self) -> bool {
        !self.guest.is_component() && self.concurrency > 1
    }

    /// Who takes part: with several functions, nobody else does.
    pub(super) fn peers(&self) -> Vec<Peer> {
        let mut peers = vec![Peer::Ours];
        if self.functions == 1 {
            peers.push(Peer::Native);
        }
        if self.functions == 1 && self.guest.is_component() {
            peers.push(Peer::WasmtimeServe);
        }
        peers
    }

    /// A request to the function of this number, as it goes over the wire.
    pub(super) fn request(&self, function: usize) -> Bytes {
        let (method, path, body) = self.guest.request();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nwasmfn-token: {}\r\nwasmfn-function: {}\r\n",
            ours::TOKEN,
            ours::name(function),
        );
        if !body.is_empty() {
            request += &format!("content-length: {}\r\n", body.len());
        }
        request += "\r\n";
        let mut bytes = request.into_bytes();
        bytes.extend(body);
        bytes.into()
    }
}
