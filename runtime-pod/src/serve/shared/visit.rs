//! A request in a shared instance: what goes there, and what comes back.

use http::Request;
use std::sync::Arc;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::Seat;
use crate::serve::{
    answer::AnswerBody,
    ending::{Ending, Failure, Fate},
    guest::Said,
    site::Site,
};

/// A request on its way to a shared instance.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) request: Request<AnswerBody>,
    pub(super) fate: Arc<Fate>,
    pub(super) answer: oneshot::Sender<Said>,
    /// Told how the guest ended with it. Closed, where nobody waits for that any more.
    pub(super) done: oneshot::Sender<Ending>,
    pub(super) seat: Seat,
}

impl Seat {
    /// Has the instance serve a request, passes its answer to `sender` and says how it ended. Dropping
    /// this leaves the instance.
    pub(in crate::serve) async fn visit(
        self,
        request: Request<AnswerBody>,
        sender: oneshot::Sender<Said>,
        fate: &Arc<Fate>,
        deadline: Instant,
        site: &Site,
    ) -> Ending {
        let shared = Arc::clone(&self.shared);
        shared.deadline().replace(deadline);
        let (answer, answered) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let visit = Visit {
            request,
            fate: Arc::clone(fate),
            answer,
            done,
            seat: self,
        };
        if shared.visits.send(visit).is_err() {
            return Ending::NotBegun;
        }
        let stay = async {
            if let Ok(said) = answered.await {
                // Where nobody waits for it any more, this is dropped.
                let _ = sender.send(said);
            }
            ended.await
        };
        tokio::select! {
            biased;
            ended = stay => ended.unwrap_or_else(|_| {
                let ending = shared.ending.get().cloned();
                ending.unwrap_or_else(|| Ending::Failed(Failure::of_pod()))
            }),
            () = sleep_until(deadline) => site.too_late(),
            () = fate.stopped() => Ending::Returned,
        }
    }
}
