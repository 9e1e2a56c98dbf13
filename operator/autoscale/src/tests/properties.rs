//! What holds whatever the load.

use proptest::prelude::*;

use crate::{
    Function, LASTING,
    simulator::{Load, Settings, replay},
};

use super::*;

/// How long after the one before, in milliseconds, and how many are in flight for each function.
type Sample = (u64, [u64; 3]);

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let pause = prop_oneof![0_u64..300, 0_u64..20_000];
    let in_flight = prop::array::uniform3(prop_oneof![Just(0_u64), 0_u64..100, 0_u64..3_000]);
    prop::collection::vec((pause, in_flight), 1..60)
}

fn functions() -> impl Strategy<Value = Vec<Function>> {
    let one = (0_u32..4, 1_u32..20, 1_u32..300, 1_u64..90, 1_u64..90).prop_map(
        |(min_replicas, more, target_concurrency, window, idle)| Function {
            min_replicas,
            max_replicas: min_replicas + more,
            target_concurrency,
            scale_down_window: Duration::from_secs(window),
            idle: Duration::from_secs(idle),
            ..function()
        },
    );
    prop::collection::vec(one, 3)
}

impl Scene {
    fn take(&mut self, (pause, in_flight): Sample) {
        self.wait(millis(pause));
        for (function, in_flight) in self.inputs.functions.iter_mut().zip(in_flight) {
            function.in_flight = in_flight;
            if in_flight > 0 {
                function.last_demand = Some(self.now);
            }
        }
    }

    /// What is in flight now, in pods.
    fn present(&self) -> u32 {
        let shares = self.inputs.functions.iter().map(|function| {
            let target = f64::from(function.target_concurrency);
            let in_flight = f64::from(u32::try_from(function.in_flight).unwrap());
            (in_flight / target).clamp(
                f64::from(function.min_replicas),
                f64::from(function.max_replicas),
            )
        });
        let needed = (shares.sum::<f64>() - 1e-5).ceil();
        // A small whole number.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let pods = needed as u32;
        pods
    }

    fn most(&self) -> u32 {
        self.inputs
            .functions
            .iter()
            .map(|function| function.max_replicas)
            .sum()
    }
}

proptest! {
    #[test]
    fn within_what_is_needed_now_and_the_most(functions in functions(), samples in samples(), current in 0_u32..80, keep_warm in 0_u32..3) {
        let mut scene = Scene::new(current, functions);
        scene.inputs.keep_warm = keep_warm;
        for sample in samples {
            scene.take(sample);
            let before = scene.inputs.current;
            let decision = scene.act();
            prop_assert!(decision.replicas >= before.min(scene.present()), "fewer than needed: {decision:?}");
            prop_assert!(decision.replicas <= scene.most().max(keep_warm), "more than the most: {decision:?}");
            prop_assert!(decision.again_at.is_none_or(|at| at > scene.now));
        }
        let calm = scene.now + LASTING;
        scene.wait(LASTING);
        prop_assert!(scene.now == calm && scene.act().replicas >= scene.present());
    }

    #[test]
    fn what_is_in_the_way_is_heeded(functions in functions(), samples in samples(), ways in prop::collection::vec(any::<[bool; 3]>(), 60), current in 0_u32..80) {
        let mut scene = Scene::new(current, functions);
        let known_since = scene.inputs.known_since;
        for (sample, [rolling, no_capacity, silent]) in samples.into_iter().zip(ways) {
            scene.take(sample);
            (scene.inputs.rolling, scene.inputs.no_capacity) = (rolling, no_capacity);
            scene.inputs.known_since = known_since.filter(|_| !silent);
            let before = scene.inputs.current;
            let decision = scene.act();
            prop_assert!(decision.replicas >= before.min(scene.present()));
            prop_assert!(decision.replicas <= scene.most());
            if rolling || silent {
                prop_assert!(decision.replicas >= before.min(scene.most()), "{decision:?}");
            }
            if no_capacity && before > 0 {
                prop_assert!(decision.replicas <= before, "{decision:?}");
            }
        }
    }

    #[test]
    fn nothing_leaves_on_missing_data_whatever_is_asked(functions in functions(), samples in samples(), current in 0_u32..80) {
        let mut scene = Scene::new(current, functions);
        scene.inputs.known_since = None;
        let mut least = current.min(scene.most());
        for sample in samples {
            scene.take(sample);
            let replicas = scene.act().replicas;
            prop_assert!(replicas >= least);
            least = replicas;
        }
    }

    #[test]
    fn more_load_never_means_fewer_pods(functions in functions(), samples in samples(), more in prop::collection::vec(0_u64..500, 60), current in 0_u32..60) {
        let mut less = Scene::new(current, functions.clone());
        let mut greater = Scene::new(current, functions);
        for ((pause, in_flight), more) in samples.into_iter().zip(more) {
            less.take((pause, in_flight));
            greater.take((pause, in_flight.map(|in_flight| in_flight + more)));
            prop_assert!(greater.decide().replicas >= less.decide().replicas);
        }
    }

    #[test]
    fn an_answer_stays_until_something_changes(functions in functions(), samples in samples(), current in 0_u32..80) {
        let mut scene = Scene::new(current, functions);
        for sample in samples {
            scene.take(sample);
            let first = scene.act();
            let again = scene.act();
            prop_assert_eq!(again.replicas, first.replicas);
            if let Some(at) = first.again_at.filter(|at| *at - scene.now > millis(2)) {
                scene.wait(at - scene.now - millis(1));
                let before_its_time = scene.act().replicas;
                prop_assert_eq!(before_its_time, first.replicas);
            }
        }
    }

    #[test]
    fn replicas_do_not_follow_a_load_that_swings_within_a_window(low in 0_u64..300, more in 0_u64..900, on in 300_u64..5_000, off in 100_u64..5_000) {
        let settings = Settings { pods: u32::try_from(low.div_ceil(100)).unwrap(), scale_down_window: Duration::from_secs(15), ..Settings::default() };
        let load = Load::pulses(low, low + more, millis(on), millis(on + off), Duration::from_secs(60));
        let points = replay(&load, &settings);
        let fell = points.windows(2).find(|pair| pair[1].desired < pair[0].desired);
        prop_assert_eq!(fell, None);
        let rose = points.windows(2).filter(|pair| pair[1].desired > pair[0].desired).count();
        prop_assert!(rose <= 2, "{} changes", rose);
    }

    #[test]
    fn a_burst_that_one_pod_clears_starts_none(low in 1_u64..=100, more in 0_u64..5_000, on in 1_u64..=200, off in 500_u64..9_000) {
        let settings = Settings { pods: 1, ..Settings::default() };
        let load = Load::pulses(low, low + more, millis(on), millis(on + off), Duration::from_secs(60));
        let most = replay(&load, &settings).iter().map(|point| point.desired).max();
        prop_assert_eq!(most, Some(1));
    }
}
