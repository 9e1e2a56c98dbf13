//! Replays a load against the decision, as the operator would hear of it: for tests, pictures and
//! tuning. Nothing but time is simulated; the load does not depend on what is decided.

use std::time::{Duration, Instant};

use crate::{Cause, Function, History, Inputs, Usage, decide};

mod load;
mod plot;
mod pods;

pub use load::{Load, LoadError};
pub use plot::svg;
use pods::Pods;

/// Steps of time: fine enough for bursts of 200 ms.
const TICK: Duration = Duration::from_millis(10);

/// How often the operator looks without any news.
const SAFETY_NET: Duration = Duration::from_secs(10);

/// What a load is replayed against.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Fewest pods.
    pub min_replicas: u32,
    /// Most pods.
    pub max_replicas: u32,
    /// Requests that one pod is meant to carry at a time.
    pub target_concurrency: u32,
    /// How long demand has to be lower before pods leave.
    pub scale_down_window: Duration,
    /// How long the last pod outlives the last request.
    pub idle: Duration,
    /// From the write of `replicas` until a new pod is ready.
    pub pod_start: Duration,
    /// How often gateways tell of changes, but for those from and to zero, which they tell at once.
    pub report_interval: Duration,
    /// Pods at the beginning.
    pub pods: u32,
}

impl Default for Settings {
    /// The defaults of the API, a pod start of two seconds, no pod at the beginning.
    fn default() -> Self {
        Self {
            min_replicas: 0,
            max_replicas: 10,
            target_concurrency: 100,
            scale_down_window: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            pod_start: Duration::from_secs(2),
            report_interval: Duration::from_millis(100),
            pods: 0,
        }
    }
}

/// What there was at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Time since the beginning.
    pub at: Duration,
    /// Requests in flight and waiting.
    pub in_flight: u64,
    /// Pods that carry them at their target concurrency.
    pub needed: u32,
    /// `spec.replicas`.
    pub desired: u32,
    /// Pods that are ready.
    pub ready: u32,
    /// What decided `desired`.
    pub cause: Cause,
}

/// Replays `load`; one point for each step of 10 ms.
#[must_use]
pub fn replay(load: &Load, settings: &Settings) -> Vec<Point> {
    let mut replay = Replay::new(load, settings, Instant::now());
    let ticks = load.length().as_millis() / TICK.as_millis();
    let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
    (0..=ticks)
        .map(|tick| replay.step(load, TICK * tick))
        .collect()
}

struct Replay<'a> {
    settings: &'a Settings,
    known_since: Instant,
    origin: Instant,
    history: History,
    pods: Pods,
    told: u64,
    told_at: Duration,
    last_demand: Option<Instant>,
    again_at: Option<Instant>,
    cause: Cause,
}

impl<'a> Replay<'a> {
    /// As if the load's beginning had been there for longer than any window.
    fn new(load: &Load, settings: &'a Settings, origin: Instant) -> Self {
        let before = settings.scale_down_window.max(settings.idle) + SAFETY_NET;
        let mut replay = Self {
            settings,
            known_since: origin,
            origin: origin + before,
            history: History::default(),
            pods: Pods::new(settings.pods, settings.pod_start),
            told: load.at(Duration::ZERO),
            told_at: Duration::ZERO,
            last_demand: None,
            again_at: None,
            cause: Cause::Idle,
        };
        let mut earlier = origin;
        while earlier < replay.origin {
            let inputs = replay.inputs(earlier);
            replay.history.observe(&inputs, earlier);
            earlier += SAFETY_NET;
        }
        replay.again_at = Some(replay.origin);
        replay
    }

    fn step(&mut self, load: &Load, at: Duration) -> Point {
        let now = self.origin + at;
        let in_flight = load.at(at);
        if self.hears(in_flight, at) || self.again_at.is_some_and(|again_at| again_at <= now) {
            let inputs = self.inputs(now);
            self.history.observe(&inputs, now);
            let decision = decide(&self.history, &inputs, now);
            let net = now + SAFETY_NET;
            self.again_at = Some(decision.again_at.map_or(net, |at| at.min(net)));
            self.cause = decision.cause;
            self.pods.scale(decision.replicas, at);
        }
        let target = u64::from(self.settings.target_concurrency.max(1));
        Point {
            at,
            in_flight,
            needed: u32::try_from(in_flight.div_ceil(target)).unwrap_or(u32::MAX),
            desired: self.pods.asked_for(),
            ready: self.pods.ready(at),
            cause: self.cause,
        }
    }

    /// Whether a gateway tells something new.
    fn hears(&mut self, in_flight: u64, at: Duration) -> bool {
        let at_once = (in_flight == 0) != (self.told == 0);
        let due = at.saturating_sub(self.told_at) >= self.settings.report_interval;
        let tells = in_flight != self.told && (at_once || due);
        if tells {
            if self.told > 0 {
                self.last_demand = Some(self.origin + at);
            }
            (self.told, self.told_at) = (in_flight, at);
        }
        tells
    }

    fn inputs(&self, now: Instant) -> Inputs {
        let settings = self.settings;
        let last_demand = if self.told > 0 {
            Some(now)
        } else {
            self.last_demand
        };
        Inputs {
            current: self.pods.asked_for(),
            keep_warm: 0,
            functions: vec![Function {
                fixed: None,
                min_replicas: settings.min_replicas,
                max_replicas: settings.max_replicas,
                target_concurrency: settings.target_concurrency,
                scale_down_window: settings.scale_down_window,
                idle: settings.idle,
                suspended: false,
                loading: false,
                hands_over: false,
                in_flight: self.told,
                queued: 0,
                usage: Usage::default(),
                last_demand,
            }],
            known_since: Some(self.known_since),
            rolling: false,
            no_capacity: false,
        }
    }
}
