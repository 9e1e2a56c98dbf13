//! How a request comes to a pod: at once, or after waiting its turn.

use std::{sync::Arc, time::Duration};

use http::Response;
use tokio::time::Instant;
use wasmfn_crds::answer::AnswerReason;

use super::{
    Gateway, Outgoing,
    body::{AnswerBody, Following},
    headers,
    round::{Outcome, Refusals, round},
};
use crate::{
    answer::Answer,
    counts::{Counted, Stage},
    endpoints::Load,
    metrics::{Timing, Waiting},
    queue::{Cause, Place, Slot},
    routes::{Function, Route},
    upstream::PodBody,
};

/// The pod keeps `timeoutSeconds` and answers 504 itself; a pod that has not done so by this much
/// later is gone.
const TIMEOUT_SLACK: Duration = Duration::from_secs(5);

const DELETED: &str = "the function was deleted while the request waited";
const SUSPENDED: &str = "the function is suspended";
const LOAD_FAILED: &str = "no version of the function could be loaded; its status says why";

impl Gateway {
    /// Brings the request to a pod.
    ///
    /// # Errors
    /// The answer that the client gets instead.
    pub(super) async fn dispatch(
        &self,
        mut route: Arc<Route>,
        outgoing: Outgoing,
        timing: Timing,
    ) -> Result<Response<AnswerBody>, Answer> {
        refuse_suspended(&route)?;
        let function = route.function.clone();
        let deadline = Instant::now() + route.max_queue;
        let mut counted = Counted::new(function.counts.clone(), Stage::InFlight);
        if let Some(body) = &outgoing.body {
            body.gather().await;
        }
        let mut heard = self.world.version();
        let mut refused = None;
        if function.queue.is_empty() {
            match self.try_once(&route, &outgoing, None::<fn()>).await {
                Outcome::Answered(response, load) => {
                    return Ok(finish(*response, outgoing, load, counted, timing, &route));
                }
                Outcome::Own(answer) => return Err(answer),
                Outcome::Nobody(refusals) => {
                    refuse_failed(refusals, &function)?;
                    refused = Some(refusals.cause());
                }
            }
        }
        counted.move_to(Stage::Queued);
        let mut place = function
            .queue
            .join(route.max_queued, refused)
            .map_err(|_| queue_full(&route))?;
        let mut waiting = Waiting::start(
            function.clone(),
            refused.unwrap_or_else(|| function.queue.cause()),
        );
        let changes = self.world.changes();
        loop {
            place.line_up(&route.turns, &changes);
            // From here on changes reach the request; those since it looked may have passed it by.
            route = self.look_again(&route)?;
            self.probe(&route);
            if self.world.version() != heard {
                function.queue.look_again();
            }
            tokio::time::timeout_at(deadline, place.turn())
                .await
                .map_err(|_| too_late(&route))?
                .map_err(dismissed)?;
            route = self.look_again(&route)?;
            heard = self.world.version();
            let outcome = {
                let begun = || begin(&mut place, &mut counted, &mut waiting);
                self.try_once(&route, &outgoing, Some(begun)).await
            };
            match outcome {
                Outcome::Answered(response, load) => {
                    begin(&mut place, &mut counted, &mut waiting);
                    return Ok(finish(*response, outgoing, load, counted, timing, &route));
                }
                Outcome::Own(answer) => return Err(answer),
                Outcome::Nobody(refusals) => {
                    place.refused(refusals.cause());
                    refuse_failed(refusals, &function)?;
                    counted.move_to(Stage::Queued);
                    waiting.resume(refusals.cause());
                }
            }
        }
    }

    async fn try_once(
        &self,
        route: &Route,
        outgoing: &Outgoing,
        begun: Option<impl FnMut()>,
    ) -> Outcome {
        let backends = self.world.endpoints().of(&route.runtime).cloned();
        let Some(backends) = backends else {
            return Outcome::Nobody(Refusals::default());
        };
        let timeout = route.timeout + TIMEOUT_SLACK;
        round(&backends, &route.function, outgoing, timeout, begun).await
    }

    /// The function as it is by now.
    fn look_again(&self, route: &Route) -> Result<Arc<Route>, Answer> {
        let now = self.world.routes().of(&route.function).cloned();
        let now = now.ok_or_else(|| Answer::new(AnswerReason::Deleted, DELETED))?;
        refuse_suspended(&now)?;
        Ok(now)
    }

    /// Tries pods that cannot be asked yet, as long as a function waits for them.
    fn probe(&self, route: &Route) {
        if let Some(backends) = self.world.endpoints().of(&route.runtime) {
            let (turns, world) = (route.turns.clone(), self.world.clone());
            backends.probe(move || !turns.is_empty(), move || world.pod_reached());
        }
    }
}

fn begin(place: &mut Place, counted: &mut Counted, waiting: &mut Waiting) {
    place.accepted();
    counted.move_to(Stage::InFlight);
    waiting.end();
}

fn too_late(route: &Route) -> Answer {
    let reason = match route.function.queue.cause() {
        Cause::NoPod => AnswerReason::NoCapacity,
        Cause::Loading | Cause::Full => AnswerReason::QueueTimeout,
    };
    let message = format!(
        "no pod could begin the request within {} s",
        route.max_queue.as_secs()
    );
    Answer::new(reason, message)
}

/// What one is told that gives up waiting.
fn dismissed(reason: AnswerReason) -> Answer {
    let message = match reason {
        AnswerReason::Deleted => DELETED,
        AnswerReason::Suspended => SUSPENDED,
        AnswerReason::LoadFailed => LOAD_FAILED,
        _ => "the gateway is leaving, and no pod could begin the request in time",
    };
    Answer::new(reason, message)
}

fn finish(
    response: Response<PodBody>,
    outgoing: Outgoing,
    load: Load,
    counted: Counted,
    timing: Timing,
    route: &Route,
) -> Response<AnswerBody> {
    if let Some(body) = &outgoing.body {
        body.settle();
    }
    let (parts, body) = response.into_parts();
    let following = Following {
        sent: outgoing.body,
        slot: Slot {
            function: route.function.clone(),
            pod: load.pod().clone(),
            turns: route.turns.clone(),
        },
        load,
        counted,
        timing,
    };
    let mut response = Response::new(AnswerBody::pod(body, following));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    headers::of_response(response.headers_mut());
    response
}

fn refuse_suspended(route: &Route) -> Result<(), Answer> {
    if route.suspended {
        return Err(Answer::new(AnswerReason::Suspended, SUSPENDED));
    }
    Ok(())
}

fn queue_full(route: &Route) -> Answer {
    Answer::new(
        AnswerReason::QueueFull,
        format!(
            "no pod can begin the request, and {} wait already",
            route.max_queued
        ),
    )
}

/// Where no version can be loaded, all that wait for one give up.
fn refuse_failed(refusals: Refusals, function: &Function) -> Result<(), Answer> {
    if refusals.are_final() {
        function.queue.dismiss(AnswerReason::LoadFailed);
        return Err(Answer::new(AnswerReason::LoadFailed, LOAD_FAILED));
    }
    Ok(())
}
