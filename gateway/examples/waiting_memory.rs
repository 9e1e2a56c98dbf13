//! What requests cost a gateway that wait for a pod, each with a large body to send.
//!
//! A gateway without any pod runs in this process; the clients, in a process of their own, send as
//! much as they can. Prints the gateway's resident memory and what the kernel holds in sockets.
//!
//! ```sh
//! ulimit -n 20000
//! cargo run -p wasmfn-gateway --example waiting_memory
//! cargo run -p wasmfn-gateway --example waiting_memory -- --http2 100
//! ```

use std::{net::SocketAddr, process::Stdio, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use clap::Parser;
use http::{Request, header};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, net::TcpStream, process::Command};
use wasmfn_crds::{WasmFunction, hosts::HostRules};
use wasmfn_gateway::{
    counts::Counts,
    drain::Connections,
    listener::{Door, Intake, Rules},
    proxy::Gateway,
    routes::Entrance,
    token::Tokens,
    world::World,
};

/// Longer than the measurement.
const LONG: Duration = Duration::from_secs(600);
/// Time in which clients fill what there is to fill, once all of them wait.
const SETTLING: Duration = Duration::from_secs(5);
/// Host of the only function.
const HOST: &str = "f.n.localhost";
/// The default of the chart's `gateway.limits.maxQueuedBytes`.
const MAX_QUEUED_BYTES: usize = 64 << 20;

#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Requests that wait, over HTTP/1.1 each on a connection of its own.
    #[arg(long, default_value_t = 5000)]
    requests: usize,
    /// Bytes that each has to send.
    #[arg(long, default_value_t = 10 << 20)]
    body_bytes: usize,
    /// Over HTTP/2 instead of HTTP/1.1, so many on a connection.
    #[arg(long, value_name = "STREAMS")]
    http2: Option<usize>,
    /// Runs the clients, against this gateway.
    #[arg(long, hide = true)]
    gateway: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.gateway {
        Some(gateway) => send(&arguments, gateway).await,
        None => measure(&arguments).await,
    }
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let (address, counts) = serve(arguments.requests).await?;
    let before = resident_bytes()?;
    let mut clients = Command::new(std::env::current_exe()?);
    clients
        .args(std::env::args().skip(1))
        .args(["--gateway", &address.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let mut clients = clients.spawn().context("cannot start the clients")?;
    while counts.queued() as usize != arguments.requests {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if let Some(status) = clients.try_wait()? {
            anyhow::bail!("the clients ended: {status}");
        }
    }
    tokio::time::sleep(SETTLING).await;
    let waiting = resident_bytes()?;
    println!(
        "{} requests wait with {} MiB each to send",
        counts.queued(),
        arguments.body_bytes >> 20
    );
    println!("gateway's memory before: {} MiB", before >> 20);
    println!("gateway's memory now:    {} MiB", waiting >> 20);
    println!("memory of all sockets:   {} MiB", socket_bytes()? >> 20);
    clients.kill().await?;
    Ok(())
}

/// A gateway that knows one function and no pod.
async fn serve(requests: usize) -> anyhow::Result<(SocketAddr, Arc<Counts>)> {
    let world = Arc::new(World::new(HostRules {
        domain: "localhost".into(),
        ..HostRules::default()
    }));
    let mut function = WasmFunction::new(
        "f",
        serde_json::from_value(serde_json::json!({
            "image": "r/x:1",
            "scaling": {"maxQueued": requests, "maxQueueSeconds": LONG.as_secs()},
        }))?,
    );
    function.metadata.namespace = Some("n".into());
    world.set_functions(&[Arc::new(function)]);
    let tokens = Arc::new(Tokens::new(vec![0; 32])?);
    let gateway = Arc::new(Gateway::new(world.clone(), tokens, MAX_QUEUED_BYTES));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let door = Door {
        entrance: Entrance::Public,
        listener,
        tls: None,
        intake: Intake::new(gateway, rules(requests)),
    };
    tokio::spawn(async move { door.serve(&Connections::default()).await });
    let counts = world
        .routes()
        .functions()
        .next()
        .map(|function| function.counts.clone());
    Ok((address, counts.context("the function is not known")?))
}

fn rules(requests: usize) -> Rules {
    Rules {
        max_connections: requests,
        max_connections_per_client: None,
        // One function gets half of them.
        max_requests: 2 * requests,
        handshake_within: LONG,
        head_within: LONG,
        body_within: LONG,
        taken_within: LONG,
        idle_after: LONG,
        trusted_proxies: Vec::new(),
    }
}

/// Sends all requests, and waits for answers that never come.
async fn send(arguments: &Arguments, gateway: SocketAddr) -> anyhow::Result<()> {
    let body = Full::new(Bytes::from(vec![b'x'; arguments.body_bytes]));
    let mut waiting = tokio::task::JoinSet::new();
    while waiting.len() < arguments.requests {
        let io = TokioIo::new(TcpStream::connect(gateway).await?);
        if let Some(streams) = arguments.http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            for _ in 0..streams.min(arguments.requests - waiting.len()) {
                let request = Request::post(format!("http://{HOST}/")).body(body.clone())?;
                let mut sender = sender.clone();
                waiting.spawn(async move { sender.send_request(request).await.map(drop) });
            }
        } else {
            let (mut sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            let request = Request::post("/")
                .header(header::HOST, HOST)
                .body(body.clone())?;
            waiting.spawn(async move { sender.send_request(request).await.map(drop) });
        }
    }
    match waiting.join_next().await {
        Some(answered) => anyhow::bail!("a request was answered: {answered:?}"),
        None => Ok(()),
    }
}

/// Resident memory of this process.
fn resident_bytes() -> anyhow::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: usize = kibibytes.context("no VmRSS")?.trim().parse()?;
    Ok(kibibytes << 10)
}

/// Memory that the kernel holds for all TCP sockets of the machine, of both sides.
fn socket_bytes() -> anyhow::Result<usize> {
    /// Pages of the machines that this runs on.
    const PAGE_BYTES: usize = 4096;
    let text = std::fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"));
    let pages = line.and_then(|line| line.split(" mem ").nth(1));
    let pages: usize = pages.context("no memory of TCP sockets")?.trim().parse()?;
    Ok(pages * PAGE_BYTES)
}
