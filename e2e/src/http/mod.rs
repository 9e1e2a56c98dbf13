//! The stories' own HTTP client, and the load that they put on functions.

mod held;
mod load;
mod open_loop;
mod resolve;
mod tally;

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

pub use held::Held;
pub use load::{LoadPlan, RunningLoad, run_load};
pub use open_loop::{Bin, OpenReport, Phase, Schedule};
use resolve::Resolver;
pub use tally::{Failure, LoadReport};

/// Error of a body that a story sends.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// Body of a request.
pub type RequestBody = BoxBody<Bytes, BodyError>;

/// How long to try to connect.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait for a whole answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(300);

/// Sends requests to one origin, such as the gateway's port on 127.0.0.1.
#[derive(Clone)]
pub struct Origin {
    base: String,
    client: Client<HttpConnector<Resolver>, RequestBody>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What came after the body.
    pub trailers: HeaderMap,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).map(HeaderValue::as_bytes);
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    }
}

impl Origin {
    /// Requests go to `base`, such as `http://127.0.0.1:18080`, over connections that are kept.
    ///
    /// # Errors
    /// This machine's DNS configuration cannot be read.
    pub fn new(base: &str) -> Result<Self> {
        let mut connector = HttpConnector::new_with_resolver(Resolver::new()?);
        connector.set_connect_timeout(Some(CONNECT_DEADLINE));
        connector.set_nodelay(true);
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// A request for `path` of the function that answers to `host`; an empty `host` leaves the origin's.
    #[must_use]
    pub fn request(&self, method: Method, host: &str, path: &str) -> RequestBuilder {
        RequestBuilder {
            origin: self.clone(),
            method,
            host: host.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: full(Bytes::new()),
        }
    }

    /// As [`Self::request`], with `GET`.
    #[must_use]
    pub fn get(&self, host: &str, path: &str) -> RequestBuilder {
        self.request(Method::GET, host, path)
    }
}

/// A request that is put together.
pub struct RequestBuilder {
    origin: Origin,
    method: Method,
    host: String,
    path: String,
    headers: Vec<(String, String)>,
    body: RequestBody,
}

impl RequestBuilder {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sends `bytes`, with their length.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = full(bytes.into());
        self
    }

    /// Sends a body of unknown length as it comes, trailers too.
    #[must_use]
    pub fn stream<B>(mut self, body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BodyError>,
    {
        self.body = body.map_err(Into::into).boxed();
        self
    }

    /// Sends it, and gives the answer as soon as its headers are there.
    ///
    /// # Errors
    /// The connection fails, or a header is not valid.
    pub async fn open(self) -> Result<Response<Incoming>> {
        let uri: Uri = format!("{}{}", self.origin.base, self.path).parse()?;
        let described = format!("{} {uri} for host {}", self.method, self.host);
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        for (name, value) in self.headers {
            let name = HeaderName::try_from(name)?;
            request
                .headers_mut()
                .append(name, HeaderValue::try_from(value)?);
        }
        if !self.host.is_empty() {
            let host = HeaderValue::from_str(&self.host)?;
            request.headers_mut().insert(http::header::HOST, host);
        }
        let answer = self.origin.client.request(request).await;
        answer.with_context(|| format!("no answer to {described}"))
    }

    /// Sends it, and reads the answer to its end.
    ///
    /// # Errors
    /// As [`Self::open`]; or the answer breaks off, or takes longer than five minutes.
    pub async fn send(self) -> Result<Answer> {
        let whole = async {
            let (head, body) = self.open().await?.into_parts();
            let body = body.collect().await.context("the answer broke off")?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
                trailers,
            })
        };
        let answer = tokio::time::timeout(ANSWER_DEADLINE, whole).await;
        answer.context("no whole answer within five minutes")?
    }
}

fn full(bytes: Bytes) -> RequestBody {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}
