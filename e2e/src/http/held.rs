//! Requests that stay open until they are let go: a load that is exact, however busy the machine is.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::stream;
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::tally::{ID_HEADER, Tally};
use super::{Answer, LoadReport, Origin};

/// How often a piece of their bodies comes: the gateway ends one of which nothing comes for a minute.
const PIECE_INTERVAL: Duration = Duration::from_secs(10);

/// Requests under way whose bodies do not end before they are let go.
pub struct Held(Vec<Request>);

struct Request {
    id: String,
    release: oneshot::Sender<()>,
    task: JoinHandle<(Result<Answer>, Duration)>,
}

impl Held {
    /// Sends `count` requests to `path` of the function that answers to `host`, each over a connection
    /// of its own.
    #[must_use]
    pub fn start(origin: &Origin, host: &str, path: &str, count: usize) -> Self {
        let run = hex::encode(rand::random::<[u8; 4]>());
        let ids = (0..count).map(|number| format!("{run}-{number}"));
        Self(
            ids.map(|id| Request::start(origin, host, path, id))
                .collect(),
        )
    }

    /// How many there are, answered or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|request| request.id.as_str())
    }

    /// Takes those out whose id `wanted` says so of.
    #[must_use]
    pub fn split_off(&mut self, wanted: impl Fn(&str) -> bool) -> Self {
        let all = std::mem::take(&mut self.0);
        let (out, rest) = all.into_iter().partition(|request| wanted(&request.id));
        self.0 = rest;
        Self(out)
    }

    /// Adds `more`.
    pub fn join(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }

    /// How many are answered already.
    #[must_use]
    pub fn answered(&self) -> usize {
        let ended = self.0.iter().filter(|request| request.task.is_finished());
        ended.count()
    }

    /// Lets all go, and tells what came back once all are answered.
    ///
    /// # Errors
    /// One crashed. Lost requests are no error: see the report.
    pub async fn release(mut self) -> Result<LoadReport> {
        let mut tasks = Vec::new();
        for request in std::mem::take(&mut self.0) {
            // One that was answered early reads its body no more.
            let _ = request.release.send(());
            tasks.push((request.id, request.task));
        }
        let mut tally = Tally::new(true);
        for (id, task) in tasks {
            let (answer, time) = task.await.context("a held request crashed")?;
            tally.add(&id, answer, time);
        }
        Ok(tally.report())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for request in &self.0 {
            request.task.abort();
        }
    }
}

impl Request {
    fn start(origin: &Origin, host: &str, path: &str, id: String) -> Self {
        let (release, released) = oneshot::channel::<()>();
        let body = StreamBody::new(stream::unfold(Some(released), |waits| async move {
            let mut released = waits?;
            let is_let_go = timeout(PIECE_INTERVAL, &mut released).await.is_ok();
            let piece = Frame::data(Bytes::from_static(b"."));
            Some((Ok::<_, Infallible>(piece), (!is_let_go).then_some(released)))
        }));
        let request = origin
            .request(Method::POST, host, path)
            .header(ID_HEADER, &id)
            .stream(body);
        let task = tokio::spawn(async move {
            let started = Instant::now();
            let answer = request.send().await;
            (answer, started.elapsed())
        });
        Self { id, release, task }
    }
}
