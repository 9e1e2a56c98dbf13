//! WASI 0.3 services: components that export `wasi:http/handler`.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use wasmtime::{Result, Store, component::Accessor};
use wasmtime_wasi_http::{
    Error, WasiHttpView,
    p3::{self, bindings::Service},
};

use crate::{sandbox::Sandbox, serve::AnswerBody};

/// The guest answered with an error of `wasi:http` instead of a response.
#[derive(Debug, thiserror::Error)]
#[error("the function gave up with `{0}`")]
pub(crate) struct GaveUp(String);

/// Takes the answer once it begins.
pub(crate) type Begin = Box<dyn FnOnce(Response<AnswerBody>) + Send>;

/// How long an instance lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lifetime {
    /// It ends with its request, and the body of the answer with it.
    OneRequest,
    /// It serves further requests.
    Longer,
}

/// Calls a service, and lets it finish what it does after its answer has begun: the rest of the body,
/// for one. Where the instance lives longer, also the body that it has begun is passed on to its end,
/// since nobody works on it afterwards.
///
/// # Errors
/// [`GaveUp`] within, or what wasmtime says of a trap.
pub(crate) async fn handle(
    service: &Service,
    store: &mut Store<Sandbox>,
    request: Request<AnswerBody>,
    begin: impl FnOnce(Response<AnswerBody>) + Send,
    lifetime: Lifetime,
) -> Result<()> {
    store
        .run_concurrent(async move |accessor| {
            let answer = answer(service, accessor, request).await?;
            let over = match lifetime {
                Lifetime::OneRequest => {
                    begin(answer);
                    None
                }
                Lifetime::Longer => {
                    let (answer, over) = guarded(answer);
                    begin(answer);
                    Some(over)
                }
            };
            poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
            if let Some(over) = over {
                over.await;
            }
            Ok(())
        })
        .await?
}

/// Calls a service that others are in, and waits until the answer's body needs it no more. What the guest
/// does besides cannot be told from what it does for the others.
///
/// # Errors
/// As [`handle`].
pub(crate) async fn join(
    service: &Service,
    accessor: &Accessor<Sandbox>,
    request: Request<AnswerBody>,
    begin: impl FnOnce(Response<AnswerBody>) + Send,
) -> Result<()> {
    let (answer, over) = guarded(answer(service, accessor, request).await?);
    begin(answer);
    over.await;
    Ok(())
}

async fn answer(
    service: &Service,
    accessor: &Accessor<Sandbox>,
    request: Request<AnswerBody>,
) -> Result<Response<AnswerBody>> {
    let (request, received) =
        accessor.with(|mut store| p3::Request::from_http(store.get().http().hooks, request));
    let answer = service
        .handle(accessor, request)
        .await?
        .map_err(|code| GaveUp(format!("{code:?}")))?;
    accessor.with(|store| answer.into_http(store, received))
}

/// An answer, and what ends with its body.
fn guarded(
    answer: Response<AnswerBody>,
) -> (Response<AnswerBody>, impl Future<Output = ()> + Send) {
    let (guard, over) = oneshot::channel::<Infallible>();
    let answer = answer.map(|body| {
        Guarded {
            body,
            _guard: guard,
        }
        .boxed_unsync()
    });
    // Nothing is ever sent.
    (answer, over.map(|_| ()))
}

/// A body that tells when it is dropped.
struct Guarded {
    body: AnswerBody,
    _guard: oneshot::Sender<Infallible>,
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
