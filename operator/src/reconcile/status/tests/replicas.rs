//! How many pods there are to be.

use super::*;

#[test]
fn a_function_of_no_replicas_is_not_ready() {
    let zero = json!({ "placement": "Dedicated", "replicas": 0 });
    for status in [json!({}), json!({ "resolved": resolved('a') })] {
        let mut world = World::shared(status, []);
        world.function.spec = function(zero.clone(), json!({})).spec;
        let expected = is("False", Reason::NoReplicas);
        assert_eq!(world.condition(ConditionType::Ready), expected);
    }
}
