//! One round: the request is offered to one pod after another until one begins it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::Response;
use tokio::time::sleep_until;
use wasmfn_crds::{
    answer::{AnswerReason, Refusal},
    names::REFUSED_HEADER,
};

use super::{Outgoing, pick::pick};
use crate::{
    answer::Answer,
    endpoints::{Backends, Load, Pod},
    queue::Cause,
    routes::Function,
    upstream::{Connection, PodBody, Protocol, SendError},
};

/// Pods that one round tries at most: beyond, waiting is better than asking.
const PODS_MOST: usize = 6;
/// Time in which a pod takes a connection.
const CONNECT: Duration = Duration::from_secs(1);
/// A pod that has not refused within this time has begun: it refuses before it does anything else.
const BEGUN_AFTER: Duration = Duration::from_millis(20);
/// A pod that has not refused within this time gets the rest of the body over HTTP/2, where it
/// cannot say that it reads.
const OPEN_AFTER: Duration = Duration::from_millis(250);

/// What came of a round.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A pod has answered.
    Answered(Box<Response<PodBody>>, Load),
    /// The gateway answers.
    Own(Answer),
    /// No pod has begun it.
    Nobody(Refusals),
}

/// Why no pod has begun it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Refusals {
    /// So many pods said that no version can be loaded.
    failed: usize,
    /// A pod said something that time may change, or could not be asked.
    passing: bool,
    /// A pod said that it is full.
    full: bool,
}

impl Refusals {
    fn add(&mut self, refusal: Option<Refusal>) {
        match refusal {
            Some(Refusal::Failed) => self.failed += 1,
            Some(Refusal::Full) => {
                self.passing = true;
                self.full = true;
            }
            Some(
                Refusal::Unknown | Refusal::Loading | Refusal::Leaving | Refusal::Unauthorized,
            )
            | None => self.passing = true,
        }
    }

    /// These, where there are so many pods: one that is set aside, or starts, may yet begin the request.
    fn of(self, pods: usize) -> Self {
        let failed_in_some = (1..pods.min(PODS_MOST)).contains(&self.failed);
        Self {
            passing: self.passing || failed_in_some,
            ..self
        }
    }

    /// Whether waiting is of no use.
    pub(super) const fn are_final(self) -> bool {
        self.failed > 0 && !self.passing
    }

    /// Why the request has to wait.
    pub(super) const fn cause(self) -> Cause {
        match self {
            Self { full: true, .. } => Cause::Full,
            Self { passing: true, .. } | Self { failed: 1.., .. } => Cause::Loading,
            Self { .. } => Cause::NoPod,
        }
    }
}

/// What became of the request in one pod.
enum Attempt {
    Answered(Box<Response<PodBody>>, Load),
    Refused(Option<Refusal>),
    Unreachable,
    Lost,
}

/// Offers the request to pods. `begun`, if anyone has to know, is called once a pod seems to have begun it:
/// most are answered before, and a timer for each would wake a thread that waits for the network.
pub(super) async fn round(
    backends: &Backends,
    function: &Function,
    outgoing: &Outgoing,
    timeout: Duration,
    mut begun: Option<impl FnMut()>,
) -> Outcome {
    let mut tried: Vec<Arc<Pod>> = Vec::new();
    let mut refusals = Refusals::default();
    let mut lost = false;
    while tried.len() < PODS_MOST {
        let Some(pod) = pick(backends, &function.key, &tried, Instant::now()) else {
            break;
        };
        tried.push(pod.clone());
        let attempted = tokio::time::timeout(timeout, attempt(&pod, outgoing, &mut begun));
        match attempted.await {
            Ok(Attempt::Answered(response, load)) => {
                pod.note_accepted(&function.key);
                return Outcome::Answered(response, load);
            }
            Ok(Attempt::Refused(refusal)) => {
                note_refused(&pod, function, refusal);
                refusals.add(refusal);
            }
            Ok(Attempt::Unreachable) => pod.note_unreachable(Instant::now()),
            Ok(Attempt::Lost) => {
                // The client's fault, and not the pod's.
                if outgoing.has_failed() {
                    return own(AnswerReason::BadRequest, "the request broke off");
                }
                pod.note_unreachable(Instant::now());
                // Once: a request that ends pods must not end them all.
                if lost || !outgoing.is_idempotent() || !outgoing.is_whole() {
                    return own(
                        AnswerReason::PodLost,
                        "the pod went away with the request inside",
                    );
                }
                lost = true;
            }
            Err(_) => {
                return own(
                    AnswerReason::Timeout,
                    "the pod did not answer within the function's time",
                );
            }
        }
        if !outgoing.is_whole() {
            return own(
                AnswerReason::NoCapacity,
                "the pod gave the request back after its body had been passed on",
            );
        }
    }
    if lost {
        return own(
            AnswerReason::PodLost,
            "the pod went away with the request inside, and no other could begin it",
        );
    }
    Outcome::Nobody(refusals.of(backends.pods().count()))
}

fn note_refused(pod: &Pod, function: &Function, refusal: Option<Refusal>) {
    function.metrics.refused();
    let is_news = pod.note_refused(&function.key, Instant::now());
    let function = &function.key;
    tracing::debug!(pod = %pod.address, ?refusal, %function, "refused");
    if is_news && refusal == Some(Refusal::Unauthorized) {
        // One of the two has not read the new token yet, which takes the kubelet up to a minute.
        tracing::warn!(pod = %pod.address, %function, "a pod does not know this gateway's token");
    }
}

fn own(reason: AnswerReason, message: &str) -> Outcome {
    Outcome::Own(Answer::new(reason, message))
}

async fn attempt(pod: &Arc<Pod>, outgoing: &Outgoing, begun: &mut Option<impl FnMut()>) -> Attempt {
    let load = Load::new(pod.clone());
    let mut request = outgoing.attempt();
    loop {
        let (protocol, sending) = (outgoing.protocol(), outgoing.sending());
        let connecting = pod.upstream.connection(protocol, sending, CONNECT);
        let connection = match connecting.await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(
                    pod = %pod.address,
                    error = &error as &dyn std::error::Error,
                    "not reached"
                );
                return Attempt::Unreachable;
            }
        };
        let used = connection.is_used();
        match send(connection, request, outgoing, begun).await {
            Ok(response) => {
                return match refusal(&response) {
                    Some(refusal) => Attempt::Refused(refusal),
                    None => Attempt::Answered(Box::new(response), load),
                };
            }
            // The pod closed an idle connection: that says nothing about the pod.
            Err(SendError::NotSent(unsent)) if used => request = *unsent,
            Err(SendError::NotSent(_)) => return Attempt::Unreachable,
            Err(SendError::Lost(error)) => {
                tracing::debug!(
                    pod = %pod.address,
                    error = &error as &dyn std::error::Error,
                    "lost"
                );
                return Attempt::Lost;
            }
        }
    }
}

async fn send(
    connection: Connection,
    request: http::Request<super::body::AttemptBody>,
    outgoing: &Outgoing,
    begun: &mut Option<impl FnMut()>,
) -> Result<Response<PodBody>, SendError> {
    let began_at = tokio::time::Instant::now();
    let sending = connection.send(request);
    tokio::pin!(sending);
    if let Some(begun) = begun {
        tokio::select! {
            biased;
            answered = &mut sending => return answered,
            () = sleep_until(began_at + BEGUN_AFTER) => begun(),
        }
    }
    if let Some(body) = &outgoing.body
        && outgoing.protocol() == Protocol::Http2
    {
        tokio::select! {
            biased;
            answered = &mut sending => return answered,
            () = sleep_until(began_at + OPEN_AFTER) => body.open(),
        }
    }
    sending.await
}

/// Whether a pod's answer says that it did not begin; the word, if this version knows it.
fn refusal(response: &Response<PodBody>) -> Option<Option<Refusal>> {
    let word = response.headers().get(REFUSED_HEADER)?;
    Some(word.to_str().ok().and_then(Refusal::parse))
}
