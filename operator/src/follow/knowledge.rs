use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use wasmfn_crds::hosts::FunctionKey;
use wasmfn_report::{GatewayLine, RuntimeLine};

use super::{GatewayView, Routing, RuntimeView, key, routing::Unrouted};
use crate::wake::Wakes;

/// Demand that comes after less than this counts as one with what was before.
const PAUSE: Duration = Duration::from_secs(1);

/// A pod, and no other one of its name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PodId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// Demand for a function over all gateways.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// Requests that were passed on to pods.
    pub in_flight: u64,
    /// Requests that wait.
    pub queued: u64,
    /// When there last were any, as far as was heard; now, while there are some.
    pub last: Option<Instant>,
}

impl Demand {
    /// Requests in flight and waiting.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.in_flight + self.queued
    }
}

/// All that runtime pods and gateways have said, and who is to look at it.
#[derive(Debug)]
pub struct Knowledge {
    said: Mutex<Said>,
    functions: Arc<Wakes<FunctionKey>>,
    namespaces: Arc<Wakes<String>>,
}

#[derive(Debug, Default)]
struct Said {
    runtimes: HashMap<PodId, RuntimeView>,
    gateways: HashMap<PodId, GatewayView>,
    unrouted: Unrouted,
    last_demand: HashMap<FunctionKey, Instant>,
    demand_known_since: Option<Instant>,
    lines: u64,
}

impl Knowledge {
    /// Nothing is known yet. News has its functions looked at again through `functions`, and the
    /// scale of its namespaces through `namespaces`.
    #[must_use]
    pub fn new(functions: Arc<Wakes<FunctionKey>>, namespaces: Arc<Wakes<String>>) -> Self {
        Self {
            said: Mutex::default(),
            functions,
            namespaces,
        }
    }

    /// A runtime pod opened its stream.
    pub fn runtime_opened(&self, pod: &PodId) {
        self.lock().runtime(pod).opened();
    }

    /// A runtime pod's stream has ended.
    pub fn runtime_closed(&self, pod: &PodId) {
        if let Some(view) = self.lock().runtimes.get_mut(pod) {
            view.closed();
        }
    }

    /// A runtime pod said something.
    pub fn runtime_said(&self, pod: &PodId, line: RuntimeLine) {
        // Numbers that move with every request are news to the scaler alone.
        let tells_load = matches!(line, RuntimeLine::Pod(_) | RuntimeLine::Function(_));
        let changed = {
            let mut said = self.lock();
            said.lines += 1;
            let order = said.lines;
            said.runtime(pod).take(line, order)
        };
        if tells_load {
            self.namespaces.wake(pod.namespace.clone());
        }
        self.look_at(changed);
    }

    /// A runtime pod is there no more.
    pub fn runtime_gone(&self, pod: &PodId) {
        let view = self.lock().runtimes.remove(pod);
        self.look_at(view.iter().flat_map(RuntimeView::functions).cloned());
    }

    /// A gateway is there, ready or not.
    pub fn gateway_seen(&self, pod: &PodId, ready: bool, now: Instant) {
        let mut said = self.lock();
        said.gateways
            .entry(pod.clone())
            .or_default()
            .seen(ready, now);
        self.note_known(&mut said, now);
        self.gateways_changed(said);
    }

    /// A gateway opened its stream.
    pub fn gateway_opened(&self, pod: &PodId) {
        if let Some(view) = self.lock().gateways.get_mut(pod) {
            view.opened();
        }
    }

    /// A gateway's stream has ended.
    pub fn gateway_closed(&self, pod: &PodId) {
        let mut said = self.lock();
        if let Some(view) = said.gateways.get_mut(pod) {
            view.closed();
        }
        self.gateways_changed(said);
    }

    /// A gateway said something.
    pub fn gateway_said(&self, pod: &PodId, line: GatewayLine, now: Instant) {
        let mut said = self.lock();
        let Some(view) = said.gateways.get_mut(pod) else {
            return;
        };
        let news = RouteNews::of(&line);
        let changed = view.take(line);
        let turned = said.note_demand(&changed, now);
        let routed = said.reroute(&news);
        self.note_known(&mut said, now);
        drop(said);
        self.namespaces
            .wake_all(changed.into_iter().map(|key| key.namespace));
        self.functions.wake_all(turned.into_iter().chain(routed));
    }

    /// How far this `generation` of a function has come at the gateways. Where not all know it, the
    /// function is looked at again when that changes.
    #[must_use]
    pub fn routing(&self, function: &FunctionKey, uid: &str, generation: i64) -> Routing {
        let mut said = self.lock();
        let Said {
            unrouted, gateways, ..
        } = &mut *said;
        unrouted.ask(gateways, function, uid, generation)
    }

    /// A gateway is there no more, and with it what it held.
    pub fn gateway_gone(&self, pod: &PodId, now: Instant) {
        let mut said = self.lock();
        let Some(view) = said.gateways.remove(pod) else {
            return;
        };
        let held: Vec<FunctionKey> = view
            .functions()
            .filter(|key| view.demand(key, "") != (0, 0))
            .cloned()
            .collect();
        for key in &held {
            said.last_demand.insert(key.clone(), now);
        }
        self.note_known(&mut said, now);
        self.gateways_changed(said);
        self.look_at(held);
    }

    /// What a runtime pod has said so far.
    #[must_use]
    pub fn runtime(&self, pod: &PodId) -> Option<RuntimeView> {
        self.lock().runtimes.get(pod).cloned()
    }

    /// Reads what a runtime pod has said, without copying it.
    pub fn with_runtime<T>(&self, pod: &PodId, read: impl FnOnce(&RuntimeView) -> T) -> Option<T> {
        self.lock().runtimes.get(pod).map(read)
    }

    /// Demand for a function.
    #[must_use]
    pub fn demand(&self, function: &FunctionKey, uid: &str, now: Instant) -> Demand {
        let said = self.lock();
        let (in_flight, queued) = said.demand(function, uid, now);
        let last = if in_flight + queued > 0 {
            Some(now)
        } else {
            said.last_demand.get(function).copied()
        };
        Demand {
            in_flight,
            queued,
            last,
        }
    }

    /// Since when every gateway has told its full picture; unset while one has not, or is silent.
    #[must_use]
    pub fn demand_known_since(&self, now: Instant) -> Option<Instant> {
        let said = self.lock();
        let silent = said.gateways.values().any(|view| view.is_silent(now));
        said.demand_known_since.filter(|_| !silent)
    }

    /// A function is there no more.
    pub fn forget(&self, function: &FunctionKey) {
        let mut said = self.lock();
        said.last_demand.remove(function);
        said.unrouted.forget(function);
    }

    /// Has the functions looked at that are known everywhere now, or no more.
    fn gateways_changed(&self, mut said: MutexGuard<'_, Said>) {
        let routed = said.reroute(&RouteNews::All);
        drop(said);
        self.functions.wake_all(routed);
    }

    fn look_at(&self, changed: impl IntoIterator<Item = FunctionKey>) {
        let changed: Vec<FunctionKey> = changed.into_iter().collect();
        let namespaces: BTreeSet<String> =
            changed.iter().map(|key| key.namespace.clone()).collect();
        self.namespaces.wake_all(namespaces);
        self.functions.wake_all(changed);
    }

    /// Notes whether every gateway that takes requests has told its full picture.
    fn note_known(&self, said: &mut Said, now: Instant) {
        let any = said.gateways.values().any(|view| view.synced);
        let all = said
            .gateways
            .values()
            .all(|view| view.synced || !view.is_ready());
        let before = said.demand_known_since;
        said.demand_known_since = (any && all).then(|| before.unwrap_or(now));
        if before.is_some() != said.demand_known_since.is_some() {
            let namespaces: BTreeSet<String> = said
                .runtimes
                .keys()
                .map(|pod| pod.namespace.clone())
                .collect();
            self.namespaces.wake_all(namespaces);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said
            .lock()
            .expect("no code that holds this lock panics")
    }
}

/// What a line may change of where functions are known.
enum RouteNews {
    Nothing,
    Function(FunctionKey),
    All,
}

impl RouteNews {
    fn of(line: &GatewayLine) -> Self {
        match line {
            GatewayLine::Route { function, .. } => Self::Function(key(function)),
            GatewayLine::Gateway { .. } | GatewayLine::Synced => Self::All,
            GatewayLine::Function(_) | GatewayLine::Heartbeat | GatewayLine::Unknown => {
                Self::Nothing
            }
        }
    }
}

impl Said {
    /// Functions that are known everywhere now, or no more.
    fn reroute(&mut self, news: &RouteNews) -> Vec<FunctionKey> {
        match news {
            RouteNews::Nothing => Vec::new(),
            RouteNews::Function(function) => {
                let changed = self.unrouted.look_at(&self.gateways, function);
                changed.into_iter().collect()
            }
            RouteNews::All => self.unrouted.look_at_all(&self.gateways),
        }
    }

    fn runtime(&mut self, pod: &PodId) -> &mut RuntimeView {
        self.runtimes
            .entry(pod.clone())
            .or_insert_with(|| RuntimeView::new(&pod.namespace))
    }

    fn demand(&self, function: &FunctionKey, uid: &str, now: Instant) -> (u64, u64) {
        self.gateways
            .values()
            .filter(|view| view.counts(now))
            .map(|view| view.demand(function, uid))
            .fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// Notes when there was demand; says for which functions it came after a pause. That it has
    /// ended is found out when the idle time is over.
    fn note_demand(&mut self, changed: &[FunctionKey], now: Instant) -> Vec<FunctionKey> {
        let mut began = Vec::new();
        for key in changed {
            let demand = self.demand(key, "", now) != (0, 0);
            let before = self.last_demand.get(key).copied();
            if demand && before.is_none_or(|before| now - before >= PAUSE) {
                began.push(key.clone());
            }
            if demand || before.is_some() {
                self.last_demand.insert(key.clone(), now);
            }
        }
        began
    }
}
