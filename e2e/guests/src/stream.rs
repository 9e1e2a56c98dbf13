use std::convert::Infallible;

use futures_lite::stream;
use wstd::{
    http::{Body, Response, body::Bytes},
    task::sleep,
    time::Duration,
};

/// The first chunk at once, each further one after a pause.
pub(crate) fn chunks(chunks: u64, pause_milliseconds: u64) -> Response<Body> {
    let stream = stream::unfold(0, move |index| async move {
        if index == chunks {
            return None;
        }
        if index > 0 {
            sleep(Duration::from_millis(pause_milliseconds)).await;
        }
        let chunk = Bytes::from(format!("chunk {index}\n"));
        Some((Ok::<_, Infallible>(chunk), index + 1))
    });
    Response::new(Body::from_try_stream(stream))
}

/// An answer after a pause.
pub(crate) async fn slow(milliseconds: u64) -> Response<Body> {
    sleep(Duration::from_millis(milliseconds)).await;
    Response::new(format!("after {milliseconds} ms\n").into())
}
