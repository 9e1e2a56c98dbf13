use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
struct Signs {
    has_upload: AtomicBool,
    is_slow: AtomicBool,
}

impl Watcher for Signs {
    fn has_upload(&self) -> bool {
        self.has_upload.load(Ordering::Relaxed)
    }

    fn slow_reader(&self) {
        self.is_slow.store(true, Ordering::Relaxed);
    }
}

fn uploading() -> Arc<Signs> {
    Arc::new(Signs {
        has_upload: true.into(),
        ..Signs::default()
    })
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

/// Flushes whenever it is woken, and reads nothing, until that fails or `PATIENCE` is over.
async fn attend(watched: &mut Watched<Signs>) -> Option<io::ErrorKind> {
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
        let signs = uploading();
        let (mut client, stream) = pair().await;
        client.write_all(&[0; 10_000]).await.unwrap();
        if resets {
            client.set_zero_linger().unwrap();
        }
        drop(client);
        let mut watched = Watched::new(stream, PATIENCE, signs);
        let ended = attend(&mut watched).await;
        assert_eq!(ended, Some(io::ErrorKind::ConnectionAborted), "{resets}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_is_waited_for() {
    let signs = uploading();
    let (mut client, stream) = pair().await;
    client.write_all(&[0; 10_000]).await.unwrap();
    let mut watched = Watched::new(stream, PATIENCE, signs);
    assert_eq!(attend(&mut watched).await, None);
}

#[tokio::test(start_paused = true)]
async fn without_an_upload_reading_finds_the_end() {
    let signs = Arc::<Signs>::default();
    let (client, stream) = pair().await;
    drop(client);
    let mut watched = Watched::new(stream, PATIENCE, signs);
    assert_eq!(attend(&mut watched).await, None);
}

#[tokio::test]
async fn a_reader_that_never_reads_is_given_up() {
    let signs = Arc::<Signs>::default();
    let (_client, stream) = pair().await;
    let mut watched = Watched::new(stream, Duration::from_millis(50), signs.clone());
    let bytes = vec![0; 1 << 20];
    let error = loop {
        if let Err(error) = watched.write_all(&bytes).await {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(signs.is_slow.load(Ordering::Relaxed));
}
