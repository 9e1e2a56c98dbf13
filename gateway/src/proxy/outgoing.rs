use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header, request::Parts};

use super::body::{AttemptBody, HeldBody};
use crate::{
    proxy::headers::wants_trailers,
    upstream::{Protocol, Sending},
};

/// A request as pods get it, as often as it takes.
#[derive(Debug)]
pub(super) struct Outgoing {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    protocol: Protocol,
    /// The body, if there is one.
    pub(super) body: Option<HeldBody>,
}

/// How a request travels: trailers that nobody announced need HTTP/2. No answer to `HEAD` has any, and
/// over HTTP/2 pods would send its body, which breaks the answer off.
pub(super) fn protocol(method: &Method, headers: &HeaderMap) -> Protocol {
    let has_trailers = wants_trailers(headers) || headers.contains_key(header::TRAILER);
    if has_trailers && method != Method::HEAD {
        Protocol::Http2
    } else {
        Protocol::Http1
    }
}

impl Outgoing {
    pub(super) fn new(parts: Parts, body: Option<HeldBody>, protocol: Protocol) -> Self {
        Self {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            protocol,
            body,
        }
    }

    pub(super) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether it is here in full, so that the pod has to read no more than a little.
    pub(super) fn sending(&self) -> Sending {
        match &self.body {
            Some(body) if !body.is_in_hand() => Sending::Streaming,
            Some(_) | None => Sending::InHand,
        }
    }

    /// Whether sending it twice does what sending it once does (RFC 9110, 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }

    /// Whether all of it could be sent to another pod.
    pub(super) fn is_whole(&self) -> bool {
        self.body.as_ref().is_none_or(HeldBody::is_whole)
    }

    /// Whether the client broke off while it sent.
    pub(super) fn has_failed(&self) -> bool {
        self.body.as_ref().is_some_and(HeldBody::has_failed)
    }

    /// The request for one more pod. Ends the attempt before.
    pub(super) fn attempt(&self) -> Request<AttemptBody> {
        let body = self
            .body
            .as_ref()
            .map_or_else(AttemptBody::empty, |body| body.attempt(self.protocol));
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        match self.protocol {
            Protocol::Http1 => self.finish_http1(&mut request),
            Protocol::Http2 => self.finish_http2(&mut request),
        }
        request
    }

    fn finish_http1(&self, request: &mut Request<AttemptBody>) {
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = origin(&self.uri);
        if let Some(body) = self.body.as_ref().filter(|body| !body.is_in_hand()) {
            // The pod answers 100 when it begins to read, and then gets the body.
            request
                .headers_mut()
                .insert(header::EXPECT, HeaderValue::from_static("100-continue"));
            let open = body.opener();
            hyper::ext::on_informational(request, move |_| open());
        }
    }

    fn finish_http2(&self, request: &mut Request<AttemptBody>) {
        *request.version_mut() = Version::HTTP_2;
        let host = request.headers_mut().remove(header::HOST);
        let authority = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        let mut parts = origin(&self.uri).into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTP);
        parts.authority = authority.try_into().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

/// Path and query alone.
fn origin(uri: &Uri) -> Uri {
    uri.path_and_query()
        .map_or_else(Uri::default, |path| Uri::from(path.clone()))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn trailers_need_http2_where_there_can_be_any() {
        let travels = |method: Method, name: HeaderName, value| {
            let headers = [(name, HeaderValue::from_static(value))];
            protocol(&method, &headers.into_iter().collect())
        };
        for (name, value) in [(header::TE, "trailers"), (header::TRAILER, "x-sum")] {
            assert_eq!(travels(Method::POST, name.clone(), value), Protocol::Http2);
            assert_eq!(travels(Method::HEAD, name, value), Protocol::Http1);
        }
        assert_eq!(travels(Method::POST, header::TE, "gzip"), Protocol::Http1);
    }
}
