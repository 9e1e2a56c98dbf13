use wstd::http::{Body, Error, HeaderValue, Request, Response, StatusCode};

pub(crate) fn status(code: &str) -> Result<Response<Body>, Error> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_bytes(code.as_bytes())?;
    Ok(response)
}

pub(crate) fn environment(name: &str) -> Response<Body> {
    let value = std::env::var(name).unwrap_or_default();
    Response::new(format!("{value}\n").into())
}

/// The request's first line and headers as they reached the guest.
pub(crate) fn headers(request: &Request<Body>) -> Response<Body> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let mut text = format!("{} {target}\n", request.method());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    Response::new(text.into())
}

/// A line in the pod's log that says which request was begun there.
pub(crate) fn log_id(id: Option<&HeaderValue>) {
    let id = id.map(HeaderValue::as_bytes).unwrap_or_default();
    println!("started {}", String::from_utf8_lossy(id));
}
