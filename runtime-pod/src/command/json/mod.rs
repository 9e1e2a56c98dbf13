//! The JSON contract: one JSON document on standard input, one on standard output.

pub mod document;
mod output;

pub(super) use output::Output;
