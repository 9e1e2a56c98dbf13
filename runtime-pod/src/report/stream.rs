//! One reader's stream: first the full picture, then what changes.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::Stream;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use wasmfn_report::{CHANGE_INTERVAL, Difference, HEARTBEAT_INTERVAL, LINE_MAX_BYTES, RuntimeLine};

use super::picture::{Glance, Picture, Subject, gone};

/// Urgent changes that come this close to one another are told together.
const GATHER: Duration = Duration::from_millis(10);

/// The body of an answer that tells one reader everything.
pub fn body(picture: Arc<Picture>) -> Body {
    let reader = Reader {
        urgent: picture.changes.follow(),
        picture,
        difference: Difference::default(),
        seen: None,
        told_at: None,
    };
    Body::from_stream(lines(reader))
}

struct Reader {
    picture: Arc<Picture>,
    urgent: watch::Receiver<u64>,
    difference: Difference<Subject, RuntimeLine>,
    /// What was seen when the state was last looked at.
    seen: Option<Glance>,
    /// When something was sent last; never, before the first picture.
    told_at: Option<Instant>,
}

fn lines(reader: Reader) -> impl Stream<Item = Result<Bytes, serde_json::Error>> {
    futures::stream::try_unfold(reader, async |mut reader| {
        let bytes = reader.next().await?;
        Ok(Some((bytes, reader)))
    })
}

impl Reader {
    /// Waits until there is something to tell.
    async fn next(&mut self) -> Result<Bytes, serde_json::Error> {
        let Some(told_at) = self.told_at else {
            let mut lines = self.changes();
            lines.push(RuntimeLine::Synced);
            return self.tell(&lines);
        };
        let heartbeat_at = told_at + HEARTBEAT_INTERVAL;
        loop {
            let _ = timeout(CHANGE_INTERVAL, self.urgent.changed()).await;
            let lines = self.changes();
            if !lines.is_empty() {
                sleep(GATHER.saturating_sub(told_at.elapsed())).await;
                return self.tell(&lines);
            }
            if Instant::now() >= heartbeat_at {
                return self.tell(&[RuntimeLine::Heartbeat]);
            }
        }
    }

    fn changes(&mut self) -> Vec<RuntimeLine> {
        self.urgent.mark_unchanged();
        let seen = Some(self.picture.glance());
        if self.seen == seen {
            return Vec::new();
        }
        self.seen = seen;
        self.difference.lines(self.picture.lines(), gone)
    }

    fn tell(&mut self, lines: &[RuntimeLine]) -> Result<Bytes, serde_json::Error> {
        self.told_at = Some(Instant::now());
        let mut bytes = BytesMut::new();
        for line in lines {
            let text = serde_json::to_vec(line)?;
            if text.len() < LINE_MAX_BYTES {
                bytes.extend_from_slice(&text);
                bytes.extend_from_slice(b"\n");
            } else {
                tracing::error!(bytes = text.len(), "a line of the report is too long");
            }
        }
        Ok(bytes.freeze())
    }
}
