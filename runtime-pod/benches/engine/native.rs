//! A native server: axum, on one thread.

use std::net::SocketAddr;

use anyhow::Result;
use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use bytes::Bytes;
use tokio::{net::TcpListener, runtime::Builder};
use tokio_util::sync::{CancellationToken, DropGuard};

const HELLO: &str = "Hello, world!\n";

/// The server; ends when dropped.
pub(super) struct Native {
    address: SocketAddr,
    _running: DropGuard,
}

impl Native {
    /// Starts it on the core of the thread that calls.
    pub(super) fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let running = CancellationToken::new();
        let ended = running.clone();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            super::pin::to_server_core()?;
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                let router = Router::new()
                    .route("/", get(async || HELLO).post(async |_: Bytes| HELLO))
                    .route("/echo", post(async |body: Body| body));
                tokio::select! {
                    served = axum::serve(listener, router).into_future() => served?,
                    () = ended.cancelled() => {}
                }
                anyhow::Ok(())
            })
        });
        Ok(Self {
            address,
            _running: running.drop_guard(),
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}
