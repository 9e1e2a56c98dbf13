//! A discount for a cart: one JSON document in, one out.

use std::io;

use serde::{Deserialize, Serialize};

/// Pieces of one line that make it cheaper, and by how much.
const PIECES: u32 = 10;
const PERCENT: u32 = 15;

#[derive(Deserialize)]
struct Input {
    cart: Cart,
}

#[derive(Deserialize)]
struct Cart {
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    quantity: u32,
}

#[derive(Serialize)]
struct Output {
    discounts: Vec<Discount>,
}

#[derive(Serialize)]
struct Discount {
    line: String,
    percent: u32,
    message: String,
}

fn main() -> Result<(), serde_json::Error> {
    let input: Input = serde_json::from_reader(io::stdin().lock())?;
    let discounts = input
        .cart
        .lines
        .into_iter()
        .filter(|line| line.quantity >= PIECES);
    let output = Output {
        discounts: discounts
            .map(|line| Discount {
                message: format!("{PERCENT} % off for {} pieces", line.quantity),
                line: line.id,
                percent: PERCENT,
            })
            .collect(),
    };
    serde_json::to_writer(io::stdout().lock(), &output)
}
