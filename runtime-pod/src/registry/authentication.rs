//! Answering a registry's challenge: basic authentication, or a bearer token from the server that
//! the registry names (<https://distribution.github.io/distribution/spec/auth/token/>).

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use serde::Deserialize;

use super::challenge::Challenge;
use super::credentials::{Login, Proof};
use super::error::{RegistryError, Said};
use super::exchange::refusal;
use super::plain_http::PlainHttpRegistries;
use super::reference::Reference;
use super::retry;
use super::token::{Key, Tokens};
use super::transport::Transport;

/// Largest answer of a token server, in bytes.
const TOKEN_ANSWER_MAX_BYTES: u64 = 128 << 10;
/// How long a token is good where its server does not say, by the token specification.
const LIFETIME_DEFAULT_SECONDS: u64 = 60;
const LIFETIME_MAX_SECONDS: u64 = 3600;
/// Taken off, so that a token does not end on its way.
const LIFETIME_MARGIN_SECONDS: u64 = 10;
/// How long it is remembered that a registry takes user and password.
const BASIC_LIFETIME: Duration = Duration::from_secs(300);

/// Answers challenges, and remembers what worked.
pub(super) struct Authenticator {
    transport: Transport,
    plain_http: PlainHttpRegistries,
    tokens: Tokens,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Authenticator {
    pub(super) fn new(transport: Transport, plain_http: PlainHttpRegistries) -> Self {
        Self {
            transport,
            plain_http,
            tokens: Tokens::default(),
        }
    }

    /// What worked last for this repository and login.
    pub(super) fn known(
        &self,
        reference: &Reference,
        login: Option<&Login>,
    ) -> Option<HeaderValue> {
        self.tokens.get(&Key::new(reference, login), Instant::now())
    }

    /// Lets go of what did not work after all.
    pub(super) fn forget(&self, reference: &Reference, login: Option<&Login>) {
        self.tokens.forget(&Key::new(reference, login));
    }

    /// A value of `Authorization` that answers one of the challenges; none where none can be
    /// answered with this login.
    pub(super) async fn answer(
        &self,
        challenges: &[Challenge],
        reference: &Reference,
        login: Option<&Login>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        for challenge in challenges {
            let found = match challenge {
                Challenge::Basic => login.and_then(basic).map(|value| (value, BASIC_LIFETIME)),
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                } => {
                    let request = TokenRequest {
                        realm,
                        service: service.as_deref(),
                        scope: scope.as_deref(),
                        reference,
                        login,
                    };
                    Some(self.token(&request).await?)
                }
            };
            if let Some((authorization, lifetime)) = found {
                let key = Key::new(reference, login);
                self.tokens
                    .put(key, authorization.clone(), lifetime, Instant::now());
                return Ok(Some(authorization));
            }
        }
        Ok(None)
    }

    async fn token(
        &self,
        request: &TokenRequest<'_>,
    ) -> Result<(HeaderValue, Duration), RegistryError> {
        let realm = request.uri(&self.plain_http)?;
        let server = realm
            .authority()
            .map_or("", |authority| authority.as_str())
            .to_owned();
        let response = self.transport.send(request.build(realm), &server).await?;
        let status = response.status();
        let retry_after = retry::retry_after(response.headers());
        let received = self
            .transport
            .read(response, TOKEN_ANSWER_MAX_BYTES, &server)
            .await?;
        let invalid = |problem: &str| RegistryError::InvalidAnswer {
            registry: server.clone(),
            what: format!("a token for {}", request.reference.repository()),
            problem: problem.to_owned(),
        };
        if status == StatusCode::NOT_FOUND {
            return Err(invalid("it answered 404"));
        }
        if status != StatusCode::OK {
            let said = Said { status, code: None };
            let what = format!("a token for {}", request.reference.repository());
            let user = request.login.map(|login| login.user.clone());
            return Err(refusal(&server, what, said, retry_after, user));
        }
        if received.cut {
            return Err(invalid("the answer is too large"));
        }
        let answer: TokenAnswer = serde_json::from_slice(&received.bytes)
            .map_err(|_| invalid("the answer is no JSON of a token"))?;
        bearer(answer).ok_or_else(|| invalid("the answer holds no token that can be used"))
    }
}

struct TokenRequest<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    scope: Option<&'a str>,
    reference: &'a Reference,
    login: Option<&'a Login>,
}

impl TokenRequest<'_> {
    /// The realm, with the query of a GET. Credentials go there, so it has to be HTTPS, or a
    /// registry that the admin listed.
    fn uri(&self, plain_http: &PlainHttpRegistries) -> Result<Uri, RegistryError> {
        let invalid = |problem: &str| RegistryError::InvalidAnswer {
            registry: self.reference.registry().to_owned(),
            what: self.reference.repository().to_owned(),
            problem: problem.to_owned(),
        };
        let bare: Uri = self
            .realm
            .parse()
            .map_err(|_| invalid("it names a token server by something that is no URL"))?;
        if !plain_http.permits(&bare) {
            return Err(invalid(
                "it names a token server that is neither HTTPS nor a listed plain-HTTP registry",
            ));
        }
        if self.refresh_token().is_some() {
            return Ok(bare);
        }
        let joint = if self.realm.contains('?') { '&' } else { '?' };
        format!("{}{joint}{}", self.realm, self.parameters().finish())
            .parse()
            .map_err(|_| invalid("the URL of its token server is too long"))
    }

    fn build(&self, realm: Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = realm;
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = self.refresh_token() {
            let mut form = self.parameters();
            form.append_pair("grant_type", "refresh_token");
            form.append_pair("client_id", "wasmfn");
            form.append_pair("refresh_token", token);
            *request.method_mut() = Method::POST;
            *request.body_mut() = Full::new(form.finish().into());
            request.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            );
        } else if let Some(authorization) = self.login.and_then(basic) {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        request
    }

    fn parameters(&self) -> Serializer<'static, String> {
        let mut parameters = Serializer::new(String::new());
        if let Some(service) = self.service {
            parameters.append_pair("service", service);
        }
        let own = format!("repository:{}:pull", self.reference.repository());
        parameters.append_pair("scope", self.scope.unwrap_or(&own));
        parameters
    }

    fn refresh_token(&self) -> Option<&str> {
        match &self.login?.proof {
            Proof::IdentityToken(token) => Some(token),
            Proof::Password(_) => None,
        }
    }
}

fn basic(login: &Login) -> Option<HeaderValue> {
    let Proof::Password(password) = &login.proof else {
        return None;
    };
    let encoded = STANDARD.encode(format!("{}:{password}", login.user));
    sensitive(&format!("Basic {encoded}"))
}

fn bearer(answer: TokenAnswer) -> Option<(HeaderValue, Duration)> {
    let token = answer
        .token
        .filter(|token| !token.is_empty())
        .or(answer.access_token)
        .filter(|token| !token.is_empty())?;
    let seconds = answer
        .expires_in
        .unwrap_or(LIFETIME_DEFAULT_SECONDS)
        .clamp(LIFETIME_DEFAULT_SECONDS, LIFETIME_MAX_SECONDS)
        - LIFETIME_MARGIN_SECONDS;
    let authorization = sensitive(&format!("Bearer {token}"))?;
    Some((authorization, Duration::from_secs(seconds)))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
