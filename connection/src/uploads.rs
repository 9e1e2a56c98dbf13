use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Request, Version};
use http_body::Body;

/// How many requests are open on a connection whose bodies nobody may be reading.
#[derive(Debug, Default)]
pub struct Uploads(AtomicUsize);

/// One of them, until this is dropped.
#[derive(Debug)]
pub struct Upload(Arc<Uploads>);

impl Uploads {
    /// Counts `request`, if it has a body. Not over HTTP/2, where the connection is read whoever
    /// reads the body.
    #[must_use]
    pub fn open<B: Body>(self: &Arc<Self>, request: &Request<B>) -> Option<Upload> {
        let is_upload = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
        is_upload.then(|| {
            self.0.fetch_add(1, Ordering::Relaxed);
            Upload(Arc::clone(self))
        })
    }

    /// Whether one is open.
    pub(super) fn are_open(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
