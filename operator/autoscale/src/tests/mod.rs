use std::time::{Duration, Instant};

use crate::{Decision, Function, History, Inputs, Usage, decide};

mod demand;
mod floors;
mod properties;
mod simulated;
mod time;
mod windows;

const WINDOW: Duration = Duration::from_secs(60);

/// Longer than any window of these tests.
const LONG: Duration = Duration::from_secs(600);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Idle, with the API's defaults.
fn function() -> Function {
    Function {
        fixed: None,
        min_replicas: 0,
        max_replicas: 10,
        target_concurrency: 100,
        scale_down_window: WINDOW,
        idle: WINDOW,
        suspended: false,
        loading: false,
        hands_over: false,
        in_flight: 0,
        queued: 0,
        usage: Usage::default(),
        last_demand: None,
    }
}

/// A deployment that is watched from one moment to the next.
struct Scene {
    history: History,
    inputs: Inputs,
    now: Instant,
}

impl Scene {
    /// Nothing was asked of it for long, and all gateways were known.
    fn new(current: u32, functions: Vec<Function>) -> Self {
        let start = Instant::now();
        let mut scene = Self {
            history: History::default(),
            inputs: Inputs {
                current,
                keep_warm: 0,
                functions,
                known_since: Some(start),
                rolling: false,
                no_capacity: false,
            },
            now: start,
        };
        let asked: Vec<(u64, u64)> = scene
            .inputs
            .functions
            .iter_mut()
            .map(|function| {
                let asked = (function.in_flight, function.queued);
                (function.in_flight, function.queued) = (0, 0);
                asked
            })
            .collect();
        scene.wait(LONG);
        for (function, asked) in scene.inputs.functions.iter_mut().zip(asked) {
            (function.in_flight, function.queued) = asked;
        }
        scene
    }

    /// With so many requests in flight for its first function, for long.
    fn under_load(current: u32, in_flight: u64) -> Self {
        let mut scene = Self::new(current, vec![function()]);
        scene.load(in_flight);
        scene.wait(LONG);
        scene
    }

    fn load(&mut self, in_flight: u64) {
        let function = &mut self.inputs.functions[0];
        function.in_flight = in_flight;
        if in_flight > 0 {
            function.last_demand = Some(self.now);
        }
    }

    /// Time passes with nothing new; the operator looks every 10 s.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.history.observe(&self.inputs, self.now);
            self.now = until.min(self.now + Duration::from_secs(10));
        }
        for function in &mut self.inputs.functions {
            if function.in_flight + function.queued > 0 {
                function.last_demand = Some(self.now);
            }
        }
    }

    /// Decides; `current` stays as it is.
    fn decide(&mut self) -> Decision {
        self.history.observe(&self.inputs, self.now);
        decide(&self.history, &self.inputs, self.now)
    }

    /// Decides and writes down the outcome.
    fn act(&mut self) -> Decision {
        let decision = self.decide();
        self.inputs.current = decision.replicas;
        decision
    }
}
