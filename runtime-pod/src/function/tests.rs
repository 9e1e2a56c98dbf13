use std::time::{Duration, Instant};

use proptest::prelude::*;
use wasmfn_crds::{names::RESOLVE_AT_ANNOTATION, status::Resolved};

use super::{
    plan::{
        Attempt, Desired, Failure, Next, Prepared, Progress, Resting, Served, Step, fail, next,
    },
    *,
};
use crate::{
    command::contract::{Asked, Counting},
    samples,
};

const IMAGE: &str = "registry.test/hello:v1";

fn desired() -> Desired {
    Desired {
        image: IMAGE.to_owned(),
        resolve_at: String::new(),
        recorded: None,
        generation: 1,
        is_suspended: false,
        revision: 0,
        counting: Counting::default(),
    }
}

fn own(digest: &str) -> Resolution {
    Resolution {
        image: IMAGE.to_owned(),
        resolve_at: String::new(),
        digest: digest.to_owned(),
    }
}

fn served(digest: &str) -> Served {
    Served {
        digest: digest.to_owned(),
        generation: 1,
        revision: 0,
    }
}

fn prepared(digest: &str) -> Prepared {
    Prepared {
        digest: digest.to_owned(),
        counting: Counting::default(),
    }
}

fn decide(desired: &Desired, progress: &Progress) -> Next {
    next(
        desired,
        progress,
        ResolutionAuthority::Operator,
        Instant::now(),
    )
}

fn step(next: Next) -> Step {
    match next {
        Next::Do(attempt) => attempt.step,
        other => panic!("{other:?}"),
    }
}

#[test]
fn resolves_prepares_waits_for_the_record_and_serves() {
    let mut desired = desired();
    let mut progress = Progress::default();
    assert!(matches!(
        step(decide(&desired, &progress)),
        Step::Resolve { .. }
    ));
    progress.resolution = Some(own("a"));
    assert!(
        matches!(step(decide(&desired, &progress)), Step::Prepare { digest, .. } if digest == "a")
    );
    progress.prepared = Some(prepared("a"));
    assert_eq!(decide(&desired, &progress), Next::Rest(Resting::Unrecorded));
    desired.recorded = Some("a".to_owned());
    assert!(matches!(
        step(decide(&desired, &progress)),
        Step::Serve { .. }
    ));
    progress.serving = Some(served("a"));
    assert_eq!(decide(&desired, &progress), Next::Rest(Resting::Served));
}

#[test]
fn the_operators_record_counts_more_than_the_own_resolution() {
    let mut desired = desired();
    desired.recorded = Some("b".to_owned());
    let progress = Progress {
        resolution: Some(own("a")),
        prepared: Some(prepared("a")),
        ..Progress::default()
    };
    assert!(
        matches!(step(decide(&desired, &progress)), Step::Prepare { digest, .. } if digest == "b")
    );
}

#[test]
fn without_an_operator_the_own_resolution_is_served() {
    let progress = Progress {
        resolution: Some(own("a")),
        prepared: Some(prepared("a")),
        ..Progress::default()
    };
    let next = next(
        &desired(),
        &progress,
        ResolutionAuthority::Own,
        Instant::now(),
    );
    assert!(matches!(step(next), Step::Serve { .. }));
}

#[test]
fn new_settings_are_served_without_preparing_again() {
    let progress = Progress {
        prepared: Some(prepared("a")),
        serving: Some(served("a")),
        ..Progress::default()
    };
    let mut newer = Desired {
        recorded: Some("a".to_owned()),
        generation: 2,
        ..desired()
    };
    assert!(matches!(
        step(decide(&newer, &progress)),
        Step::Serve { .. }
    ));
    newer.generation = 1;
    newer.revision = 7;
    assert!(matches!(
        step(decide(&newer, &progress)),
        Step::Serve { .. }
    ));
}

#[test]
fn a_suspended_function_is_left_alone() {
    let suspended = Desired {
        is_suspended: true,
        ..desired()
    };
    assert_eq!(
        decide(&suspended, &Progress::default()),
        Next::Rest(Resting::Suspended)
    );
}

#[test]
fn a_quarantined_generation_is_not_served_and_the_next_one_is() {
    let progress = Progress {
        resolution: Some(own("a")),
        prepared: Some(prepared("a")),
        quarantined: Some(1),
        ..Progress::default()
    };
    let quarantined = Desired {
        recorded: Some("a".to_owned()),
        ..desired()
    };
    assert_eq!(
        decide(&quarantined, &progress),
        Next::Rest(Resting::Quarantined)
    );
    let changed = Desired {
        generation: 2,
        ..quarantined
    };
    assert!(matches!(
        step(decide(&changed, &progress)),
        Step::Serve { .. }
    ));
}

#[test]
fn a_resolution_counts_only_for_its_image_and_annotation() {
    let mut object = samples::function("hello");
    object.status.get_or_insert_default().resolved = Some(Resolved::new(IMAGE, "", "sha256:aa"));
    assert_eq!(
        Desired::of(&object, 0).recorded.as_deref(),
        Some("sha256:aa")
    );
    object
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(RESOLVE_AT_ANNOTATION.to_owned(), "again".to_owned());
    let again = Desired::of(&object, 0);
    assert_eq!(again.recorded, None);
    let progress = Progress {
        resolution: Some(own("a")),
        ..Progress::default()
    };
    assert!(
        matches!(step(decide(&again, &progress)), Step::Resolve { resolve_at, .. } if resolve_at == "again")
    );
}

#[test]
fn a_permanent_failure_waits_for_a_change_and_a_passing_one_for_its_time() {
    let now = Instant::now();
    let desired = desired();
    let Next::Do(attempt) = decide(&desired, &Progress::default()) else {
        panic!("nothing to do");
    };
    let permanent = Progress {
        failure: Some(fail(attempt.clone(), None, false, None, now)),
        ..Progress::default()
    };
    assert_eq!(decide(&desired, &permanent), Next::Rest(Resting::Failed));
    for changed in [
        Desired {
            generation: 2,
            ..desired.clone()
        },
        Desired {
            revision: 1,
            ..desired.clone()
        },
        Desired {
            image: "registry.test/hello:v2".to_owned(),
            ..desired.clone()
        },
    ] {
        assert!(matches!(decide(&changed, &permanent), Next::Do(_)));
    }

    let passing = fail(attempt.clone(), None, true, None, now);
    let retry_at = passing.retry_at.unwrap();
    let progress = Progress {
        failure: Some(passing),
        ..Progress::default()
    };
    let authority = ResolutionAuthority::Operator;
    assert_eq!(
        next(&desired, &progress, authority, now),
        Next::Pause(retry_at)
    );
    assert_eq!(
        next(&desired, &progress, authority, retry_at),
        Next::Do(attempt)
    );
}

#[test]
fn pauses_grow_to_a_minute_and_heed_the_registry() {
    let now = Instant::now();
    let attempt = Attempt {
        step: Step::Serve {
            digest: "a".to_owned(),
        },
        generation: 1,
        revision: 0,
    };
    let mut failure: Option<Failure> = None;
    let mut pauses = Vec::new();
    for _ in 0..40 {
        let next = fail(attempt.clone(), failure.as_ref(), true, None, now);
        pauses.push((next.retry_at.unwrap() - now).as_millis());
        failure = Some(next);
    }
    assert_eq!(pauses[..4], [500, 1000, 2000, 4000]);
    assert_eq!(pauses[39], 60_000);
    let asked = Duration::from_secs(300);
    let failure = fail(attempt, None, true, Some(asked), now);
    assert_eq!(failure.retry_at, Some(now + asked));
}

#[test]
fn another_command_is_compiled_anew() {
    let command = wasmfn_crds::spec::Command {
        contract: Some(wasmfn_crds::spec::Contract::JSON),
        instructions: None,
    };
    let desired = Desired {
        recorded: Some("a".to_owned()),
        counting: Counting::of(Asked::of(Some(&command))),
        ..desired()
    };
    let progress = Progress {
        prepared: Some(prepared("a")),
        ..Progress::default()
    };
    let next = step(decide(&desired, &progress));
    assert!(matches!(next, Step::Prepare { counting, .. } if counting == desired.counting));
}

proptest! {
    /// Whatever happened before, doing what is said leads to the recorded digest in a few steps.
    #[test]
    fn every_state_leads_to_the_recorded_digest(
        resolution in proptest::option::of("[ab]"),
        made in proptest::option::of("[ab]"),
        serving in proptest::option::of(("[ab]", 0..3_i64, 0..2_u64)),
        recorded in "[ab]",
    ) {
        let desired = Desired { recorded: Some(recorded.clone()), ..desired() };
        let mut progress = Progress {
            resolution: resolution.as_deref().map(own),
            prepared: made.as_deref().map(prepared),
            serving: serving.map(|(digest, generation, revision)| Served { digest, generation, revision }),
            failure: None,
            quarantined: None,
        };
        for _ in 0..3 {
            match decide(&desired, &progress) {
                Next::Rest(resting) => {
                    prop_assert_eq!(resting, Resting::Served);
                    break;
                }
                Next::Do(attempt) => match attempt.step {
                    Step::Prepare { digest, counting, .. } => progress.prepared = Some(Prepared { digest, counting }),
                    Step::Serve { digest } => progress.serving = Some(served(&digest)),
                    Step::Resolve { .. } => prop_assert!(false, "resolved what is recorded"),
                },
                Next::Pause(_) => prop_assert!(false, "paused without a failure"),
            }
        }
        prop_assert_eq!(progress.serving, Some(served(&recorded)));
    }
}

#[test]
fn requests_in_flight_are_counted_up_to_the_limit() {
    let function = Function::new(
        id_of(&samples::function("hello")),
        Arc::default(),
        Arc::default(),
    );
    let first = function.enter(2).unwrap();
    let _second = function.enter(2).unwrap();
    assert!(function.enter(2).is_none());
    drop(first);
    assert!(function.enter(2).is_some());
    assert_eq!(function.report().in_flight, 1);
}

#[test]
fn the_expected_memory_rises_at_once_and_sinks_slowly() {
    let function = Function::new(
        id_of(&samples::function("hello")),
        Arc::default(),
        Arc::default(),
    );
    function.observe_memory(64 << 20);
    assert_eq!(function.expected_bytes(), 64 << 20);
    function.observe_memory(1 << 20);
    assert_eq!(function.expected_bytes(), 63 << 20);
    for _ in 0..1000 {
        function.observe_memory(1 << 20);
    }
    assert!(function.expected_bytes() < 2 << 20);
}
