use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use wasmfn_crds::hosts::FunctionKey;
use wasmfn_report::{GatewayFunction, GatewayLine};

/// A gateway that has said nothing for this long while its pod is not ready either is taken to
/// hold no requests any more.
const LOST_AFTER: Duration = Duration::from_secs(120);

/// Most functions that one gateway is believed to know.
const MOST_FUNCTIONS: usize = 200_000;

/// What one gateway has said.
#[derive(Clone, Debug, Default)]
pub struct GatewayView {
    /// It has told a full picture.
    pub synced: bool,
    /// Its pod is ready, as the API server tells it.
    pub ready: bool,
    silent_since: Option<Instant>,
    functions: BTreeMap<FunctionKey, GatewayFunction>,
    mentioned: Option<BTreeSet<FunctionKey>>,
}

impl GatewayView {
    /// A stream was opened: a full picture follows.
    pub fn opened(&mut self) {
        self.silent_since = None;
        self.mentioned = Some(BTreeSet::new());
    }

    /// The stream has ended; the counts stay.
    pub fn closed(&mut self, now: Instant) {
        self.silent_since.get_or_insert(now);
        self.mentioned = None;
    }

    /// Whether its counts still mean anything.
    #[must_use]
    pub fn counts(&self, now: Instant) -> bool {
        let silent = self
            .silent_since
            .is_some_and(|since| now.saturating_duration_since(since) >= LOST_AFTER);
        !silent || self.ready
    }

    /// Takes in a line; says whose demand it changes.
    pub fn take(&mut self, line: GatewayLine) -> Vec<FunctionKey> {
        match line {
            GatewayLine::Function(line) => self.take_function(line),
            GatewayLine::Synced => {
                self.synced = true;
                self.forget_unmentioned()
            }
            GatewayLine::Gateway { .. } | GatewayLine::Heartbeat | GatewayLine::Unknown => {
                Vec::new()
            }
        }
    }

    /// Requests in flight and waiting for a function.
    #[must_use]
    pub fn demand(&self, function: &FunctionKey, uid: &str) -> u64 {
        self.functions.get(function).map_or(0, |line| {
            let spoken_of = &line.function.uid;
            if spoken_of.is_empty() || uid.is_empty() || spoken_of == uid {
                u64::from(line.in_flight) + u64::from(line.queued)
            } else {
                0
            }
        })
    }

    /// All functions that it has spoken of.
    pub fn functions(&self) -> impl Iterator<Item = &FunctionKey> {
        self.functions.keys()
    }

    fn take_function(&mut self, line: GatewayFunction) -> Vec<FunctionKey> {
        let key = FunctionKey {
            namespace: line.function.namespace.clone(),
            name: line.function.name.clone(),
        };
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
