//! The gateway's state stream: functions that it knows, and demand for each, as `wasmfn-report` lays
//! it down.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use tokio::{sync::watch, time::Instant};
use wasmfn_report::{
    CHANGE_INTERVAL, FunctionId, GatewayFunction, GatewayLine, HEARTBEAT_INTERVAL,
};

use crate::{counts::Demand, proxy::Gateway, routes::Routes};

/// Shortest time between two pictures, however many functions are called for the first time since
/// they were told as idle.
const PICTURE_INTERVAL: Duration = Duration::from_millis(2);

/// One reader's stream.
#[derive(Debug)]
struct Reader {
    gateway: Arc<Gateway>,
    pod: Arc<str>,
    told: Told,
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
        told: Told::default(),
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

    /// Until a count that was told as zero is so no more, or it is time for the other changes.
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
            tells_routes: self.gateway.world.is_synced(),
        };
        self.told.changed(gateway, &self.gateway.world.routes())
    }
}

/// What a reader was told last.
#[derive(Debug, Default)]
struct Told {
    gateway: Option<GatewayLine>,
    functions: HashMap<FunctionId, Demand>,
    routes: Arc<Routes>,
}

impl Told {
    /// Lines that bring the reader up to date. Functions that were never called are left out; what
    /// has not changed costs no more than a look.
    fn changed(&mut self, gateway: GatewayLine, routes: &Arc<Routes>) -> Vec<GatewayLine> {
        // Before the line that says that they are told.
        let mut lines = self.news_of(routes);
        if self.gateway.as_ref() != Some(&gateway) {
            lines.push(gateway.clone());
            self.gateway = Some(gateway);
        }
        let mut present = 0;
        for function in routes.functions() {
            if !function.counts.ever_counted() {
                continue;
            }
            present += 1;
            let demand = function.counts.demand_to_tell();
            if self.functions.get(&function.id) != Some(&demand) {
                self.functions.insert(function.id.clone(), demand);
                lines.push(line(function.id.clone(), demand));
            }
        }
        if self.functions.len() > present {
            lines.extend(self.forget(routes));
        }
        lines
    }

    /// Functions that are known since the reader was last told, or no more.
    fn news_of(&mut self, routes: &Arc<Routes>) -> Vec<GatewayLine> {
        if Arc::ptr_eq(&self.routes, routes) {
            return Vec::new();
        }
        let news = routes.news_since(&self.routes);
        let lines = news
            .map(|(function, generation)| GatewayLine::Route {
                function: function.clone(),
                generation,
            })
            .collect();
        self.routes = routes.clone();
        lines
    }

    /// Lets go of functions that are gone, with a last word about each.
    fn forget(&mut self, routes: &Routes) -> Vec<GatewayLine> {
        let present: HashSet<&FunctionId> =
            routes.functions().map(|function| &function.id).collect();
        self.functions
            .extract_if(|id, _| !present.contains(id))
            .map(|(id, _)| line(id, Demand::default()))
            .collect()
    }
}

const fn line(function: FunctionId, demand: Demand) -> GatewayLine {
    GatewayLine::Function(GatewayFunction {
        function,
        in_flight: demand.in_flight,
        queued: demand.queued,
    })
}

fn written(lines: &[GatewayLine]) -> Bytes {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).expect("lines are made of strings and numbers");
        text.push(b'\n');
    }
    text.into()
}
