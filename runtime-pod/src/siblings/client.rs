//! Asks the other pods of the runtime deployment for modules and compiled code.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rand::seq::SliceRandom;
use tokio::{net::TcpStream, time::timeout};
use wasmfn_crds::{
    names::RUNTIME_MODULE_PORT,
    token::{Purpose, equal},
};

use super::{SIGNATURE_HEADER, signature};
use crate::{name_resolver::NameResolver, tokens::Tokens};

/// Siblings that are asked for one module.
const MAX_ASKED: usize = 3;
/// How long the name may take, and the way to a sibling: a pod that is gone does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// How long a sibling that is there may take to begin its answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an address is remembered that the name stands for no more: a pod that is leaving, or is
/// not ready, passes on what it has.
const MEMORY: Duration = Duration::from_secs(300);
/// How long the bytes may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Where siblings are.
#[derive(Clone)]
enum Peers {
    Service(Box<NameResolver>, String),
    Fixed(Vec<SocketAddr>),
}

/// The other pods of this runtime deployment.
#[derive(Clone)]
pub struct Siblings {
    peers: Peers,
    tokens: Arc<Tokens>,
    /// Addresses, and when their name stood for them last.
    known: Arc<Mutex<HashMap<IpAddr, Instant>>>,
}

impl Siblings {
    /// Those behind the headless Service `service`.
    #[must_use]
    pub fn new(resolver: NameResolver, service: String, tokens: Arc<Tokens>) -> Self {
        Self {
            peers: Peers::Service(Box::new(resolver), service),
            tokens,
            known: Arc::default(),
        }
    }

    /// Those whose module ports are at `addresses`.
    #[must_use]
    pub fn at(addresses: Vec<SocketAddr>, tokens: Arc<Tokens>) -> Self {
        Self {
            peers: Peers::Fixed(addresses),
            tokens,
            known: Arc::default(),
        }
    }

    /// The module's bytes, if a sibling has them: of the first that answers with them.
    pub async fn fetch(&self, digest: &str, max_bytes: u64) -> Option<Bytes> {
        let token = self.token()?;
        let mut answers: FuturesUnordered<_> = self
            .addresses()
            .await
            .into_iter()
            .take(MAX_ASKED)
            .map(|address| ask(address, &token, digest, max_bytes))
            .collect();
        while let Some(answer) = answers.next().await {
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    /// What siblings are shown, if it is there.
    pub(super) fn token(&self) -> Option<String> {
        self.tokens.get(Purpose::Module)
    }

    /// Module ports of the siblings, in any order.
    pub(super) async fn addresses(&self) -> Vec<SocketAddr> {
        let (resolver, service) = match &self.peers {
            Peers::Fixed(addresses) => return addresses.clone(),
            Peers::Service(resolver, service) => (resolver, service),
        };
        let found = match timeout(CONNECT_TIMEOUT, resolver.lookup(service)).await {
            Ok(Ok(addresses)) => addresses,
            _ => Vec::new(),
        };
        let mut addresses: Vec<SocketAddr> = self
            .remember(found, Instant::now())
            .into_iter()
            .filter(|address| !is_own(*address))
            .map(|address| SocketAddr::new(address, RUNTIME_MODULE_PORT))
            .collect();
        addresses.shuffle(&mut rand::rng());
        addresses
    }

    /// Adds `found` to what was found before and is not forgotten yet at `now`.
    fn remember(&self, found: Vec<IpAddr>, now: Instant) -> Vec<IpAddr> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(found.into_iter().map(|address| (address, now)));
        known.retain(|_, seen_at| now.saturating_duration_since(*seen_at) < MEMORY);
        known.keys().copied().collect()
    }
}

/// Whether this machine has `address`: then it is also the one from which it would be reached.
/// Nothing is sent.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| {
            socket.connect((address, RUNTIME_MODULE_PORT))?;
            socket.local_addr()
        })
        .is_ok_and(|local| local.ip() == address)
}

/// Asks one sibling.
pub(super) async fn ask(
    address: SocketAddr,
    token: &str,
    digest: &str,
    max_bytes: u64,
) -> Option<Bytes> {
    let head = head(address, token, &format!("/v1/blobs/{digest}")).await?;
    let answer = head.answer;
    if answer.status() != StatusCode::OK {
        return None;
    }
    let signed = answer.headers().get(SIGNATURE_HEADER)?.clone();
    let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let body = Limited::new(answer.into_body(), limit).collect();
    let bytes = timeout(BODY_TIMEOUT, body).await.ok()?.ok()?.to_bytes();
    let expected = signature(token, digest, &bytes);
    if !equal(signed.as_bytes(), expected.as_bytes()) {
        tracing::warn!(%address, digest, "a sibling's module is not signed with the namespace's token");
        return None;
    }
    tracing::debug!(%address, digest, "a sibling had the module");
    Some(bytes)
}

/// The beginning of a sibling's answer.
pub(super) struct Head {
    pub(super) answer: Response<Incoming>,
    /// This pod's address on the way to the sibling.
    pub(super) own: IpAddr,
    /// The sibling's.
    pub(super) other: IpAddr,
}

/// Asks one sibling for `path`, and waits for no more than the head of its answer.
pub(super) async fn head(address: SocketAddr, token: &str, path: &str) -> Option<Head> {
    let asking = async {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        let stream = stream.await.ok()?.ok()?;
        let own = stream.local_addr().ok()?.ip();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request = Request::get(path)
            .header(http::header::HOST, address.to_string())
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Empty::<Bytes>::new())
            .ok()?;
        let answer = sender.send_request(request).await.ok()?;
        let other = address.ip();
        Some(Head { answer, own, other })
    };
    timeout(HEAD_TIMEOUT, asking).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pod_that_leaves_is_still_asked_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path().to_owned());
        let siblings = Siblings::at(Vec::new(), tokens);
        let [old, new]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let now = Instant::now();
        assert_eq!(siblings.remember(vec![old], now), [old]);
        let later = now + MEMORY / 2;
        assert_eq!(siblings.remember(vec![new], later).len(), 2);
        assert_eq!(siblings.remember(vec![], now + MEMORY), [new]);
        assert!(siblings.remember(vec![], later + MEMORY).is_empty());
    }

    #[test]
    fn a_pod_knows_its_own_address() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
