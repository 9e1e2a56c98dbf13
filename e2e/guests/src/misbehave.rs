use wstd::http::{Body, Response};

const PAGE_BYTES: usize = 1 << 20;

pub(crate) fn trap() -> Response<Body> {
    core::arch::wasm32::unreachable()
}

pub(crate) fn spin() -> Response<Body> {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

pub(crate) fn grow() -> Response<Body> {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1; PAGE_BYTES]));
    }
}

pub(crate) fn log(lines: u64) -> Response<Body> {
    for line in 0..lines {
        println!("line {line}");
    }
    Response::new(format!("{lines} lines\n").into())
}
