//! What a neighbour waits beside each kind of harm, printed as a table and never judged, since the
//! machine may be shared:
//! `cargo test --release -p wasmfn-runtime --test hostile -- --ignored neighbour_figures --nocapture`

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rustix::process::nice;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::{
    cases::{Arena, NEIGHBOUR},
    neighbour::Harm,
    support::{client::Connection, guests},
    wat::handler,
};

/// Requests that percentiles are taken of, at least.
const REQUESTS: usize = 1000;
/// And for how long they are taken, at least: harm that ends begins again several times.
const LENGTH: Duration = Duration::from_secs(2);
/// Connections of the neighbour, which the kernel spreads over the pod's threads.
const CONNECTIONS: usize = 8;
/// Hostile requests at the same time.
const AT_ONCE: usize = 16;
const SPINNERS: usize = 100;
const SPIN: &str = "(loop $again (br $again))";

/// Paths of the hostile 0.2 component.
const COMPONENT: [&str; 9] = [
    "/forever",
    "/large-call?count=20000000",
    "/leak-handles",
    "/leak-streams",
    "/log?count=20000",
    "/panic",
    "/random?count=1000000",
    "/recurse?count=10000000",
    "/trailers?count=1000",
];
/// Paths of the 0.3 service.
const SERVICE: [&str; 6] = [
    "/no-answer",
    "/endless-tasks",
    "/endless-spawns",
    "/endless-streams",
    "/works-on",
    "/spins-on",
];

/// How long answers took.
#[derive(Clone, Copy)]
struct Times {
    count: usize,
    p50: Duration,
    p99: Duration,
}

impl Times {
    /// Those of the neighbour, asked again and again from a thread that does nothing else.
    async fn of_neighbour(arena: &Arena) -> Self {
        let address = arena.world.address;
        let asking = tokio::task::spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(ask_neighbour(address))
        });
        let mut times = asking.await.unwrap();
        times.sort_unstable();
        Self {
            count: times.len(),
            p50: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
        }
    }

    /// What the 99th percentile may be, where this is what it is when nothing happens.
    fn goal(self) -> Duration {
        (2 * self.p99).max(self.p99 + Duration::from_millis(5))
    }

    fn print(self, beside: &str, goal: Duration) {
        let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
        println!(
            "| {beside} | {} | {} | {} | {} |",
            self.count,
            milliseconds(self.p50),
            milliseconds(self.p99),
            if self.p99 <= goal { "yes" } else { "no" }
        );
    }
}

async fn ask_neighbour(address: SocketAddr) -> Vec<Duration> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(address).await);
    }
    let begun_at = Instant::now();
    let mut times = Vec::with_capacity(REQUESTS);
    while times.len() < REQUESTS || begun_at.elapsed() < LENGTH {
        let connection = &mut connections[times.len() % CONNECTIONS];
        let asked_at = Instant::now();
        let answer = connection.get(NEIGHBOUR, "/").await;
        times.push(asked_at.elapsed());
        assert_eq!(answer.status, 200);
    }
    times
}

fn limits() -> Value {
    json!({"cpuMillisecondsPerRequest": 500, "timeoutSeconds": 5, "memoryPerRequest": "32Mi"})
}

/// Clients that do harm, elsewhere if it were a cluster: here they give way to the pod.
fn harmful_clients() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(|| {
            nice(19).unwrap();
        })
        .build()
        .unwrap()
}

struct Figures {
    arena: Arena,
    clients: Runtime,
    goal: Duration,
}

impl Figures {
    async fn beside(&self, name: &str, path: &'static str, at_once: usize) {
        let harm = {
            let _clients = self.clients.enter();
            Harm::start(self.arena.world.address, path, at_once)
        };
        let times = Times::of_neighbour(&self.arena).await;
        harm.stop().await;
        times.print(&format!("{at_once} x {name}"), self.goal);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and says nothing on a busy machine"]
async fn neighbour_figures() {
    let arena = Arena::new().await;
    // Not counted: pools and caches fill.
    Times::of_neighbour(&arena).await;
    let quiet = Times::of_neighbour(&arena).await;
    let goal = quiet.goal();
    println!("| beside | requests | p50 | p99 | within {goal:?} |\n|---|---|---|---|---|");
    quiet.print("nothing", goal);
    let clients = harmful_clients();
    let mut figures = Figures {
        arena,
        clients,
        goal,
    };
    figures.arena.hostile(json!({"limits": limits()})).await;
    for path in COMPONENT {
        figures.beside(path, path, AT_ONCE).await;
    }
    let (service, spinner) = (guests::service(), handler("", SPIN));
    figures.arena.module("service", service, limits()).await;
    for path in SERVICE {
        figures.beside(&format!("0.3 {path}"), path, AT_ONCE).await;
    }
    figures.arena.module("spin", spinner, limits()).await;
    for at_once in [AT_ONCE, SPINNERS] {
        figures.beside("spinner", "/", at_once).await;
    }
    let again = Times::of_neighbour(&figures.arena).await;
    again.print("nothing, again", goal);
    figures.clients.shutdown_background();
}
