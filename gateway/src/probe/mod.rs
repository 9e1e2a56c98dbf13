//! `wasmfn-gateway probe`: asks a URL until it answers with the expected status. The images hold
//! nothing but our binaries, so the chart's test uses this one.

mod tls;

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Request, StatusCode, Uri, header, uri::Authority, uri::Scheme};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};

/// Time between two questions.
const PAUSE: Duration = Duration::from_millis(500);
/// Time for all of them.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time for one of them.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What to ask, and what to expect.
#[derive(Args, Clone, Debug)]
pub struct Probe {
    /// `http://ADDRESS[:PORT]/PATH` or `https://ADDRESS[:PORT]/PATH`, with whatever certificate
    #[arg(long)]
    pub url: Uri,
    /// Value of the header `host`, where it is not the URL's.
    #[arg(long)]
    pub host: Option<String>,
    /// The status that ends the questions.
    #[arg(long)]
    pub expect_status: StatusCode,
}

/// The expected status did not come.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The URL or host cannot be asked.
    #[error("`{0}` must be {1}")]
    Argument(&'static str, &'static str),
    /// Another status came, to the end.
    #[error("{url} answered {found}, not {expected}")]
    Status {
        /// What was asked.
        url: Uri,
        /// What it answered last.
        found: StatusCode,
        /// What it should have answered.
        expected: StatusCode,
    },
    /// No connection, to the end.
    #[error("{url} cannot be reached")]
    Connect {
        /// What was asked.
        url: Uri,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No TLS, to the end.
    #[error("{url} speaks no TLS")]
    Tls {
        /// What was asked.
        url: Uri,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No answer, to the end.
    #[error("{url} does not answer")]
    Http {
        /// What was asked.
        url: Uri,
        /// Why not.
        #[source]
        source: hyper::Error,
    },
    /// No answer in time, to the end.
    #[error("{url} does not answer within {} s", ANSWER_WITHIN.as_secs())]
    Time {
        /// What was asked.
        url: Uri,
    },
}

/// Asks again and again.
///
/// # Errors
/// What went wrong the last time.
pub async fn run(probe: &Probe) -> Result<(), ProbeError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = tokio::time::timeout(ANSWER_WITHIN, ask(probe))
            .await
            .unwrap_or_else(|_| {
                Err(ProbeError::Time {
                    url: probe.url.clone(),
                })
            });
        match asked {
            Err(error @ ProbeError::Argument(..)) => return Err(error),
            Err(error) if Instant::now() + PAUSE > deadline => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
            Ok(()) => {
                println!("{} answered {}", probe.url, probe.expect_status);
                return Ok(());
            }
        }
    }
}

async fn ask(probe: &Probe) -> Result<(), ProbeError> {
    const URL: &str = "an http or https URL with a host";
    let url = &probe.url;
    let is_tls = match url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => false,
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        _ => return Err(ProbeError::Argument("--url", URL)),
    };
    let target = url.host().ok_or(ProbeError::Argument("--url", URL))?;
    let target = target.trim_start_matches('[').trim_end_matches(']');
    let host = match (&probe.host, url.authority()) {
        (Some(host), _) => host.parse().ok(),
        (None, authority) => authority.cloned(),
    };
    let host: Authority = host.ok_or(ProbeError::Argument("--host", "a host"))?;
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream =
        TcpStream::connect((target, port))
            .await
            .map_err(|source| ProbeError::Connect {
                url: url.clone(),
                source,
            })?;
    let found = if is_tls {
        let secured = tls::connect(stream, host.host()).await;
        let secured = secured.map_err(|source| ProbeError::Tls {
            url: url.clone(),
            source,
        })?;
        get(url, &host, secured).await?
    } else {
        get(url, &host, stream).await?
    };
    if found == probe.expect_status {
        return Ok(());
    }
    Err(ProbeError::Status {
        url: url.clone(),
        found,
        expected: probe.expect_status,
    })
}

/// The status of one answer.
async fn get<S>(url: &Uri, host: &Authority, stream: S) -> Result<StatusCode, ProbeError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let http = |source| ProbeError::Http {
        url: url.clone(),
        source,
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(http)?;
    let connection = tokio::spawn(connection);
    let host = HeaderValue::from_str(host.as_str());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(
            header::HOST,
            host.map_err(|_| ProbeError::Argument("--host", "a host"))?,
        )
        .body(Empty::<Bytes>::new())
        .map_err(|_| ProbeError::Argument("--url", "a URL with a path"))?;
    let response = sender.send_request(request).await.map_err(http)?;
    connection.abort();
    Ok(response.status())
}
