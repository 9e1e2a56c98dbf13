//! A discount for a cart: one JSON document in, one out.

use std::io;

mod discount;

fn main() -> Result<(), serde_json::Error> {
    let input = serde_json::from_reader(io::stdin().lock())?;
    let output = discount::discounts(input);
    serde_json::to_writer(io::stdout().lock(), &output)
}
