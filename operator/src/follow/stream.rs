use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::{Request, StatusCode, header};
use http_body_util::{BodyDataStream, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::{
    codec::{FramedRead, LinesCodec, LinesCodecError},
    io::StreamReader,
    task::AbortOnDropHandle,
};
use wasmfn_crds::names::STATE_PATH;
use wasmfn_report::{LINE_MAX_BYTES, SILENCE_LIMIT};

/// How long a pod may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// First and longest pause before a stream is opened again. Short: a starting pod is to be heard
/// as soon as it listens.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

/// Why a stream could not be opened, or has ended.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The pod does not accept connections.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// It did not accept one in time.
    #[error("no connection in {} s", CONNECT_TIMEOUT.as_secs())]
    ConnectTimeout,
    /// The connection failed.
    #[error("the connection failed")]
    Http(#[from] hyper::Error),
    /// It answered something else.
    #[error("answered {0}")]
    Status(StatusCode),
    /// It said nothing for too long.
    #[error("silent for {} s", SILENCE_LIMIT.as_secs())]
    Silent,
    /// A line was too long, or the connection was lost.
    #[error("cannot read a line")]
    Line(#[from] LinesCodecError),
    /// A line was not what it should be.
    #[error("cannot understand a line")]
    Parse(#[from] serde_json::Error),
    /// The pod closed the stream.
    #[error("closed by the pod")]
    Closed,
}

/// Whose stream to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Address of the admin port.
    pub address: SocketAddr,
    /// Admin token of the pod's namespace.
    pub token: String,
}

/// What happens on a stream.
#[derive(Debug, PartialEq)]
pub enum Happening<L> {
    /// It was opened.
    Opened,
    /// A line came.
    Said(L),
    /// It has ended.
    Closed,
}

/// Reads a pod's stream, and opens it again whenever it ends, until it is dropped.
pub async fn follow<L: DeserializeOwned>(target: &Target, mut happened: impl FnMut(Happening<L>)) {
    let mut pause = PAUSES.0;
    loop {
        let mut opened = false;
        let error = read(target, |happening| {
            opened = true;
            happened(happening);
        })
        .await;
        if opened {
            happened(Happening::Closed);
            pause = PAUSES.0;
        }
        tracing::debug!(address = %target.address, error = crate::telemetry::chain(&error), "state stream ended");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn read<L: DeserializeOwned>(
    target: &Target,
    mut happened: impl FnMut(Happening<L>),
) -> StreamError {
    let result = async {
        let (_connection, lines) = open(target).await?;
        let mut lines = Box::pin(lines);
        happened(Happening::Opened);
        loop {
            let line = timeout(SILENCE_LIMIT, lines.next())
                .await
                .map_err(|_| StreamError::Silent)?
                .ok_or(StreamError::Closed)??;
            happened(Happening::Said(serde_json::from_str(&line)?));
        }
    };
    let result: Result<std::convert::Infallible, StreamError> = result.await;
    match result {
        Err(error) => error,
    }
}

/// Opens the stream; the connection lives as long as the handle.
async fn open(
    target: &Target,
) -> Result<
    (
        AbortOnDropHandle<()>,
        impl Stream<Item = Result<String, LinesCodecError>> + use<>,
    ),
    StreamError,
> {
    let socket = timeout(CONNECT_TIMEOUT, TcpStream::connect(target.address))
        .await
        .map_err(|_| StreamError::ConnectTimeout)?
        .map_err(StreamError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // Whoever reads the stream sees the fault.
        let _ = connection.await;
    }));
    let request = Request::get(STATE_PATH)
        .header(header::HOST, target.address.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {}", target.token))
        .body(Empty::<Bytes>::new())
        .expect("an address and hexadecimal digits are valid in headers");
    let answer = timeout(SILENCE_LIMIT, sender.send_request(request))
        .await
        .map_err(|_| StreamError::Silent)??;
    if answer.status() != StatusCode::OK {
        return Err(StreamError::Status(answer.status()));
    }
    let body = BodyDataStream::new(answer.into_body()).map_err(std::io::Error::other);
    let codec = LinesCodec::new_with_max_length(LINE_MAX_BYTES);
    Ok((connection, FramedRead::new(StreamReader::new(body), codec)))
}
