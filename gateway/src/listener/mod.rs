//! Connections of clients: accepted up to a bound, served as HTTP/1.1 or HTTP/2, with TLS or
//! without.
//!
//! Bytes come through [`Watched`] (clients that go, or do not read), TLS ([`tls`]) and, for
//! HTTP/1.1, `guard` (strict framing, slow heads) to hyper; requests through `exchange` to the
//! [`Gateway`].

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::uri::Scheme;
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulConnection};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use wasmfn_connection::{Uploads, Watched};

use crate::{
    client::Client,
    drain::{Connections, Member},
    metrics::{Connected, Fault},
    places::Places,
    proxy::Gateway,
    routes::Entrance,
};

mod activity;
mod exchange;
mod framing;
mod guard;
mod limit;
mod preface;
mod protocol;
mod rules;
pub mod tls;

use activity::Activity;
use exchange::Exchange;
use guard::Guard;
use limit::PerClient;
pub use rules::Rules;

/// Pause after the kernel could not give a connection, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A connection that was told to end, and has no request open, is closed after so long.
const GOODBYE: Duration = Duration::from_secs(5);

/// What all doors share.
#[derive(Debug)]
pub struct Intake {
    gateway: Arc<Gateway>,
    rules: Rules,
    permits: Arc<Semaphore>,
    per_client: Arc<PerClient>,
    places: Arc<Places>,
}

impl Intake {
    /// Takes clients in for `gateway`, by these rules.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, rules: Rules) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(rules.max_connections)),
            per_client: PerClient::new(rules.max_connections_per_client),
            places: Places::new(rules.max_requests),
            gateway,
            rules,
        })
    }
}

/// One of the gateway's doors.
#[derive(Debug)]
pub struct Door {
    /// Where it leads.
    pub entrance: Entrance,
    /// The socket.
    pub listener: TcpListener,
    /// Where clients speak TLS: how.
    pub tls: Option<Arc<ServerConfig>>,
    /// What it shares with the others.
    pub intake: Arc<Intake>,
}

impl Door {
    /// Accepts connections for ever, each served by a task of its own, which `connections` can
    /// ask to end.
    pub async fn serve(&self, connections: &Connections) {
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let metrics = self.intake.gateway.metrics.clone();
            let Some(place) = self.intake.per_client.take(peer.ip()) else {
                metrics.fault(self.entrance, Fault::TooManyConnections);
                continue;
            };
            // Taken after accepting: a door that waits for clients must not hold a permit.
            let Ok(permit) = self.intake.permits.clone().acquire_owned().await else {
                return;
            };
            let connection = Connection {
                peer,
                client: self.client(peer),
                activity: Activity::new(self.entrance, metrics.clone()),
                uploads: Arc::default(),
                intake: self.intake.clone(),
            };
            let (tls, member) = (self.tls.clone(), connections.join());
            tokio::spawn(async move {
                let _held = (permit, place, Connected::new(metrics));
                connection.serve(stream, tls, member).await;
            });
        }
    }

    fn client(&self, peer: SocketAddr) -> Client {
        let scheme = if self.tls.is_some() {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        let proxies = &self.intake.rules.trusted_proxies;
        Client::new(self.entrance, peer.ip(), scheme, proxies)
    }
}

/// One connection.
struct Connection {
    peer: SocketAddr,
    client: Client,
    activity: Arc<Activity>,
    uploads: Arc<Uploads>,
    intake: Arc<Intake>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<Arc<ServerConfig>>, member: Member) {
        let peer = self.peer;
        let served = match tls {
            Some(config) => Box::pin(self.serve_tls(stream, config.into(), member)).await,
            None => Box::pin(self.serve_plain(stream, member)).await,
        };
        if let Err(error) = served {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a connection has ended");
        }
    }

    async fn serve_plain(self, stream: TcpStream, mut member: Member) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let http2 = {
            let mut begun = pin!(preface::speaks_http2(&stream));
            tokio::select! {
                biased;
                begun = begun.as_mut() => begun?,
                () = tokio::time::sleep(self.intake.rules.idle_after) => {
                    self.activity.note(Fault::Idle);
                    return Ok(());
                }
                // Its first request may be under way.
                () = member.told_to_end() => in_time(GOODBYE, begun).await?,
            }
        };
        let stream = self.watched(stream);
        self.serve_http(stream, http2, member).await
    }

    async fn serve_tls(
        self,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        member: Member,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let handshake = acceptor.accept(self.watched(stream));
        let stream = in_time(self.intake.rules.handshake_within, handshake)
            .await
            .inspect_err(|_| self.activity.note(Fault::Handshake))?;
        let http2 = tls::agreed_on_http2(stream.get_ref().1);
        self.serve_http(stream, http2, member).await
    }

    fn watched(&self, stream: TcpStream) -> Watched<impl Fn() + use<>> {
        let within = self.intake.rules.taken_within;
        let activity = self.activity.clone();
        let note_slow = move || activity.note(Fault::SlowReader);
        Watched::new(stream, self.uploads.clone(), within, note_slow)
    }

    async fn serve_http<S>(self, stream: S, http2: bool, member: Member) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let rules = &self.intake.rules;
        let client = Arc::new(self.client);
        let taken_within = http2.then_some(rules.taken_within);
        let service = service_fn(|request: Request<Incoming>| {
            let (upload, room) = (self.uploads.open(&request), self.intake.places.take());
            let exchange = Exchange::begin(self.activity.clone(), upload, room);
            let (gateway, client) = (self.intake.gateway.clone(), client.clone());
            let within = rules.body_within;
            async move {
                let response = match exchange.room() {
                    Some(room) => gateway.answer(&client, request, within, room).await,
                    None => gateway.turn_away(&client, request),
                };
                Ok::<_, Infallible>(exchange.answer(response, taken_within))
            }
        });
        let idle_after = rules.idle_after;
        if http2 {
            let connection = protocol::http2().serve_connection(TokioIo::new(stream), service);
            converse(connection, &self.activity, idle_after, member).await
        } else {
            let guarded = Guard::new(stream, rules.head_within, self.activity.clone());
            let connection = protocol::http1().serve_connection(TokioIo::new(guarded), service);
            converse(connection, &self.activity, idle_after, member).await
        }
    }
}

/// Serves requests until the client goes, or the connection has to end.
async fn converse<C>(
    connection: C,
    activity: &Activity,
    idle_after: Duration,
    mut member: Member,
) -> io::Result<()>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return over(ended, activity),
        () = member.told_to_end() => {}
        () = activity.idle(idle_after) => activity.note(Fault::Idle),
        // Others of its requests may be in earnest: they are finished, and no new ones taken.
        () = activity.flooded() => activity.note(Fault::ResetFlood),
    }
    connection.as_mut().graceful_shutdown();
    // From now on it has a while to see that.
    activity.touch();
    tokio::select! {
        biased;
        ended = connection.as_mut() => over(ended, activity),
        () = activity.idle(GOODBYE) => Ok(()),
        () = activity.flooded() => {
            activity.note(Fault::ResetFlood);
            Ok(())
        }
    }
}

async fn in_time<T>(within: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(within, work)
        .await
        .unwrap_or_else(|late| Err(late.into()))
}

/// What a connection has ended with. What hyper itself refused is noted.
fn over(ended: Result<(), hyper::Error>, activity: &Activity) -> io::Result<()> {
    ended.map_err(|error| {
        if error.is_parse_too_large() {
            activity.note(Fault::HeadTooLarge);
        } else if error.is_parse() {
            activity.note(Fault::Malformed);
        }
        io::Error::other(error)
    })
}
