//! Events: what a function's conditions turned to, told once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};
use wasmfn_crds::{
    ConditionType,
    condition::{cut, find},
};

/// Longest note of an event that the API server takes, in bytes.
pub(crate) const NOTE_MAX_BYTES: usize = 1024;

/// Conditions whose turns are told, with what is good news for each. The others are parts of
/// these, or change too often to be news.
const TOLD: [(ConditionType, &str); 3] = [
    (ConditionType::Ready, "True"),
    (ConditionType::Routed, "True"),
    (ConditionType::Degraded, "False"),
];

/// Events for the turns from `old` to `new`.
#[must_use]
pub fn transitions(old: &[Condition], new: &[Condition]) -> Vec<Event> {
    TOLD.into_iter()
        .filter_map(|(kind, good)| {
            let after = find(new, kind)?;
            let before = find(old, kind);
            is_news(before, after, good).then(|| event(kind, after, good))
        })
        .collect()
}

/// What is not known yet is no news. A good state is news where it was not there before, but for
/// the parts that are good from the start, or once it is known how they are; a bad one also where its
/// reason is another.
fn is_news(before: Option<&Condition>, after: &Condition, good: &str) -> bool {
    if after.status == "Unknown" {
        return false;
    }
    let is_good = after.status == good;
    let is_ready = after.type_ == ConditionType::Ready.as_str();
    match before {
        None => !is_good || is_ready,
        Some(before) if before.status == "Unknown" && is_good => is_ready,
        Some(before) if before.status != after.status => true,
        Some(before) => !is_good && before.reason != after.reason,
    }
}

fn event(kind: ConditionType, condition: &Condition, good: &str) -> Event {
    let type_ = if condition.status == good {
        EventType::Normal
    } else {
        EventType::Warning
    };
    Event {
        type_,
        reason: condition.reason.clone(),
        note: Some(cut(&condition.message, NOTE_MAX_BYTES).to_owned()),
        action: kind.as_str().to_owned(),
        secondary: None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn condition(kind: ConditionType, status: &str, reason: &str) -> Condition {
        Condition {
            type_: kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "because".to_owned(),
            observed_generation: Some(1),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn only_turns_are_told() {
        let ready = |status, reason| vec![condition(ConditionType::Ready, status, reason)];
        for (old, new, told) in [
            (vec![], ready("Unknown", "Pending"), None),
            (
                ready("Unknown", "Pending"),
                ready("Unknown", "Pulling"),
                None,
            ),
            (
                ready("Unknown", "Pulling"),
                ready("True", "Answering"),
                Some("Answering"),
            ),
            (ready("True", "Answering"), ready("True", "Idle"), None),
            (
                ready("Unknown", "Resolving"),
                ready("False", "NotWasm"),
                Some("NotWasm"),
            ),
            (ready("False", "NotWasm"), ready("False", "NotWasm"), None),
            (
                ready("False", "NotWasm"),
                ready("False", "TooLarge"),
                Some("TooLarge"),
            ),
        ] {
            let events = transitions(&old, &new);
            assert_eq!(
                events.first().map(|event| event.reason.as_str()),
                told,
                "{new:?}"
            );
        }
    }

    #[test]
    fn parts_are_told_when_they_go_wrong() {
        let routed = |status, reason| vec![condition(ConditionType::Routed, status, reason)];
        assert!(transitions(&[], &routed("True", "HostsAssigned")).is_empty());
        let events = transitions(&[], &routed("False", "HostTaken"));
        assert_eq!(events[0].type_, EventType::Warning);
        let behind = routed("Unknown", "GatewaysBehind");
        assert!(transitions(&behind, &routed("True", "HostsAssigned")).is_empty());
        let degraded = |status, reason| vec![condition(ConditionType::Degraded, status, reason)];
        assert!(transitions(&[], &degraded("False", "PodsAgree")).is_empty());
        let events = transitions(
            &degraded("False", "PodsAgree"),
            &degraded("True", "SomePodsFailed"),
        );
        assert_eq!(events[0].type_, EventType::Warning);
    }
}
