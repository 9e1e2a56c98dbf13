//! WASI 0.3 services: components that export `wasi:http/handler`.

use std::future::poll_fn;

use http::{Request, Response};
use wasmtime::{Result, Store};
use wasmtime_wasi_http::{
    WasiHttpView,
    p3::{self, bindings::ServicePre},
};

use crate::{sandbox::Sandbox, serve::AnswerBody};

/// The guest answered with an error of `wasi:http` instead of a response.
#[derive(Debug, thiserror::Error)]
#[error("the function gave up with `{0}`")]
pub(crate) struct GaveUp(String);

/// Takes the answer once it begins.
pub(crate) type Begin = Box<dyn FnOnce(Response<AnswerBody>) + Send>;

/// Calls a service in an instance of its own, and lets it finish what it does after its answer has
/// begun: the rest of the body, for one.
///
/// # Errors
/// [`GaveUp`] within, or what wasmtime says of a trap.
pub(crate) async fn handle(
    service: ServicePre<Sandbox>,
    store: &mut Store<Sandbox>,
    request: Request<AnswerBody>,
    begin: Begin,
) -> Result<()> {
    let service = service.instantiate_async(&mut *store).await?;
    let (request, received) = p3::Request::from_http(store.data_mut().http().hooks, request);
    store
        .run_concurrent(async move |accessor| {
            let answer = service
                .handle(accessor, request)
                .await?
                .map_err(|code| GaveUp(format!("{code:?}")))?;
            begin(accessor.with(|store| answer.into_http(store, received))?);
            poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
            Ok(())
        })
        .await?
}
