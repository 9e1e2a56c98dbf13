//! All harm at once, for as long as one likes:
//! `SOAK_SECONDS=600 cargo test -p wasmfn-runtime --test hostile -- --ignored soak --nocapture`

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    cases::{Arena, HOSTILE},
    neighbour::harm,
    support::guests,
};

/// How long, where `SOAK_SECONDS` does not say.
const DEFAULT_SECONDS: u64 = 600;
/// Requests at the same time.
const AT_ONCE: usize = 16;
/// Growth of the process that is no leak: caches and fragments.
const MAX_GROWTH_BYTES: u64 = 64 << 20;

/// The function whose instances are shared.
const SHARED: &str = "shared";

const HARM: [(&str, &str); 20] = [
    (HOSTILE, "/"),
    (SHARED, "/count"),
    (HOSTILE, "/forever"),
    (HOSTILE, "/headers?count=250"),
    (SHARED, "/endless-streams"),
    (HOSTILE, "/large-call?count=20000000"),
    (HOSTILE, "/leak-handles"),
    (SHARED, "/half-a-length"),
    (HOSTILE, "/leak-streams"),
    (HOSTILE, "/log?count=2000"),
    (SHARED, "/endless-spawns"),
    (HOSTILE, "/panic"),
    (HOSTILE, "/random?count=100000000"),
    (SHARED, "/no-answer"),
    (HOSTILE, "/recurse?count=10000000"),
    (SHARED, "/spins-on"),
    (HOSTILE, "/trailers?count=1000"),
    (SHARED, "/trap"),
    (HOSTILE, "/trap-after"),
    (SHARED, "/works-on"),
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
                for (function, path) in HARM.iter().cycle().skip(index) {
                    if Instant::now() > until {
                        return;
                    }
                    harm(address, function, path).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    arena.world.is_idle(SHARED).await;
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
    arena.world.registry.push("r/service:1", guests::service());
    let reuse = json!({"maxConcurrent": 4, "idleSeconds": 1});
    let shared = json!({"image": "r/service:1", "limits": limits, "reuse": reuse});
    arena.world.serve(SHARED, shared).await;
    // What is allocated once is allocated by then.
    harm_for(&arena, Duration::from_secs(seconds / 5)).await;
    let before = arena.at_rest().await;
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
