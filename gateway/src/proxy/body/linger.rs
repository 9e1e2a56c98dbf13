use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;

use super::BodyError;

/// Time in which a client can notice that it was answered before it has sent everything.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read meanwhile.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// Reads on for a while, and throws away, what a client sends though it was answered already. A
/// connection that is closed with bytes unread is reset, and a reset can take the answer with it.
pub fn linger<B>(mut body: B)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    let reading = async move {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await
            && bytes < LINGER_BYTES
        {
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(tokio::time::timeout(LINGER, reading));
    }
}
