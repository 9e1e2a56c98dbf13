//! All harm at once, for as long as one likes:
//! `SOAK_SECONDS=600 cargo test -p wasmfn-runtime --test hostile -- --ignored soak --nocapture`

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{cases::Arena, neighbour::harm};

/// How long, where `SOAK_SECONDS` does not say.
const DEFAULT_SECONDS: u64 = 600;
/// Requests at the same time.
const AT_ONCE: usize = 16;
/// Growth of the process that is no leak: caches and fragments.
const MAX_GROWTH_BYTES: u64 = 64 << 20;

const HARM: [&str; 12] = [
    "/",
    "/forever",
    "/headers?count=250",
    "/large-call?count=20000000",
    "/leak-handles",
    "/leak-streams",
    "/log?count=2000",
    "/panic",
    "/random?count=100000000",
    "/recurse?count=10000000",
    "/trailers?count=1000",
    "/trap-after",
];

/// Private memory of this process in bytes, and its open descriptors.
fn footprint() -> (u64, usize) {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let kibibytes: u64 = rollup
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .map(|line| {
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    (
        kibibytes << 10,
        fs::read_dir("/proc/self/fd").unwrap().count(),
    )
}

async fn harm_for(arena: &Arena, duration: Duration) {
    let until = Instant::now() + duration;
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|index| {
            let address = arena.world.address;
            tokio::spawn(async move {
                for path in HARM.iter().cycle().skip(index) {
                    if Instant::now() > until {
                        return;
                    }
                    harm(address, path).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told to"]
async fn soak() {
    let seconds = std::env::var("SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(DEFAULT_SECONDS);
    let mut arena = Arena::new().await;
    let limits = json!({
        "cpuMillisecondsPerRequest": 500, "timeoutSeconds": 2, "responseBytes": "4Mi",
    });
    arena.hostile(json!({"limits": limits})).await;
    // What is allocated once is allocated by then.
    harm_for(&arena, Duration::from_secs(seconds / 5)).await;
    // The neighbour's code was let go of meanwhile; its answer maps it again, as it will at the end.
    arena.is_well("warm", u64::MAX).await;
    let before = arena.memory();
    let (memory, descriptors) = footprint();
    harm_for(&arena, Duration::from_secs(seconds)).await;
    arena.is_well("soak", before).await;
    let (memory_after, descriptors_after) = footprint();
    println!(
        "private memory {memory} -> {memory_after}, descriptors {descriptors} -> {descriptors_after}"
    );
    assert!(memory_after < memory + MAX_GROWTH_BYTES);
    assert!(descriptors_after <= descriptors + AT_ONCE);
}
