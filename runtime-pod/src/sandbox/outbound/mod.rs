//! What guests may call: nothing but what the spec lists, at addresses that were checked.
//!
//! Every outgoing request of a guest passes [`Hooks::send_request`]: it is decided by the
//! function's [`AllowList`], its host is resolved once, each address is checked, and a checked
//! address is what is dialled.

mod address;
mod allow;
mod client;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

pub use allow::{AllowList, AllowListError};
pub use client::Outbound;

use super::GuestLog;

/// Chunks of an outgoing body that the host holds for a guest, and their size.
const BODY_CHUNKS: usize = 1;
const BODY_CHUNK_BYTES: usize = 64 << 10;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What it may call.
    pub allowed: Arc<AllowList>,
    /// Where refusals are written.
    pub log: Arc<GuestLog>,
}

/// The choke point between a guest and the network.
#[derive(Debug)]
pub(super) struct Hooks {
    outbound: Arc<Outbound>,
    caller: Caller,
}

impl Hooks {
    pub(super) const fn new(outbound: Arc<Outbound>, caller: Caller) -> Self {
        Self { outbound, caller }
    }
}

/// What drives a connection after its answer has begun.
pub(super) type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Driver)>> + Send> {
        let outbound = Arc::clone(&self.outbound);
        let caller = self.caller.clone();
        Box::new(async move {
            let target = request.uri().clone();
            let sent = outbound.send(&caller.allowed, request, options).await;
            if let Err(error) = &sent {
                let host = target.authority().map_or("", http::uri::Authority::as_str);
                caller.log.warn(
                    "OutboundFailed",
                    &format!("call to `{host}` failed: {error}"),
                );
            }
            sent
        })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BODY_CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }
}
