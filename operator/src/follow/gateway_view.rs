use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use wasmfn_crds::hosts::FunctionKey;
use wasmfn_report::{FunctionId, GatewayFunction, GatewayLine};

use super::key;

/// A gateway that says nothing is taken to hold no requests any more once its pod has not been ready
/// for this long either.
const LOST_AFTER: Duration = Duration::from_secs(120);

/// Most functions that one gateway is believed to know.
const MOST_FUNCTIONS: usize = 200_000;

/// What one gateway has said.
#[derive(Clone, Debug, Default)]
pub struct GatewayView {
    /// It has told a full picture.
    pub synced: bool,
    /// Since when its pod has not been ready, as the API server tells it.
    unready_since: Option<Instant>,
    silent: bool,
    functions: BTreeMap<FunctionKey, GatewayFunction>,
    mentioned: Option<BTreeSet<FunctionKey>>,
    tells_routes: bool,
    routes: BTreeMap<FunctionKey, Route>,
}

/// What it has under a function's name.
#[derive(Clone, Debug)]
struct Route {
    uid: String,
    generation: i64,
}

impl GatewayView {
    /// Its pod is there, ready or not.
    pub fn seen(&mut self, ready: bool, now: Instant) {
        if ready {
            self.unready_since = None;
        } else {
            self.unready_since.get_or_insert(now);
        }
    }

    /// A stream was opened: a full picture follows.
    pub fn opened(&mut self) {
        self.mentioned = Some(BTreeSet::new());
        self.tells_routes = false;
        self.routes.clear();
    }

    /// The stream has ended; the counts stay.
    pub fn closed(&mut self) {
        self.silent = true;
        self.mentioned = None;
    }

    /// Its pod takes requests.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.unready_since.is_none()
    }

    /// Its counts mean something, but nobody knows whether they still are so.
    #[must_use]
    pub fn is_silent(&self, now: Instant) -> bool {
        self.silent && self.synced && self.counts(now)
    }

    /// Whether its counts still mean anything.
    #[must_use]
    pub fn counts(&self, now: Instant) -> bool {
        let lost = self
            .unready_since
            .is_some_and(|since| now.saturating_duration_since(since) >= LOST_AFTER);
        !(self.silent && lost)
    }

    /// Takes in a line; says whose demand it changes.
    pub fn take(&mut self, line: GatewayLine) -> Vec<FunctionKey> {
        match line {
            GatewayLine::Function(line) => self.take_function(line),
            GatewayLine::Synced => {
                self.synced = true;
                self.silent = false;
                self.forget_unmentioned()
            }
            GatewayLine::Gateway { tells_routes, .. } => {
                self.tells_routes = tells_routes;
                Vec::new()
            }
            GatewayLine::Route {
                function,
                generation,
            } => {
                self.take_route(function, generation);
                Vec::new()
            }
            GatewayLine::Heartbeat | GatewayLine::Unknown => Vec::new(),
        }
    }

    /// It has told all that it tells, and will tell what changes.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.synced && !self.silent && self.mentioned.is_none()
    }

    /// Whether it handles requests by this `generation` of a function or a later one; nothing where it
    /// has not told, or does not tell.
    #[must_use]
    pub fn knows(&self, function: &FunctionKey, uid: &str, generation: i64) -> Option<bool> {
        let all = self.routes.len() < MOST_FUNCTIONS;
        (self.is_told() && self.tells_routes && all).then(|| {
            let route = self.routes.get(function);
            route.is_some_and(|route| route.uid == uid && route.generation >= generation)
        })
    }

    fn take_route(&mut self, function: FunctionId, generation: Option<i64>) {
        let key = key(&function);
        let uid = function.uid;
        match generation {
            None => _ = self.routes.remove(&key),
            Some(_) if self.routes.len() >= MOST_FUNCTIONS => {}
            Some(generation) => _ = self.routes.insert(key, Route { uid, generation }),
        }
    }

    /// Requests in flight and waiting for a function.
    #[must_use]
    pub fn demand(&self, function: &FunctionKey, uid: &str) -> (u64, u64) {
        self.functions.get(function).map_or((0, 0), |line| {
            let spoken_of = &line.function.uid;
            if spoken_of.is_empty() || uid.is_empty() || spoken_of == uid {
                (u64::from(line.in_flight), u64::from(line.queued))
            } else {
                (0, 0)
            }
        })
    }

    /// All functions that it has spoken of.
    pub fn functions(&self) -> impl Iterator<Item = &FunctionKey> {
        self.functions.keys()
    }

    fn take_function(&mut self, line: GatewayFunction) -> Vec<FunctionKey> {
        let key = key(&line.function);
        let before = self.functions.get(&key);
        if before.is_none() && self.functions.len() >= MOST_FUNCTIONS {
            return Vec::new();
        }
        if let Some(mentioned) = &mut self.mentioned {
            mentioned.insert(key.clone());
        }
        let changed = before != Some(&line);
        self.functions.insert(key.clone(), line);
        changed.then_some(key).into_iter().collect()
    }

    fn forget_unmentioned(&mut self) -> Vec<FunctionKey> {
        let Some(mentioned) = self.mentioned.take() else {
            return Vec::new();
        };
        let mut gone = Vec::new();
        self.functions.retain(|key, _| {
            let stays = mentioned.contains(key);
            if !stays {
                gone.push(key.clone());
            }
            stays
        });
        gone
    }
}
