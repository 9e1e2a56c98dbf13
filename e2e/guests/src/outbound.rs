use wstd::http::{Body, Client, Error, Request, Response, StatusCode, body::Bytes};

/// Calls a URL: its status and body, or 502 and why it could not be called.
pub(crate) async fn call(url: &str) -> Result<Response<Body>, Error> {
    let request = Request::get(url).body(Body::empty())?;
    match Client::new().send(request).await {
        Ok(answer) => Ok(answer),
        Err(error) => {
            let mut response = Response::new(Bytes::from(format!("{error:?}\n")).into());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(response)
        }
    }
}
