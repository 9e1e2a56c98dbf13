//! Guests and clients that do harm: what each gets, that a neighbour does not notice, and that
//! what they held comes back.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod calls;
mod cases;
mod clients;
mod figures;
mod loading;
mod neighbour;
mod resources;
mod services;
mod soak;
mod wat;
