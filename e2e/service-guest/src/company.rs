//! Requests that are in one instance at the same time, and see each other there.

use core::sync::atomic::{AtomicU32, Ordering};

use wasip3::{clocks::monotonic_clock, http::types::{Fields, Response}, wit_bindgen, wit_stream};

/// Nanoseconds between two looks at who is there, or two pieces of a body: a millisecond.
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
        "/drip?milliseconds" => Some(drip(number.into(), || ())),
        "/drip-and-trap?milliseconds" => {
            Some(drip(number.into(), || core::arch::wasm32::unreachable()))
        }
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

/// Answers piece by piece for a while, and ends as it is told.
fn drip(milliseconds: u64, end: fn()) -> Response {
    let (mut writer, body) = wit_stream::new();
    let until = monotonic_clock::now() + milliseconds * A_MOMENT;
    wit_bindgen::spawn_local(async move {
        while monotonic_clock::now() < until {
            writer.write_all(vec![b'.']).await;
            monotonic_clock::wait_for(A_MOMENT).await;
        }
        writer.write_all(vec![b'!']).await;
        end();
    });
    crate::respond(Fields::new(), body)
}
