//! Many pieces of one line make it cheaper.

use serde::{Deserialize, Serialize};

/// Pieces of one line that make it cheaper, and by how much.
const PIECES: u32 = 10;
const PERCENT: u32 = 15;

/// What comes in.
#[derive(Deserialize)]
pub struct Input {
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

/// What goes out.
#[derive(Serialize)]
pub struct Output {
    discounts: Vec<Discount>,
}

#[derive(Serialize)]
struct Discount {
    line: String,
    percent: u32,
    message: String,
}

/// The discounts for a cart.
pub fn discounts(input: Input) -> Output {
    let lines = input.cart.lines.into_iter();
    let discounts = lines
        .filter(|line| line.quantity >= PIECES)
        .map(|line| Discount {
            message: format!("{PERCENT} % off for {} pieces", line.quantity),
            line: line.id,
            percent: PERCENT,
        })
        .collect();
    Output { discounts }
}
