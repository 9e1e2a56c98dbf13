//! How an instance of a component is made and called, by its generation of WASI.

use http::Request;
use wasmtime::{Result, Store};
use wasmtime_wasi_http::{
    WasiHttpView,
    p2::bindings::{Proxy, http::types::Scheme},
    p3::bindings::Service,
};

use super::{answer::AnswerBody, guest::Said};
use crate::{
    engine::Guest as Kind,
    sandbox::{RequestId, Sandbox},
    service::{self, Lifetime},
};

/// An instance's handler of requests.
pub(super) enum Entry {
    Proxy(Proxy),
    Service(Service),
}

impl Entry {
    /// Makes an instance of `kind` in a store. Nothing, for a command: none is called this way.
    pub(super) async fn new(kind: &Kind, store: &mut Store<Sandbox>) -> Result<Option<Self>> {
        Ok(match kind {
            Kind::Proxy(pre) => Some(Self::Proxy(pre.instantiate_async(store).await?)),
            Kind::Service(pre) => Some(Self::Service(pre.instantiate_async(store).await?)),
            Kind::Command(_) => None,
        })
    }

    /// Calls the handler and passes its answer to `say`. Where the instance is to live on, this
    /// waits until the answer needs it no more.
    pub(super) async fn call(
        &self,
        store: &mut Store<Sandbox>,
        request: Request<AnswerBody>,
        say: impl FnOnce(Said) + Send + Sync + 'static,
        lifetime: Lifetime,
    ) -> Result<()> {
        match self {
            Self::Proxy(proxy) => {
                let http = &mut store.data_mut().http();
                let request = http.new_incoming_request(Scheme::Http, request)?;
                let answer = http.new_response_outparam_from_callback(say)?;
                let handler = proxy.wasi_http_incoming_handler();
                handler.call_handle(store, request, answer).await
            }
            Self::Service(service) => {
                let begin = |answer| say(Ok(answer));
                service::handle(service, store, request, begin, lifetime).await
            }
        }
    }
}

/// The name under which what an instance writes about a request is logged.
pub(super) fn name_of(request: &Request<AnswerBody>) -> RequestId {
    RequestId::of(request.headers())
}
