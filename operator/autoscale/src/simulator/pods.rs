use std::time::Duration;

/// Pods of a deployment, by when they are ready.
#[derive(Debug)]
pub(super) struct Pods {
    ready_at: Vec<Duration>,
    start: Duration,
}

impl Pods {
    /// `count` that are ready; each further one takes `start`.
    pub(super) fn new(count: u32, start: Duration) -> Self {
        Self {
            ready_at: (0..count).map(|_| Duration::ZERO).collect(),
            start,
        }
    }

    /// More start, or those that were started last leave.
    pub(super) fn scale(&mut self, replicas: u32, at: Duration) {
        let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
        self.ready_at.resize(replicas, at + self.start);
    }

    pub(super) fn asked_for(&self) -> u32 {
        u32::try_from(self.ready_at.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn ready(&self, at: Duration) -> u32 {
        let ready = self.ready_at.iter().filter(|ready_at| **ready_at <= at);
        u32::try_from(ready.count()).unwrap_or(u32::MAX)
    }
}
