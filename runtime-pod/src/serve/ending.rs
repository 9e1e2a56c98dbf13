//! How a guest ended, written down once and read by both halves of its request.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;
use wasmfn_crds::answer::AnswerReason;

/// How a guest ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    /// It returned.
    Returned,
    /// wasmfn answers in its place.
    Failed(Failure),
    /// The pool had no slot for the instance after all.
    NoSlot,
    /// The instance that it was to share has ended before it began. That says nothing of the pod.
    NotBegun,
}

/// Why wasmfn answers instead of the guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    pub(super) reason: AnswerReason,
    /// A sentence for the client: no addresses, no stack traces.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(reason: AnswerReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// Nobody is left who could say more.
    pub(super) fn of_pod() -> Self {
        let message = "the pod failed while it served the request";
        Self::new(AnswerReason::Internal, message)
    }
}

/// A request's fate. The first ending stands.
#[derive(Debug, Default)]
pub(super) struct Fate {
    ending: OnceLock<Ending>,
    stop: Notify,
    is_request_over: AtomicBool,
}

impl Fate {
    /// Writes down how the guest ended, unless that is known already.
    pub(super) fn set(&self, ending: Ending) {
        let _ = self.ending.set(ending);
    }

    /// Writes down why the guest has to end, and ends it.
    pub(super) fn stop(&self, failure: Failure) {
        self.set(Ending::Failed(failure));
        self.stop.notify_one();
    }

    /// Waits until the guest has to end.
    pub(super) async fn stopped(&self) {
        self.stop.notified().await;
    }

    /// The body of the request was read to its end, or let go.
    pub(super) fn request_over(&self) {
        self.is_request_over.store(true, Ordering::Release);
    }

    /// Whether nobody holds on to the request's body, for which its client would wait.
    pub(super) fn is_request_over(&self) -> bool {
        self.is_request_over.load(Ordering::Acquire)
    }

    /// How the guest ended; none while it runs.
    pub(super) fn ending(&self) -> Option<&Ending> {
        self.ending.get()
    }

    /// Why wasmfn answers instead of the guest, if it has to.
    pub(super) fn failure(&self) -> Option<&Failure> {
        match self.ending() {
            Some(Ending::Failed(failure)) => Some(failure),
            _ => None,
        }
    }
}

/// Makes sure that an ending is written down.
pub(super) struct WrittenDown(Option<Arc<Fate>>);

impl WrittenDown {
    pub(super) fn new(fate: &Arc<Fate>) -> Self {
        Self(Some(Arc::clone(fate)))
    }

    /// The ending is somebody else's to write down.
    pub(super) fn pass_on(mut self) {
        self.0 = None;
    }
}

impl Drop for WrittenDown {
    fn drop(&mut self) {
        if let Some(fate) = &self.0
            && fate.ending().is_none()
        {
            fate.set(Ending::Failed(Failure::of_pod()));
        }
    }
}
