//! The gateway's state stream: demand per function, as `wasmfn-report` lays it down.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::Stream;
use tokio::{sync::watch, time::Instant};
use wasmfn_report::{
    CHANGE_INTERVAL, Difference, FunctionId, GatewayFunction, GatewayLine, HEARTBEAT_INTERVAL,
};

use crate::{proxy::Gateway, routes::Routes};

/// Shortest time between two pictures, however often counts come to zero: one function called
/// again and again crosses it twice a request.
const PICTURE_INTERVAL: Duration = Duration::from_millis(2);

/// What a line is about.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Subject {
    Gateway,
    Function(FunctionId),
}

/// One reader's stream.
#[derive(Debug)]
struct Reader {
    gateway: Arc<Gateway>,
    pod: Arc<str>,
    told: Difference<Subject, GatewayLine>,
    crossings: watch::Receiver<()>,
    synced: bool,
    last_line: Instant,
}

/// Lines for one reader, each piece a few of them; without end.
pub fn stream(
    gateway: Arc<Gateway>,
    pod: Arc<str>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let reader = Reader {
        crossings: gateway.world.crossings().subscribe(),
        gateway,
        pod,
        told: Difference::default(),
        synced: false,
        last_line: Instant::now(),
    };
    futures::stream::unfold(reader, |mut reader| async move {
        let lines = reader.next().await;
        Some((Ok(lines), reader))
    })
}

impl Reader {
    async fn next(&mut self) -> Bytes {
        loop {
            if self.synced {
                self.wait().await;
            }
            let mut lines = self.changed();
            if !self.synced {
                lines.push(GatewayLine::Synced);
                self.synced = true;
            } else if lines.is_empty() && self.last_line.elapsed() >= HEARTBEAT_INTERVAL {
                lines.push(GatewayLine::Heartbeat);
            }
            if !lines.is_empty() {
                self.last_line = Instant::now();
                return written(&lines);
            }
        }
    }

    /// Until a count crosses zero, or it is time for the other changes.
    async fn wait(&mut self) {
        let next = Instant::now() + CHANGE_INTERVAL;
        tokio::time::sleep_until(self.last_line + PICTURE_INTERVAL).await;
        let _ = tokio::time::timeout_at(next, self.crossings.changed()).await;
    }

    fn changed(&mut self) -> Vec<GatewayLine> {
        // Seen from here on: what crosses while the picture is taken brings another one.
        self.crossings.mark_unchanged();
        let gateway = GatewayLine::Gateway {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pod: self.pod.to_string(),
            leaving: self.gateway.is_leaving(),
        };
        let functions = functions(&self.gateway.world.routes());
        let picture = std::iter::once((Subject::Gateway, gateway)).chain(
            functions
                .into_iter()
                .map(|(id, line)| (Subject::Function(id), GatewayLine::Function(line))),
        );
        self.told.lines(picture, |subject| match subject {
            Subject::Gateway => None,
            Subject::Function(id) => Some(GatewayLine::Function(GatewayFunction {
                function: id.clone(),
                in_flight: 0,
                queued: 0,
            })),
        })
    }
}

/// Demand of each function that was ever called.
fn functions(routes: &Routes) -> BTreeMap<FunctionId, GatewayFunction> {
    routes
        .functions()
        .filter(|function| function.counts.ever_counted())
        .map(|function| {
            let line = GatewayFunction {
                function: function.id.clone(),
                in_flight: function.counts.in_flight(),
                queued: function.counts.queued(),
            };
            (function.id.clone(), line)
        })
        .collect()
}

fn written(lines: &[GatewayLine]) -> Bytes {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).expect("lines are made of strings and numbers");
        text.push(b'\n');
    }
    text.into()
}
