//! Requests of one connection whose bodies nobody may be reading.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Request, Version};
use http_body::Body;
use wasmfn_connection::Watcher;

/// How many requests with a body are open on a connection.
#[derive(Debug, Default)]
pub(super) struct Uploads(AtomicUsize);

/// One of them, until this is dropped.
#[derive(Debug)]
pub(super) struct Upload(Arc<Uploads>);

impl Uploads {
    /// Counts `request`, if it has a body. Not over HTTP/2, where the connection is read whoever
    /// reads the body.
    pub(super) fn open<B: Body>(self: &Arc<Self>, request: &Request<B>) -> Option<Upload> {
        let is_upload = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
        is_upload.then(|| {
            self.0.fetch_add(1, Ordering::Relaxed);
            Upload(Arc::clone(self))
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watcher for Uploads {
    fn has_upload(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}
