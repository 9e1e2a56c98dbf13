//! Pods that have given up to reuse instances.

use super::*;

#[test]
fn a_guest_that_cannot_serve_twice_is_loaded_and_says_so() {
    let given_up = |digit| {
        let mut report = loaded(digit, 1);
        if let Some(version) = &mut report.serving {
            version.not_reused = true;
        }
        report
    };
    let old = || json!({ "resolved": resolved('a') });
    // One pod that has found out is enough.
    let world = World::shared(old(), [loaded('a', 1), given_up('a')]);
    assert_eq!(
        world.condition(ConditionType::Loaded),
        is("True", Reason::NotReused)
    );
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("True", Reason::Answering)
    );
    // What a pod says of another version says nothing of this one.
    let world = World::shared(old(), [loaded('a', 1), given_up('b')]);
    assert_eq!(
        world.condition(ConditionType::Loaded),
        is("True", Reason::ModuleLoaded)
    );
}
