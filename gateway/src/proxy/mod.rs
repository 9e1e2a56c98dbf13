//! From a client's request to its answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use http_body::Body;
use http_body_util::Full;
use wasmfn_crds::{
    answer::AnswerReason,
    names::{FUNCTION_HEADER, REASON_HEADER, TOKEN_HEADER},
};

use crate::{
    answer::Answer,
    client::Client,
    metrics::{GatewayMetrics, Timing},
    places::Room,
    routes::{Entrance, Route},
    token::Tokens,
    upstream::Protocol,
    world::World,
};

pub mod body;
pub mod correlation;
mod dispatch;
pub mod forwarded;
pub mod head;
pub mod headers;
mod outgoing;
mod pick;
mod round;

use body::{AnswerBody, BodyError, Budget, HeldBody, Keeping, Pace, linger};
use outgoing::Outgoing;

/// What all requests share.
#[derive(Debug)]
pub struct Gateway {
    /// Functions and pods.
    pub world: Arc<World>,
    /// What pods ask for.
    pub tokens: Arc<Tokens>,
    /// What may be kept of bodies.
    pub budget: Budget,
    /// What has happened.
    pub metrics: Arc<GatewayMetrics>,
    leaving: AtomicBool,
}

impl Gateway {
    /// A gateway that keeps at most `max_queued_bytes` of bodies.
    #[must_use]
    pub fn new(world: Arc<World>, tokens: Arc<Tokens>, max_queued_bytes: usize) -> Self {
        Self {
            world,
            tokens,
            budget: Budget::new(max_queued_bytes),
            metrics: Arc::default(),
            leaving: AtomicBool::new(false),
        }
    }

    /// From now on connections are told to close.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether it was told to go.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Bytes that are set aside for bodies.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.budget.taken()
    }

    /// Answers a client's request, of whose body something must come `within` that time whenever a
    /// pod asks for it. It has `room`, unless its function has too much of that.
    pub async fn answer<B>(
        &self,
        client: &Client,
        request: Request<B>,
        within: Duration,
        room: &Room,
    ) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let is_head = request.method() == Method::HEAD;
        let version = request.version();
        let (mut parts, body) = request.into_parts();
        let id = correlation::set(&mut parts.headers, rand::random);
        let mut response = match self.route(client.entrance, &parts) {
            Ok((route, _)) if !room.give_to(&route.function.places) => {
                let message =
                    "the function has as many requests at this gateway as it leaves to others";
                let answer = Answer::new(AnswerReason::NoCapacity, message);
                let (status, reason) = (answer.reason.status(), answer.reason.as_str());
                route.function.metrics.answered(status, Some(reason));
                leave_unread(&parts, body);
                Err(answer)
            }
            Ok((route, authority)) => {
                let protocol = outgoing::protocol(&parts.method, &parts.headers);
                let held = (!body.is_end_stream()).then(|| {
                    let pace = Pace {
                        within,
                        entrance: client.entrance,
                        metrics: self.metrics.clone(),
                    };
                    self.hold(&parts, body, &route, protocol, pace)
                });
                let outgoing = self.outgoing(parts, held, protocol, &route, &authority, client);
                self.serve(route, outgoing).await
            }
            Err(answer) => {
                self.metrics.unrouted(client.entrance, answer.reason);
                leave_unread(&parts, body);
                Err(answer)
            }
        }
        .unwrap_or_else(|answer| own(&answer, is_head, id.clone()));
        // A pod's answer, too, may be wasmfn's own.
        if response.headers().contains_key(REASON_HEADER) {
            response.headers_mut().insert(correlation::REQUEST_ID, id);
        }
        if self.is_leaving() && version < http::Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }

    /// Answers a client's request where there is no room for more.
    pub fn turn_away<B>(&self, client: &Client, request: Request<B>) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let is_head = request.method() == Method::HEAD;
        let (mut parts, body) = request.into_parts();
        let id = correlation::set(&mut parts.headers, rand::random);
        let message = "the gateway holds as many requests as it may";
        let answer = Answer::new(AnswerReason::NoCapacity, message);
        self.metrics.unrouted(client.entrance, answer.reason);
        leave_unread(&parts, body);
        own(&answer, is_head, id)
    }

    fn route(&self, entrance: Entrance, parts: &Parts) -> Result<(Arc<Route>, String), Answer> {
        let addressee = head::check(parts)?;
        let routes = self.world.routes();
        routes
            .find(entrance, &addressee.host, parts.uri.path())
            .map(|route| (route.clone(), addressee.authority))
            .ok_or_else(|| self.not_found())
    }

    /// What is said where no function is found. A gateway that knows none yet must not say for good, to a
    /// cache perhaps, that there is none.
    fn not_found(&self) -> Answer {
        if self.world.knows_functions() {
            let message = "no function answers for this host and path";
            Answer::new(AnswerReason::NotFound, message)
        } else {
            let message = "the gateway has not heard of functions yet";
            Answer::new(AnswerReason::NoCapacity, message)
        }
    }

    fn hold<B>(
        &self,
        parts: &Parts,
        body: B,
        route: &Route,
        protocol: Protocol,
        pace: Pace,
    ) -> HeldBody
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let keeping = Keeping {
            budget: &self.budget,
            account: &route.function.held,
            protocol,
            expects: parts.headers.contains_key(header::EXPECT),
            repeatable: parts.method.is_idempotent(),
            pace,
        };
        HeldBody::new(body, keeping)
    }

    fn outgoing(
        &self,
        mut parts: Parts,
        body: Option<HeldBody>,
        protocol: Protocol,
        route: &Route,
        authority: &str,
        client: &Client,
    ) -> Outgoing {
        headers::of_request(&mut parts.headers, authority, client);
        let id = &route.function.id;
        if let Ok(name) = HeaderValue::from_str(&id.name) {
            parts.headers.insert(FUNCTION_HEADER, name);
        }
        parts
            .headers
            .insert(TOKEN_HEADER, self.tokens.data(&id.namespace));
        Outgoing::new(parts, body, protocol)
    }

    async fn serve(
        &self,
        route: Arc<Route>,
        outgoing: Outgoing,
    ) -> Result<Response<AnswerBody>, Answer> {
        let function = route.function.clone();
        let timing = Timing::start(function.clone());
        let answered = self.dispatch(route, outgoing, timing).await;
        let (status, reason) = match &answered {
            Ok(response) => (
                response.status().as_u16(),
                response
                    .headers()
                    .get(REASON_HEADER)
                    .and_then(|reason| reason.to_str().ok()),
            ),
            Err(answer) => (answer.reason.status(), Some(answer.reason.as_str())),
        };
        function.metrics.answered(status, reason);
        answered
    }
}

/// Lets a client see its answer though nobody reads what it sends.
fn leave_unread<B>(parts: &Parts, body: B)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    if !parts.headers.contains_key(header::EXPECT) {
        linger(body);
    }
}

fn own(answer: &Answer, is_head: bool, id: HeaderValue) -> Response<AnswerBody> {
    tracing::debug!(request = ?id, reason = answer.reason.as_str(), "answered instead of a guest");
    let mut response = answer.response().map(|body| {
        AnswerBody::Own(if is_head {
            Full::new(Bytes::new())
        } else {
            body
        })
    });
    response.headers_mut().insert(correlation::REQUEST_ID, id);
    response
}
