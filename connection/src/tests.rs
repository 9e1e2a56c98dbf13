use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering},
};

use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A body that never comes, of so many bytes.
struct Unread(u64);

impl Body for Unread {
    type Data = &'static [u8];
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Self::Data>>>> {
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

fn request(version: Version, bytes: u64) -> Request<Unread> {
    let mut request = Request::new(Unread(bytes));
    *request.version_mut() = version;
    request
}

fn uploading() -> (Arc<Uploads>, Option<Upload>) {
    let uploads = Arc::<Uploads>::default();
    let upload = uploads.open(&request(Version::HTTP_11, 10_000));
    (uploads, upload)
}

#[test]
fn requests_count_whose_bodies_may_keep_a_connection_unread() {
    let uploads = Arc::<Uploads>::default();
    for (version, bytes) in [(Version::HTTP_11, 0), (Version::HTTP_2, 1)] {
        assert!(uploads.open(&request(version, bytes)).is_none());
    }
    let upload = uploads.open(&request(Version::HTTP_11, 1));
    assert!(upload.is_some() && uploads.are_open());
    drop(upload);
    assert!(!uploads.are_open());
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

/// Flushes whenever it is woken, and reads nothing, until that fails or `PATIENCE` is over.
async fn attend<F: Fn() + Unpin>(watched: &mut Watched<F>) -> Option<io::ErrorKind> {
    let failed = poll_fn(
        |context| match Pin::new(&mut *watched).poll_flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(error.kind()),
            _ => Poll::Pending,
        },
    );
    tokio::time::timeout(PATIENCE, failed).await.ok()
}

#[tokio::test]
async fn a_client_that_leaves_an_upload_behind_is_noticed_though_nobody_reads() {
    for resets in [false, true] {
        let (uploads, _upload) = uploading();
        let (mut client, stream) = pair().await;
        client.write_all(&[0; 10_000]).await.unwrap();
        if resets {
            client.set_zero_linger().unwrap();
        }
        drop(client);
        let mut watched = Watched::new(stream, uploads, PATIENCE, || ());
        let ended = attend(&mut watched).await;
        assert_eq!(ended, Some(io::ErrorKind::ConnectionAborted), "{resets}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_is_waited_for() {
    let (uploads, _upload) = uploading();
    let (mut client, stream) = pair().await;
    client.write_all(&[0; 10_000]).await.unwrap();
    let mut watched = Watched::new(stream, uploads, PATIENCE, || ());
    assert_eq!(attend(&mut watched).await, None);
}

#[tokio::test(start_paused = true)]
async fn without_an_upload_reading_finds_the_end() {
    let uploads = Arc::<Uploads>::default();
    let (client, stream) = pair().await;
    drop(client);
    let mut watched = Watched::new(stream, uploads, PATIENCE, || ());
    assert_eq!(attend(&mut watched).await, None);
}

#[tokio::test]
async fn a_reader_that_never_reads_is_given_up() {
    let is_slow = AtomicBool::new(false);
    let (_client, stream) = pair().await;
    let mut watched = Watched::new(stream, Arc::default(), Duration::from_millis(50), || {
        is_slow.store(true, Ordering::Relaxed);
    });
    let bytes = vec![0; 1 << 20];
    let error = loop {
        if let Err(error) = watched.write_all(&bytes).await {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(is_slow.load(Ordering::Relaxed));
}
