//! What happens to one request on the data port.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{
    HeaderMap, HeaderValue, Request, Response, Version,
    header::{CONNECTION, EXPECT, HOST},
    response,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::sleep_until;
use wasmfn_connection::Upload;
use wasmfn_crds::{
    answer::{AnswerReason, Refusal},
    names::{FUNCTION_HEADER, TOKEN_HEADER},
    token::Purpose,
};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::{
    admission::{Admission, Admitted},
    answer::{self, AnswerBody},
    body::{self, GuestBody, RequestBody},
    ending::{Ending, Failure, Fate},
    gathered::Gathered,
    guest::{self, Guest, Host, Job, Said},
    headers,
    length::Outstanding,
    observe::{Observer, Watch},
    reuse::Pools,
    worker::Worker,
};
use crate::{
    function::{Function, FunctionTable},
    limits::Limits,
    metrics::Metrics,
    tokens::Tokens,
};

/// Whom the port believes, and which function is asked.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Gateways, by their token; they name the function.
    Gateways(Arc<Tokens>),
    /// Everyone, who all ask this function.
    Everyone(String),
}

/// Serves requests.
pub struct Handler {
    functions: Arc<FunctionTable>,
    admission: Arc<Admission>,
    trust: Trust,
    host: Host,
    metrics: Arc<Metrics>,
    observer: Option<Observer>,
    is_leaving: AtomicBool,
    is_closing: AtomicBool,
    started_at: Instant,
    /// Milliseconds from `started_at` to the last arrival.
    last_arrival: AtomicU64,
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Handler").finish_non_exhaustive()
    }
}

/// Why there is no answer of a guest.
#[derive(Debug)]
enum Instead {
    Refused(Refusal),
    Failed(Failure),
}

impl From<Refusal> for Instead {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Failure> for Instead {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Instead {
    fn answer(&self) -> Response<AnswerBody> {
        match self {
            Self::Refused(refusal) => answer::refusal(*refusal),
            Self::Failed(failure) => answer::failure(failure),
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.as_str(),
            Self::Failed(failure) => failure.reason.as_str(),
        }
    }
}

/// A request that may begin, and what to begin it on.
struct Begun {
    function: Arc<Function>,
    admitted: Admitted,
    request: Request<Incoming>,
}

impl Handler {
    /// Serves `functions` to those that `trust` names.
    #[must_use]
    pub fn new(
        functions: Arc<FunctionTable>,
        admission: Arc<Admission>,
        trust: Trust,
        host: Host,
        metrics: Arc<Metrics>,
        observer: Option<Observer>,
    ) -> Self {
        Self {
            functions,
            admission,
            trust,
            host,
            metrics,
            observer,
            is_leaving: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            started_at: Instant::now(),
            last_arrival: AtomicU64::new(0),
        }
    }

    /// Instances that wait for their next request.
    pub(super) const fn pools(&self) -> &Arc<Pools> {
        &self.host.pools
    }

    /// From now on answers tell clients not to use their connection again.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    /// From now on no request begins.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// When the last request came that began, or would have.
    #[must_use]
    pub fn last_arrival(&self) -> Instant {
        self.started_at + Duration::from_millis(self.last_arrival.load(Ordering::Relaxed))
    }

    /// Answers a request on the thread of `worker`. It counts as `upload`, if it is one, until its
    /// answer has ended.
    pub(super) async fn handle(
        &self,
        request: Request<Incoming>,
        upload: Option<Upload>,
        worker: &Arc<Worker>,
    ) -> Response<AnswerBody> {
        // HTTP/2 has a frame for it, which hyper sends when the connection is closed.
        let says_close =
            self.is_leaving.load(Ordering::Acquire) && request.version() < Version::HTTP_2;
        let mut answer = self.answer(request, upload, worker).await;
        if says_close {
            let headers = answer.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        upload: Option<Upload>,
        worker: &Arc<Worker>,
    ) -> Response<AnswerBody> {
        let (metrics, observer) = (Arc::clone(&self.metrics), self.observer.clone());
        let mut watch = Watch::new(&request, upload, metrics, observer);
        let answered = match self.begin(request, worker, &mut watch) {
            Ok(begun) => self.run(begun, worker, &mut watch).await,
            Err(instead) => Err(instead),
        };
        match answered {
            Ok((answer, guest)) => answer.map(|()| guest.watched_by(watch).boxed_unsync()),
            Err(instead) => {
                let answer = instead.answer();
                watch.instead(answer.status(), instead.word());
                answer
            }
        }
    }

    /// Decides, before anything of the body is read, whether the request may begin.
    fn begin(
        &self,
        request: Request<Incoming>,
        worker: &Worker,
        watch: &mut Watch,
    ) -> Result<Begun, Instead> {
        let function = self.function(request.headers())?;
        watch.function(&function.id().name);
        self.note_arrival();
        if self.is_closing.load(Ordering::Acquire) {
            return Err(Refusal::Leaving.into());
        }
        if headers::wants_upgrade(request.method(), request.headers()) {
            let message = "connections cannot be upgraded";
            return Err(Failure::new(AnswerReason::UpgradeRefused, message).into());
        }
        if headers::are_too_large(request.headers()) {
            let message = "the headers of the request are larger than allowed";
            return Err(Failure::new(AnswerReason::HeadersTooLarge, message).into());
        }
        if request.uri().authority().is_none() && !request.headers().contains_key(HOST) {
            let message = "the request must have a `Host`";
            return Err(Failure::new(AnswerReason::BadRequest, message).into());
        }
        let version = Admission::version(&function)?;
        let limit = version.limits().request_bytes;
        if let Some(length) = headers::content_length(request.headers())
            && length > limit
        {
            return Err(body::announced_too_large(length, limit).into());
        }
        let (pool, pools) = (worker.pool(), &self.host.pools);
        let admitted = self.admission.admit(&function, version, pool, pools)?;
        Ok(Begun {
            function,
            admitted,
            request,
        })
    }

    /// The function that is asked, if the one who asks may.
    fn function(&self, headers: &HeaderMap) -> Result<Arc<Function>, Instead> {
        let name = match &self.trust {
            Trust::Everyone(name) => name.as_str(),
            Trust::Gateways(tokens) => {
                let token = headers.get(TOKEN_HEADER).map(HeaderValue::as_bytes);
                if !tokens.matches(Purpose::Data, token.unwrap_or_default()) {
                    return Err(Refusal::Unauthorized.into());
                }
                headers
                    .get(FUNCTION_HEADER)
                    .and_then(|name| name.to_str().ok())
                    .unwrap_or_default()
            }
        };
        self.functions
            .find(name)
            .ok_or(Instead::Refused(Refusal::Unknown))
    }

    fn note_arrival(&self) {
        let now = u64::try_from(self.started_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Written at most once a millisecond, since all threads share it.
        if self.last_arrival.load(Ordering::Relaxed) < now {
            self.last_arrival.store(now, Ordering::Relaxed);
        }
    }

    /// Runs the guest until its answer begins.
    async fn run(
        &self,
        begun: Begun,
        worker: &Arc<Worker>,
        watch: &mut Watch,
    ) -> Result<(Response<()>, GuestBody), Instead> {
        let limits = begun.admitted.version.limits().clone();
        let permit = Arc::clone(&begun.admitted.permit);
        let deadline = guest::deadline(limits.timeout);
        let fate = Arc::new(Fate::default());
        let (http, method) = (begun.request.version(), begun.request.method().clone());
        let request = for_guest(begun.request, &limits, &fate);
        let mut guest = Guest::new(Job {
            host: self.host.clone(),
            worker: Arc::clone(worker),
            function: begun.function,
            admitted: begun.admitted,
            request,
            deadline,
            fate: Arc::clone(&fate),
        });
        let said = guest.answer().await;
        let (head, inner) = self.answered(said, &mut guest, &fate, &limits).await?;
        let outstanding = Outstanding::new(http, &method, head.status, &head.headers);
        // Nothing is sent yet, so what is wrong with the answer can be said instead of it.
        if let Some(flaw) = inner.flaw(outstanding, limits.response_bytes) {
            // Its instance may serve others.
            if inner.has_ended() {
                guest.go_on();
                guest.let_finish();
            }
            return Err(flaw.into());
        }
        guest.go_on();
        watch.answers(head.status);
        let body = GuestBody {
            outstanding,
            inner,
            left_bytes: limits.response_bytes,
            limit_bytes: limits.response_bytes,
            deadline: (!guest.has_ended()).then(|| Box::pin(sleep_until(deadline))),
            fate,
            guest,
            is_over: false,
            broken_off: None,
            watch: None,
            _permit: permit,
        };
        Ok((Response::from_parts(head, ()), body))
    }

    /// The answer that a guest has given, with what of its body is there at once.
    async fn answered(
        &self,
        said: Option<Said>,
        guest: &mut Guest,
        fate: &Fate,
        limits: &Limits,
    ) -> Result<(response::Parts, Gathered), Instead> {
        let answer = match (said, fate.failure()) {
            (_, Some(failure)) if guest.has_ended() => return Err(failure.clone().into()),
            (Some(Ok(answer)), _) => for_client(answer, limits)?,
            (Some(Err(code)), _) => {
                let message = format!("the function gave up with `{code:?}`");
                return Err(Failure::new(AnswerReason::Trapped, message).into());
            }
            (None, _) => return Err(self.without_answer(fate)),
        };
        let (head, body) = answer.into_parts();
        let mut body = Gathered::new(body);
        guest.gather(&mut body).await;
        // Nothing is sent yet, so what ended the guest can be said instead of its answer.
        match fate.failure() {
            Some(failure) if guest.has_ended() => Err(failure.clone().into()),
            _ => Ok((head, body)),
        }
    }

    /// What is said where the guest ended without an answer.
    fn without_answer(&self, fate: &Fate) -> Instead {
        match fate.ending() {
            Some(Ending::Failed(failure)) => failure.clone().into(),
            Some(Ending::NoSlot) => self.admission.refuse_full().into(),
            Some(Ending::NotBegun) => Refusal::Full.into(),
            Some(Ending::Returned) | None => {
                let message = "the function ended without an answer";
                Failure::new(AnswerReason::Trapped, message).into()
            }
        }
    }
}

/// The request as the guest gets it: without what belongs to wasmfn, its body counted.
fn for_guest(request: Request<Incoming>, limits: &Limits, fate: &Arc<Fate>) -> Request<AnswerBody> {
    let (mut head, body) = request.into_parts();
    headers::remove_own(&mut head.headers);
    // Between the gateway and this pod: the body is asked for when the guest reads it.
    head.headers.remove(EXPECT);
    let body = RequestBody::new(body, limits.request_bytes, Arc::clone(fate));
    Request::from_parts(head, body.boxed_unsync())
}

/// The guest's answer as the client gets it, if it is one that may be sent.
fn for_client(
    mut answer: Response<HyperOutgoingBody>,
    limits: &Limits,
) -> Result<Response<HyperOutgoingBody>, Failure> {
    let status = answer.status();
    if !headers::is_final(status) {
        let message = format!("the function answered with the status {}", status.as_u16());
        return Err(Failure::new(AnswerReason::InvalidResponse, message));
    }
    if headers::are_too_large(answer.headers()) {
        let message = "the head of the answer is larger than allowed";
        return Err(Failure::new(AnswerReason::InvalidResponse, message));
    }
    let limit = limits.response_bytes;
    if headers::content_length(answer.headers()).is_some_and(|length| length > limit) {
        return Err(body::response_too_large(limit));
    }
    let headers = answer.headers_mut();
    headers::remove_own(headers);
    headers::remove_hop_by_hop(headers);
    Ok(answer)
}
