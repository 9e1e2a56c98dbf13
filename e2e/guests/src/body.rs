use std::convert::Infallible;

use futures_lite::stream;
use http_body_util::StreamBody;
use wstd::http::{
    Body, Error, HeaderMap, HeaderValue, Request, Response,
    body::{Bytes, Frame},
};

use crate::{ID_HEADER, inspect};

const CHUNK_BYTES: u64 = 64 * 1024;

pub(crate) fn echo(request: Request<Body>) -> Response<Body> {
    Response::new(request.into_body())
}

/// Logs the request's id, then answers once its body has ended: until whoever sent it lets go.
pub(crate) async fn hold(request: Request<Body>) -> Result<Response<Body>, Error> {
    inspect::log_id(request.headers().get(ID_HEADER));
    let mut body = request.into_body();
    let bytes = body.contents().await?.len();
    Ok(Response::new(format!("held for {bytes} bytes\n").into()))
}

/// So many zero bytes, in chunks.
pub(crate) fn big(bytes: u64) -> Response<Body> {
    let chunks = stream::unfold(bytes, |left| async move {
        let size = left.min(CHUNK_BYTES);
        let chunk = Bytes::from(vec![0; usize::try_from(size).unwrap_or_default()]);
        (left > 0).then_some((Ok::<_, Infallible>(chunk), left - size))
    });
    Response::new(Body::from_try_stream(chunks))
}

/// A word, then a trailer.
pub(crate) fn trailers() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", HeaderValue::from_static("after the body"));
    let frames = stream::iter([
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"body\n"))),
        Ok(Frame::trailers(trailers)),
    ]);
    let mut response = Response::new(Body::from_http_body(StreamBody::new(frames)));
    // HTTP/1.1 carries only trailers that were announced.
    let announced = HeaderValue::from_static("x-trailer");
    response.headers_mut().insert("trailer", announced);
    response
}
