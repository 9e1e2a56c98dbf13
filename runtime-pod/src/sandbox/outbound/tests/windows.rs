use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncReadExt, duplex},
    sync::Semaphore,
};

use crate::sandbox::outbound::connect::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, http2};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames, and the setting of a stream's window (RFC 9113).
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// What a connection's window is before anything is said.
const DEFAULT_WINDOW_BYTES: u32 = 65_535;

/// Type and payload of the next frame.
async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload).await.unwrap();
    (head[3], payload)
}

/// The value of a setting.
fn setting(payload: &[u8], wanted: u16) -> Option<u32> {
    payload.as_chunks::<6>().0.iter().find_map(|entry| {
        let [a, b, value @ ..] = *entry;
        (u16::from_be_bytes([a, b]) == wanted).then(|| u32::from_be_bytes(value))
    })
}

#[tokio::test]
async fn no_more_is_let_in_over_http_2_than_a_connection_may_hold() {
    let (near, mut far) = duplex(1 << 20);
    let room = Arc::new(Semaphore::new(1));
    let permit = room.acquire_owned().await.unwrap();
    let _sender = http2(Box::new(near), permit).await.unwrap();
    let mut preface = [0; PREFACE.len()];
    far.read_exact(&mut preface).await.unwrap();
    assert_eq!(preface, PREFACE);

    let (kind, settings) = frame(&mut far).await;
    assert_eq!(kind, SETTINGS);
    let window = setting(&settings, INITIAL_WINDOW_SIZE);
    assert_eq!(window, Some(STREAM_WINDOW_BYTES));
    let (kind, more) = frame(&mut far).await;
    assert_eq!(kind, WINDOW_UPDATE);
    let more = u32::from_be_bytes(more.try_into().unwrap());
    assert_eq!(DEFAULT_WINDOW_BYTES + more, CONNECTION_WINDOW_BYTES);
}
