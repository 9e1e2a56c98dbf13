//! Requests that are in one instance at the same time, and see each other there.

use core::sync::atomic::{AtomicU32, Ordering};

use wasip3::{clocks::monotonic_clock, http::types::Response};

/// Nanoseconds between two looks at who is there: a millisecond.
const A_MOMENT: u64 = 1_000_000;

/// Requests that are here now.
static PRESENT: AtomicU32 = AtomicU32::new(0);

/// Does what `path` says, if that is one of these.
pub(crate) async fn answer(path: &str) -> Option<Response> {
    let (path, number) = path.split_once('=')?;
    let number = number.parse().ok()?;
    let _here = Here::new();
    match path {
        "/meet?of" => meet(number).await,
        "/stay?milliseconds" => Some(stay(number.into()).await),
        _ => None,
    }
}

/// Counts a request that is here.
struct Here;

impl Here {
    fn new() -> Self {
        PRESENT.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        PRESENT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits until as many as `all` have met.
async fn meet(all: u32) -> Option<Response> {
    static MET: AtomicU32 = AtomicU32::new(0);
    MET.fetch_add(1, Ordering::Relaxed);
    while MET.load(Ordering::Relaxed) < all {
        monotonic_clock::wait_for(A_MOMENT).await;
    }
    Some(crate::text("met"))
}

/// Stays for a while, and tells how many were here at the same time.
async fn stay(milliseconds: u64) -> Response {
    let mut most = 0;
    let end = monotonic_clock::now() + milliseconds * A_MOMENT;
    while monotonic_clock::now() < end {
        most = PRESENT.load(Ordering::Relaxed).max(most);
        monotonic_clock::wait_for(A_MOMENT).await;
    }
    crate::text(&most.to_string())
}
