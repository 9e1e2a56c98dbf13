//! Asking a registry for one thing: with the right login, over redirects, again where that helps.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;

use super::authentication::Authenticator;
use super::challenge::challenges;
use super::credentials::Login;
use super::error::{RegistryError, Said};
use super::plain_http::PlainHttpRegistries;
use super::reference::Reference;
use super::retry;
use super::transport::{Received, Transport};

const REDIRECTS_MAX: usize = 5;
/// How much of an error's body is read for its code, in bytes.
const ERROR_MAX_BYTES: u64 = 64 << 10;
/// Longest error code that is passed on; those of the specification have at most 21 letters.
const CODE_MAX_BYTES: usize = 48;

/// What a registry is asked for.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) reference: &'a Reference,
    /// Below `/v2/REPOSITORY/`.
    pub(super) path: String,
    pub(super) accept: Option<&'static str>,
    /// The most to read of the answer, in bytes.
    pub(super) max_bytes: u64,
    /// What is sent, and its media type.
    pub(super) content: Option<(&'static str, Bytes)>,
    /// Where the registry itself has said to ask, in place of `path`.
    pub(super) at: Option<Uri>,
    /// For errors.
    pub(super) what: String,
}

/// A good answer.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Received,
}

/// Asks registries.
pub(super) struct Exchange {
    transport: Transport,
    authenticator: Authenticator,
    plain_http: PlainHttpRegistries,
}

impl Exchange {
    pub(super) fn new(transport: Transport, plain_http: PlainHttpRegistries) -> Self {
        let authenticator = Authenticator::new(transport.clone(), plain_http.clone());
        Self {
            transport,
            authenticator,
            plain_http,
        }
    }

    /// Asks, and again after failures that pass.
    pub(super) async fn ask(
        &self,
        ask: &Ask<'_>,
        logins: &[&Login],
    ) -> Result<Answer, RegistryError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let started = Instant::now();
            match self.with_any(ask, logins).await {
                Ok(answer) => return Ok(answer),
                Err(error) => match retry::pause(attempts, started.elapsed(), &error) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(error),
                },
            }
        }
    }

    /// With each login in turn until one is let in; as nobody where there is none.
    async fn with_any(&self, ask: &Ask<'_>, logins: &[&Login]) -> Result<Answer, RegistryError> {
        let Some((last, others)) = logins.split_last() else {
            return self.with_login(ask, None).await;
        };
        for login in others {
            match self.with_login(ask, Some(login)).await {
                Err(RegistryError::Denied { .. } | RegistryError::NotFound { .. }) => {}
                decided => return decided,
            }
        }
        self.with_login(ask, Some(last)).await
    }

    async fn with_login(
        &self,
        ask: &Ask<'_>,
        login: Option<&Login>,
    ) -> Result<Answer, RegistryError> {
        let known = self.authenticator.known(ask.reference, login);
        let mut reply = self.follow(ask, known).await?;
        if reply.response.status() == StatusCode::UNAUTHORIZED && reply.by_registry {
            self.authenticator.forget(ask.reference, login);
            let challenges = challenges(reply.response.headers());
            let authorization = self
                .authenticator
                .answer(&challenges, ask.reference, login)
                .await?;
            if authorization.is_some() {
                reply = self.follow(ask, authorization).await?;
            }
            if reply.response.status() == StatusCode::UNAUTHORIZED {
                self.authenticator.forget(ask.reference, login);
            }
        }
        self.finish(ask, login, reply).await
    }

    /// Sends the request, to wherever the registry redirects it. What authorises it stays with the
    /// registry: another host never sees it.
    async fn follow(
        &self,
        ask: &Ask<'_>,
        authorization: Option<HeaderValue>,
    ) -> Result<Reply, RegistryError> {
        let mut uri = self.uri(ask)?;
        let mut by_registry = self.is_registry(ask, &uri);
        for _ in 0..=REDIRECTS_MAX {
            let mut request = Request::new(Full::default());
            if let Some((kind, bytes)) = &ask.content {
                *request.body_mut() = Full::new(bytes.clone());
                let kind = HeaderValue::from_static(kind);
                request.headers_mut().insert(CONTENT_TYPE, kind);
            }
            *request.method_mut() = ask.method.clone();
            *request.uri_mut() = uri.clone();
            if let Some(accept) = ask.accept {
                request
                    .headers_mut()
                    .insert(ACCEPT, HeaderValue::from_static(accept));
            }
            if let Some(authorization) = authorization.as_ref().filter(|_| by_registry) {
                request
                    .headers_mut()
                    .insert(AUTHORIZATION, authorization.clone());
            }
            let server = uri.authority().map_or("", |authority| authority.as_str());
            let response = self.transport.send(request, server).await?;
            if !is_redirect(response.status()) {
                let server = if by_registry {
                    ask.reference.registry()
                } else {
                    server
                };
                return Ok(Reply {
                    server: server.to_owned(),
                    response,
                    by_registry,
                });
            }
            uri = self.redirected(ask, &uri, response.headers())?;
            by_registry &= self.is_registry(ask, &uri);
        }
        Err(ask.invalid(format!("more than {REDIRECTS_MAX} redirects")))
    }

    /// Where the answer to `ask` says to go on.
    pub(super) fn next(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Uri, RegistryError> {
        self.redirected(ask, &self.uri(ask)?, &answer.headers)
    }

    fn uri(&self, ask: &Ask<'_>) -> Result<Uri, RegistryError> {
        if let Some(at) = &ask.at {
            return Ok(at.clone());
        }
        let authority = ask.reference.authority();
        Uri::builder()
            .scheme(self.plain_http.scheme(authority))
            .authority(authority)
            .path_and_query(format!("/v2/{}/{}", ask.reference.repository(), ask.path))
            .build()
            .map_err(|_| ask.invalid("no URL can be made of the reference".to_owned()))
    }

    /// Whether it is the registry itself that is asked there.
    fn is_registry(&self, ask: &Ask<'_>, uri: &Uri) -> bool {
        let authority = ask.reference.authority();
        uri.scheme() == Some(&self.plain_http.scheme(authority))
            && uri.authority().is_some_and(|found| found == authority)
    }

    fn redirected(
        &self,
        ask: &Ask<'_>,
        from: &Uri,
        headers: &HeaderMap,
    ) -> Result<Uri, RegistryError> {
        let target = headers
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| target(from, location))
            .ok_or_else(|| ask.invalid("a redirect to no URL".to_owned()))?;
        if self.plain_http.permits(&target) {
            return Ok(target);
        }
        Err(ask.invalid("a redirect to neither HTTPS nor a listed plain-HTTP registry".to_owned()))
    }

    async fn finish(
        &self,
        ask: &Ask<'_>,
        login: Option<&Login>,
        reply: Reply,
    ) -> Result<Answer, RegistryError> {
        let Reply {
            server, response, ..
        } = reply;
        let status = response.status();
        let headers = response.headers().clone();
        if ask.is_done(status) {
            let body = self
                .transport
                .read(response, ask.max_bytes, &server)
                .await?;
            return Ok(Answer { headers, body });
        }
        let code = match self
            .transport
            .read(response, ERROR_MAX_BYTES, &server)
            .await
        {
            Ok(body) => error_code(&body.bytes),
            Err(_) => None,
        };
        Err(refusal(
            &server,
            ask.what.clone(),
            Said { status, code },
            retry::retry_after(&headers),
            login.map(|login| login.user.clone()),
        ))
    }
}

struct Reply {
    /// Who gave it, for errors.
    server: String,
    response: Response<Incoming>,
    /// Whether it is the registry's own: only then its challenge is answered.
    by_registry: bool,
}

impl Ask<'_> {
    /// Whether an answer of this status is what was asked for: what is written may be taken in several ways.
    fn is_done(&self, status: StatusCode) -> bool {
        match self.content {
            Some(_) => status.is_success(),
            None => status == StatusCode::OK,
        }
    }

    pub(super) fn invalid(&self, problem: String) -> RegistryError {
        RegistryError::InvalidAnswer {
            registry: self.reference.registry().to_owned(),
            what: self.what.clone(),
            problem,
        }
    }
}

const fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a `Location` leads: a URL, or a path on the same host.
fn target(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next()?;
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{}://{rest}", from.scheme_str()?).parse().ok();
    }
    if !location.starts_with('/') {
        return location
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.scheme().is_some());
    }
    let path: PathAndQuery = location.parse().ok()?;
    Uri::builder()
        .scheme(from.scheme()?.clone())
        .authority(from.authority()?.clone())
        .path_and_query(path)
        .build()
        .ok()
}

/// What an answer that is not 200 means.
pub(super) fn refusal(
    server: &str,
    what: String,
    said: Said,
    retry_after: Option<Duration>,
    user: Option<String>,
) -> RegistryError {
    let registry = server.to_owned();
    match said.status.as_u16() {
        401 | 403 => RegistryError::Denied {
            registry,
            what,
            said,
            user,
        },
        404 => RegistryError::NotFound {
            registry,
            what,
            said,
        },
        429 => RegistryError::RateLimited {
            registry,
            said,
            retry_after,
        },
        408 | 500..=599 => RegistryError::Faulty {
            registry,
            said,
            retry_after,
        },
        _ => RegistryError::InvalidAnswer {
            registry,
            what,
            problem: format!("it answered {said}"),
        },
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    code: String,
}

/// The first error code of the distribution API's envelope, where it looks like one.
fn error_code(body: &[u8]) -> Option<String> {
    let body: ErrorBody = serde_json::from_slice(body).ok()?;
    let code = body.errors.into_iter().next()?.code;
    let fits = !code.is_empty()
        && code.len() <= CODE_MAX_BYTES
        && code
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    fits.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_lead_somewhere() {
        let from: Uri = "https://r.example:5000/v2/a/blobs/x".parse().unwrap();
        let table = [
            (
                "https://cdn.example/b?c=d#e",
                Some("https://cdn.example/b?c=d"),
            ),
            ("/other?x=1", Some("https://r.example:5000/other?x=1")),
            ("//cdn.example/b", Some("https://cdn.example/b")),
            ("relative", None),
            ("", None),
            ("http://", None),
        ];
        for (location, expected) in table {
            let found = target(&from, location).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn only_what_looks_like_a_code_is_passed_on() {
        let envelope =
            |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"secret"}}]}}"#);
        let code = |text: &str| error_code(text.as_bytes());
        assert_eq!(
            code(&envelope("MANIFEST_UNKNOWN")).as_deref(),
            Some("MANIFEST_UNKNOWN")
        );
        assert_eq!(code(&envelope("<script>")), None);
        assert_eq!(code(&envelope(&"A".repeat(49))), None);
        assert_eq!(code("internal secrets"), None);
        assert_eq!(code(r#"{"errors":[]}"#), None);
    }
}
