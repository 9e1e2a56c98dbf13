//! A request in a shared instance: what goes there, and what comes back.

use http::Request;
use std::sync::Arc;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{Seat, book::Ticket};
use crate::serve::{
    admission::Permit,
    answer::AnswerBody,
    ending::{Ending, Failure, Fate},
    gathered::within_a_moment,
    guest::Said,
    site::Site,
};

/// A request on its way to a shared instance.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) request: Request<AnswerBody>,
    pub(super) ticket: Ticket,
    pub(super) fate: Arc<Fate>,
    /// For as long as nobody else is in the instance, what it leaves behind counts as this request.
    pub(super) permit: Arc<Permit>,
    pub(super) answer: oneshot::Sender<Said>,
    /// Told how the guest ended with it. Closed, where nobody waits for that any more.
    pub(super) done: oneshot::Sender<Ending>,
}

/// What a request takes along.
pub(in crate::serve) struct Luggage<'a> {
    pub(in crate::serve) request: Request<AnswerBody>,
    pub(in crate::serve) sender: oneshot::Sender<Said>,
    pub(in crate::serve) fate: &'a Arc<Fate>,
    pub(in crate::serve) permit: &'a Arc<Permit>,
    pub(in crate::serve) deadline: Instant,
}

impl Seat {
    /// Has the instance serve a request, passes its answer on and says how it ended. Dropping this
    /// leaves the instance.
    pub(in crate::serve) async fn visit(self, luggage: Luggage<'_>, site: &Site) -> Ending {
        let Luggage {
            request,
            sender,
            fate,
            permit,
            deadline,
        } = luggage;
        *self.shared.deadline() = deadline;
        let (answer, answered) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let visit = Visit {
            request,
            ticket: self.ticket,
            fate: Arc::clone(fate),
            permit: Arc::clone(permit),
            answer,
            done,
        };
        if self.shared.visits.send(visit).is_err() {
            return Ending::NotBegun;
        }
        let stay = async {
            if let Ok(said) = answered.await {
                let said = match said {
                    Ok(answer) => Ok(within_a_moment(answer).await),
                    Err(code) => Err(code),
                };
                // Where nobody waits for it any more, this is dropped.
                let _ = sender.send(said);
            }
            ended.await
        };
        tokio::select! {
            biased;
            // Nobody is left to tell it: then the ending was written down.
            ended = stay => ended.unwrap_or_else(|_| Ending::Failed(Failure::of_pod())),
            () = sleep_until(deadline) => site.too_late(),
            () = fate.stopped() => Ending::Returned,
        }
    }
}
