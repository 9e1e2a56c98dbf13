//! Which function answers a request: an immutable snapshot, built anew when functions change.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use wasmfn_crds::{
    Visibility, WasmFunction,
    answer::AnswerReason,
    hosts::{FunctionKey, HostRules, HostTable},
    names,
};
use wasmfn_report::FunctionId;

use crate::{counts::Crossings, endpoints::RuntimeKey, queue::Turns};

mod function;
#[cfg(test)]
mod tests;

pub use function::Function;

/// Where a request came in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Entrance {
    /// From outside: public functions by their hosts.
    Public,
    /// From inside the cluster: all functions, by their internal names as well.
    Cluster,
}

impl Entrance {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Public, Self::Cluster];

    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Cluster => "cluster",
        }
    }
}

/// How requests for a function are to be handled at this moment.
#[derive(Debug)]
pub struct Route {
    /// What outlives changes of the object: counts and the queue.
    pub function: Arc<Function>,
    /// Whose pods serve it.
    pub runtime: RuntimeKey,
    /// Functions that wait for these pods.
    pub turns: Arc<Turns>,
    /// Requests are answered 503.
    pub suspended: bool,
    /// Most requests that may wait.
    pub max_queued: usize,
    /// Longest wait.
    pub max_queue: Duration,
    /// Longest time from the pod's admission to the last byte; the pod keeps it.
    pub timeout: Duration,
    /// Of the spec that all this is from.
    generation: i64,
    /// Generation and version that answer, as the operator wrote them down.
    serving: Option<(i64, String)>,
}

impl Route {
    /// Whether a waiting request should look again, coming from `before`.
    fn differs(&self, before: &Self) -> bool {
        self.function.id != before.function.id
            || self.runtime != before.runtime
            || self.suspended != before.suspended
            || self.serving != before.serving
    }
}

/// All functions at one moment.
#[derive(Debug, Default)]
pub struct Routes {
    rules: Arc<HostRules>,
    table: HostTable,
    by_key: HashMap<FunctionKey, Arc<Route>>,
    departed: Vec<Arc<Function>>,
}

impl Routes {
    /// No functions yet.
    #[must_use]
    pub fn empty(rules: Arc<HostRules>) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// The snapshot that follows this one. A function keeps its counts and its queue as long as it
    /// is the same object; one that is gone is remembered until its last request ends.
    #[must_use]
    pub fn next(&self, functions: &[Arc<WasmFunction>], crossings: &Crossings) -> Self {
        let mut turns = self.turns();
        let by_key: HashMap<_, _> = functions
            .iter()
            .map(|object| {
                let key = FunctionKey::of(object);
                let route = Arc::new(self.route(&key, object, crossings, &mut turns));
                (key, route)
            })
            .collect();
        let present: BTreeSet<&FunctionId> =
            by_key.values().map(|route| &route.function.id).collect();
        let departed = self
            .functions()
            .filter(|function| !function.counts.is_idle() && !present.contains(&function.id))
            .cloned()
            .collect();
        Self {
            rules: self.rules.clone(),
            table: HostTable::build(&self.rules, functions.iter().map(AsRef::as_ref)),
            by_key,
            departed,
        }
    }

    /// Those that take turns for the pods of each runtime deployment.
    fn turns(&self) -> HashMap<RuntimeKey, Arc<Turns>> {
        self.by_key
            .values()
            .map(|route| (route.runtime.clone(), route.turns.clone()))
            .collect()
    }

    fn route(
        &self,
        key: &FunctionKey,
        object: &WasmFunction,
        crossings: &Crossings,
        turns: &mut HashMap<RuntimeKey, Arc<Turns>>,
    ) -> Route {
        let id = FunctionId {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: object.metadata.uid.clone().unwrap_or_default(),
        };
        let function = self
            .by_key
            .get(key)
            .map(|route| &route.function)
            .filter(|function| function.id == id)
            .cloned()
            .unwrap_or_else(|| Arc::new(Function::new(id, crossings.clone())));
        let scaling = &object.spec.scaling;
        let serving = object
            .status
            .as_ref()
            .and_then(|status| status.serving.as_ref());
        let runtime = RuntimeKey {
            namespace: key.namespace.clone(),
            name: names::serving_runtime(object),
        };
        Route {
            function,
            turns: turns.entry(runtime.clone()).or_default().clone(),
            runtime,
            suspended: object.spec.suspend,
            max_queued: usize::try_from(scaling.max_queued).unwrap_or_default(),
            max_queue: seconds(scaling.max_queue_seconds),
            timeout: seconds(object.spec.limits.timeout_seconds),
            generation: object.metadata.generation.unwrap_or_default(),
            serving: serving.map(|serving| (serving.generation, serving.digest.clone())),
        }
    }

    /// The function that answers for `host` (lower case, no port, no trailing dot) and `path`.
    /// Through the public entrance a function of `visibility: Cluster` is as good as not there.
    #[must_use]
    pub fn find(&self, entrance: Entrance, host: &str, path: &str) -> Option<&Arc<Route>> {
        if entrance == Entrance::Cluster
            && let Some(key) = self.rules.internal(host)
            && let Some(route) = self.by_key.get(&key)
        {
            return Some(route);
        }
        let (key, visibility) = self.table.find(host, path)?;
        (entrance == Entrance::Cluster || visibility == Visibility::Public)
            .then(|| self.by_key.get(key))?
    }

    /// What became of the route to `function`: nothing if the object is gone.
    #[must_use]
    pub fn of(&self, function: &Function) -> Option<&Arc<Route>> {
        self.by_key
            .get(&function.key)
            .filter(|route| route.function.id == function.id)
    }

    /// All functions that exist, and those that are gone but hold requests.
    pub fn functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.by_key
            .values()
            .map(|route| &route.function)
            .chain(&self.departed)
    }

    /// Functions that `before` did not have, or not with this generation, and those that are there no
    /// more, without one.
    pub fn news_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a FunctionId, Option<i64>)> {
        let changed = self.by_key.iter().filter(|(key, route)| {
            let earlier = before.by_key.get(key);
            earlier.is_none_or(|earlier| {
                earlier.function.id != route.function.id || earlier.generation != route.generation
            })
        });
        let gone = before
            .by_key
            .iter()
            .filter(|(key, _)| !self.by_key.contains_key(key));
        changed
            .map(|(_, route)| (&route.function.id, Some(route.generation)))
            .chain(gone.map(|(_, route)| (&route.function.id, None)))
    }

    /// Functions whose waiting requests are answered at once, coming from `before`: those that are
    /// gone, and those that are suspended.
    pub fn without_answer<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a Arc<Function>, AnswerReason)> {
        before
            .by_key
            .values()
            .filter_map(|route| match self.of(&route.function) {
                None => Some((&route.function, AnswerReason::Deleted)),
                Some(now) if now.suspended => Some((&route.function, AnswerReason::Suspended)),
                Some(_) => None,
            })
    }

    /// Whether a waiting request might fare otherwise than under `before`.
    #[must_use]
    pub fn wakes_waiters(&self, before: &Self) -> bool {
        self.by_key.len() != before.by_key.len()
            || self.by_key.iter().any(|(key, route)| {
                before
                    .by_key
                    .get(key)
                    .is_none_or(|earlier| route.differs(earlier))
            })
    }
}

fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or_default())
}
