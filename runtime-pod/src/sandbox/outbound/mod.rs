//! What guests may call: nothing but what the spec lists, at addresses that were checked.
//!
//! Every outgoing request of a guest passes [`Hooks::send_request`]: it is decided by the
//! function's [`AllowList`], its host is resolved once, each address is checked, and a checked
//! address is what is dialled.

mod address;
mod allow;
mod allowance;
mod body;
mod client;
mod connect;
mod pool;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

pub use allow::{AllowList, AllowListError};
pub(super) use allowance::Allowance;
pub use client::Outbound;
pub use connect::OwnHosts;

use super::GuestLog;
use crate::limits::Limits;

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
    allowance: Arc<Allowance>,
}

impl Hooks {
    pub(super) const fn new(
        outbound: Arc<Outbound>,
        caller: Caller,
        allowance: Arc<Allowance>,
    ) -> Self {
        Self {
            outbound,
            caller,
            allowance,
        }
    }

    /// Whether the request has called anything.
    pub(super) fn has_called(&self) -> bool {
        self.allowance.is_touched()
    }

    /// The calls of the next request have an allowance of their own.
    pub(super) fn renew(&mut self, limits: &Limits) {
        if self.has_called() {
            self.allowance = self.allowance.renewed(limits);
        }
    }
}

/// What drives a connection after its answer has begun: here nothing, since connections outlive
/// calls.
type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Driver)>> + Send> {
        let outbound = Arc::clone(&self.outbound);
        let caller = self.caller.clone();
        let allowance = Arc::clone(&self.allowance);
        Box::new(async move {
            let authority = request.uri().authority().cloned();
            let sent = outbound.send(&caller, &allowance, request, options).await;
            let answer = sent.map_err(|failed| {
                let host = authority.as_ref().map_or("", |host| host.as_str());
                let message = format!("call to `{host}` failed: {}", failed.error);
                caller.log.refused(failed.reason, &message);
                failed.error
            })?;
            let driver: Driver = Box::new(std::future::ready(Ok(())));
            Ok((answer, driver))
        })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BODY_CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }
}
