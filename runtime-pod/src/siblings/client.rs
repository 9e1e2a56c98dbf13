//! Asks the other pods of the runtime deployment for a module.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use http::{Request, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
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
/// How long the name may take, and one sibling to begin its answer.
const BEGIN_TIMEOUT: Duration = Duration::from_millis(300);
/// How long the bytes may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// The other pods of this runtime deployment.
#[derive(Clone)]
pub struct Siblings {
    resolver: NameResolver,
    service: String,
    tokens: Arc<Tokens>,
}

impl Siblings {
    /// Those behind the headless Service `service`.
    #[must_use]
    pub const fn new(resolver: NameResolver, service: String, tokens: Arc<Tokens>) -> Self {
        Self {
            resolver,
            service,
            tokens,
        }
    }

    /// The module's bytes, if a sibling has them: of the first that answers with them.
    pub async fn fetch(&self, digest: &str, max_bytes: u64) -> Option<Bytes> {
        let token = self.tokens.get(Purpose::Module)?;
        let lookup = timeout(BEGIN_TIMEOUT, self.resolver.lookup(&self.service));
        let mut addresses: Vec<IpAddr> = lookup.await.ok()?.ok()?;
        addresses.retain(|address| !is_own(*address));
        addresses.shuffle(&mut rand::rng());
        let mut answers: FuturesUnordered<_> = addresses
            .into_iter()
            .take(MAX_ASKED)
            .map(|address| SocketAddr::new(address, RUNTIME_MODULE_PORT))
            .map(|address| ask(address, &token, digest, max_bytes))
            .collect();
        while let Some(answer) = answers.next().await {
            if answer.is_some() {
                return answer;
            }
        }
        None
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
    let answer = timeout(BEGIN_TIMEOUT, request(address, token, digest));
    let answer = answer.await.ok()??;
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

async fn request(
    address: SocketAddr,
    token: &str,
    digest: &str,
) -> Option<http::Response<hyper::body::Incoming>> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get(format!("/v1/blobs/{digest}"))
        .header(http::header::HOST, address.to_string())
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Empty::<Bytes>::new())
        .ok()?;
    sender.send_request(request).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_knows_its_own_address() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
