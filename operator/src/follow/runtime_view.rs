use std::collections::{BTreeMap, BTreeSet};

use wasmfn_crds::hosts::FunctionKey;
use wasmfn_report::{PodState, RuntimeFunction, RuntimeLine};

use super::key;

/// Most functions that one pod is believed to hold: a bound on what a broken pod can make the
/// operator keep.
const MOST_FUNCTIONS: usize = 20_000;

/// What one runtime pod has said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeView {
    /// Namespace of the pod, as the API server tells it: it is heard about no other.
    pub namespace: String,
    /// A stream is open.
    pub connected: bool,
    /// It has told a full picture.
    pub synced: bool,
    /// The pod as a whole.
    pub pod: PodState,
    functions: BTreeMap<FunctionKey, Report>,
    /// What the picture that is being told has mentioned so far; unset between pictures.
    mentioned: Option<BTreeSet<FunctionKey>>,
}

/// What a pod has said about a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its words.
    pub line: RuntimeFunction,
    /// Counts up over all pods: which of two resolutions came first.
    pub resolved_at: u64,
}

impl RuntimeView {
    /// Of a pod that has said nothing yet.
    #[must_use]
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..Self::default()
        }
    }

    /// A stream was opened: a full picture follows.
    pub fn opened(&mut self) {
        self.connected = true;
        self.mentioned = Some(BTreeSet::new());
    }

    /// The stream has ended; what was said stays.
    pub fn closed(&mut self) {
        self.connected = false;
        self.mentioned = None;
    }

    /// Takes in a line that is the `order`th of all; says which functions it changes something
    /// for. Numbers that move with every request change nothing.
    pub fn take(&mut self, line: RuntimeLine, order: u64) -> Vec<FunctionKey> {
        match line {
            RuntimeLine::Pod(pod) => self.take_pod(pod),
            RuntimeLine::Function(line) => self.take_function(line, order),
            RuntimeLine::Gone { function } => {
                let key = key(&function);
                let known = self.functions.remove(&key).is_some();
                known.then_some(key).into_iter().collect()
            }
            RuntimeLine::Synced => self.take_synced(),
            RuntimeLine::Heartbeat | RuntimeLine::Unknown => Vec::new(),
        }
    }

    /// What it said about a function; nothing, where it spoke of another object of that name.
    #[must_use]
    pub fn report(&self, function: &FunctionKey, uid: &str) -> Option<&Report> {
        self.functions.get(function).filter(|report| {
            let spoken_of = &report.line.function.uid;
            spoken_of.is_empty() || spoken_of == uid
        })
    }

    /// What it said last about each function.
    pub fn reports(&self) -> impl Iterator<Item = (&FunctionKey, &RuntimeFunction)> {
        self.functions
            .iter()
            .map(|(key, report)| (key, &report.line))
    }

    /// All functions that it has spoken of.
    pub fn functions(&self) -> impl Iterator<Item = &FunctionKey> {
        self.functions.keys()
    }

    fn take_pod(&mut self, pod: PodState) -> Vec<FunctionKey> {
        let moved = (self.pod.in_sync, self.pod.leaving) != (pod.in_sync, pod.leaving);
        self.pod = pod;
        if moved {
            self.functions.keys().cloned().collect()
        } else {
            Vec::new()
        }
    }

    fn take_function(&mut self, line: RuntimeFunction, order: u64) -> Vec<FunctionKey> {
        let key = key(&line.function);
        let before = self.functions.get(&key);
        let foreign = key.namespace != self.namespace;
        if foreign || (before.is_none() && self.functions.len() >= MOST_FUNCTIONS) {
            return Vec::new();
        }
        if let Some(mentioned) = &mut self.mentioned {
            mentioned.insert(key.clone());
        }
        let resolved_at = before
            .filter(|before| before.line.resolution == line.resolution)
            .map_or(order, |before| before.resolved_at);
        let changed = before.is_none_or(|before| tells_more(&before.line, &line));
        self.functions
            .insert(key.clone(), Report { line, resolved_at });
        changed.then_some(key).into_iter().collect()
    }

    fn take_synced(&mut self) -> Vec<FunctionKey> {
        let first = !std::mem::replace(&mut self.synced, true);
        let mut changed = Vec::new();
        if let Some(mentioned) = self.mentioned.take() {
            self.functions.retain(|key, _| {
                let stays = mentioned.contains(key);
                if !stays {
                    changed.push(key.clone());
                }
                stays
            });
        }
        if first {
            changed.extend(self.functions.keys().cloned());
        }
        changed
    }
}

/// Whether the second line differs in more than how many requests there are.
fn tells_more(before: &RuntimeFunction, after: &RuntimeFunction) -> bool {
    let quiet = |line: &RuntimeFunction| RuntimeFunction {
        in_flight: u32::from(line.in_flight > 0),
        full: false,
        guests_runnable: 0,
        memory_bytes: 0,
        ..line.clone()
    };
    quiet(before) != quiet(after)
}
