use wstd::{
    http::{Body, Response},
    time::{Duration, Instant},
};

/// Turns between two looks at the clock.
const TURNS: u64 = 10_000;

/// Computes for so long by the clock, however little of the CPU it gets.
pub(crate) fn until(milliseconds: u64) -> Response<Body> {
    let begun = Instant::now();
    let mut rounds = 0_u64;
    while begun.elapsed() < Duration::from_millis(milliseconds) {
        turns();
        rounds += 1;
    }
    Response::new(format!("{rounds} rounds\n").into())
}

/// The same work each time, however long it takes.
pub(crate) fn work(rounds: u64) -> Response<Body> {
    for _ in 0..rounds {
        turns();
    }
    Response::new(format!("{rounds} rounds\n").into())
}

fn turns() {
    for turn in 0..TURNS {
        std::hint::black_box(turn);
    }
}
