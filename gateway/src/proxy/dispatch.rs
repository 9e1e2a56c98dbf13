//! How a request comes to a pod: at once, or after waiting its turn.

use std::{sync::Arc, time::Duration};

use http::Response;
use tokio::time::Instant;
use wasmfn_crds::answer::AnswerReason;

use super::{
    Gateway, Outgoing,
    body::{AnswerBody, Ended, Following},
    headers,
    round::{Outcome, Refusals, round},
};
use crate::{
    answer::Answer,
    counts::{Counted, Stage},
    endpoints::Load,
    metrics::Timing,
    queue::Place,
    routes::Route,
    upstream::PodBody,
};

/// The pod keeps `timeoutSeconds` and answers 504 itself; a pod that has not done so by this much
/// later is gone.
const TIMEOUT_SLACK: Duration = Duration::from_secs(5);

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
        let mut refusals = None;
        let mut counted = None;
        if function.queue.is_empty() {
            let mut counted_now = Counted::new(function.counts.clone(), Stage::InFlight);
            match self.try_once(&route, &outgoing, || {}).await {
                Outcome::Answered(response, load) => {
                    return Ok(finish(*response, outgoing, load, counted_now, timing));
                }
                Outcome::Own(answer) => return Err(answer),
                Outcome::Nobody(found) => refusals = Some(found),
            }
            refuse_failed(refusals)?;
            counted_now.move_to(Stage::Queued);
            counted = Some(counted_now);
        }
        let changes = self.world.changes();
        let mut counted =
            counted.unwrap_or_else(|| Counted::new(function.counts.clone(), Stage::Queued));
        let mut place = function
            .queue
            .join(route.max_queued, refusals.is_some())
            .map_err(|_| queue_full(&route))?;
        loop {
            tokio::time::timeout_at(deadline, place.turn(&changes))
                .await
                .map_err(|_| self.too_late(&route, refusals))?;
            route = self.look_again(&route)?;
            let outcome = {
                let begun = || begin(&mut place, &mut counted);
                self.try_once(&route, &outgoing, begun).await
            };
            match outcome {
                Outcome::Answered(response, load) => {
                    begin(&mut place, &mut counted);
                    return Ok(finish(*response, outgoing, load, counted, timing));
                }
                Outcome::Own(answer) => return Err(answer),
                Outcome::Nobody(found) => {
                    refusals = Some(found);
                    place.refused();
                    refuse_failed(refusals)?;
                    counted.move_to(Stage::Queued);
                }
            }
        }
    }

    async fn try_once(&self, route: &Route, outgoing: &Outgoing, begun: impl FnMut()) -> Outcome {
        let backends = self.world.endpoints().of(&route.runtime).cloned();
        let Some(backends) = backends else {
            return Outcome::Nobody(Refusals::default());
        };
        let timeout = route.timeout + TIMEOUT_SLACK;
        round(&backends, &route.function.key, outgoing, timeout, begun).await
    }

    /// The function as it is by now.
    fn look_again(&self, route: &Route) -> Result<Arc<Route>, Answer> {
        let now = self.world.routes().of(&route.function).cloned();
        let now = now.ok_or_else(|| {
            Answer::new(
                AnswerReason::Deleted,
                "the function was deleted while the request waited",
            )
        })?;
        refuse_suspended(&now)?;
        Ok(now)
    }

    fn too_late(&self, route: &Route, refusals: Option<Refusals>) -> Answer {
        let asked = refusals.is_some_and(|refusals| refusals.passing);
        let reason = if asked {
            AnswerReason::QueueTimeout
        } else {
            AnswerReason::NoCapacity
        };
        let message = format!(
            "no pod could begin the request within {} s",
            route.max_queue.as_secs()
        );
        Answer::new(reason, message)
    }
}

fn begin(place: &mut Place, counted: &mut Counted) {
    place.accepted();
    counted.move_to(Stage::InFlight);
}

fn finish(
    response: Response<PodBody>,
    outgoing: Outgoing,
    load: Load,
    counted: Counted,
    timing: Timing,
) -> Response<AnswerBody> {
    if let Some(body) = &outgoing.body {
        body.settle();
    }
    let (parts, body) = response.into_parts();
    let following = Following {
        sent: outgoing.body,
        load,
        ended: Ended(timing.function().clone()),
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
        return Err(Answer::new(
            AnswerReason::Suspended,
            "the function is suspended",
        ));
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

fn refuse_failed(refusals: Option<Refusals>) -> Result<(), Answer> {
    if refusals.is_some_and(Refusals::are_final) {
        return Err(Answer::new(
            AnswerReason::LoadFailed,
            "no version of the function could be loaded; its status says why",
        ));
    }
    Ok(())
}
