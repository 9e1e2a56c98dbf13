//! Conditions of a function and the reasons they give, and how a new set takes over from an old.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::{Deserialize, Serialize};

/// What a condition speaks of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum ConditionType {
    /// The current generation answers, or would after waking up.
    Ready,
    /// The image was resolved to a digest.
    Resolved,
    /// The module was pulled, compiled and linked.
    Loaded,
    /// The gateways send its hosts to it.
    Routed,
    /// Some version answers, an older one where the newest cannot load.
    Serving,
    /// Some pods cannot load what others serve, or there is no room for pods that were asked for.
    Degraded,
    /// It holds memory or pods right now.
    Active,
}

impl ConditionType {
    /// The word in `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Resolved => "Resolved",
            Self::Loaded => "Loaded",
            Self::Routed => "Routed",
            Self::Serving => "Serving",
            Self::Degraded => "Degraded",
            Self::Active => "Active",
        }
    }
}

/// Declares [`Reason`] with the word of each variant.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Why a condition is as it is: one word, part of the API.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name),+
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word in `reason`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),+
                }
            }
        }
    };
}

reasons! {
    /// All is well: it answers.
    Answering,
    /// It would answer after a pod has started or the module was mapped.
    Idle,
    /// The tag has a digest.
    DigestKnown,
    /// Module pulled, compiled and linked.
    ModuleLoaded,
    /// The same, but its instances cannot serve more than once, so `reuse` is given up.
    NotReused,
    /// Its hosts lead to it.
    HostsAssigned,
    /// All pods that hold it serve the same version.
    PodsAgree,
    /// Requests are in flight or waiting, or pods of its own are there.
    InUse,
    /// Nothing has been reported yet.
    Pending,
    /// Some gateway has not heard of the current generation yet.
    GatewaysBehind,
    /// The registry is being asked for the digest.
    Resolving,
    /// The module is being pulled.
    Pulling,
    /// The module is being compiled.
    Compiling,
    /// Its pods are starting.
    PodsStarting,
    /// Its pods found no node.
    Unschedulable,
    /// The namespace's quota allows no more pods.
    OverQuota,
    /// An older version answers, since the newest cannot load.
    OlderVersion,
    /// Nothing answers.
    NothingLoaded,
    /// Some pods failed where others serve.
    SomePodsFailed,
    /// `suspend` is set.
    Suspended,
    /// `replicas` is 0.
    NoReplicas,
    /// The spec cannot be read or makes no sense together with the cluster's settings.
    InvalidSpec,
    /// An object with a name that wasmfn needs was made by somebody else.
    NameTaken,
    /// The namespace's shared functions name more Secrets and ConfigMaps than one volume takes.
    TooManyReferences,
    /// `template` sets what the admin does not allow.
    TemplateNotAllowed,
    /// The API server refused an object that the function needs.
    ApplyFailed,
    /// The image is no OCI reference.
    InvalidImage,
    /// The registry has no such repository, tag or digest.
    ImageNotFound,
    /// The registry wants credentials, or refuses those it got.
    RegistryDenied,
    /// The registry cannot be reached or answers with a fault of its own.
    RegistryUnavailable,
    /// The registry sent something that is no valid answer.
    RegistryInvalid,
    /// A Secret or ConfigMap field that the function names is not there.
    MissingSecret,
    /// A key-value store that the function names is not offered in its namespace.
    UnknownStore,
    /// A key-value store of the function cannot be used as the admin set it up.
    StoreUnusable,
    /// What was pulled is larger than allowed.
    TooLarge,
    /// What was pulled does not have the digest that was asked for.
    DigestMismatch,
    /// What was pulled is not WebAssembly.
    NotWasm,
    /// What was pulled is native code.
    NativeCode,
    /// The module exports nothing that wasmfn can call.
    WrongExports,
    /// The module imports what wasmfn does not offer.
    MissingImport,
    /// The module needs a kind of guest or feature that is not turned on.
    Unsupported,
    /// The module is not valid, or could not be compiled.
    CompileFailed,
    /// The module could not be loaded for a reason of the pod's own.
    LoadFailed,
    /// It was running at two crashes of its process.
    Quarantined,
    /// A host lies under no suffix that the admin granted to the namespace.
    HostNotAllowed,
    /// An older function has the host.
    HostTaken,
}

impl Reason {
    /// The reason behind a word, if this version knows it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == word)
    }
}

/// A condition's answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Truth {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It is not known yet.
    Unknown,
}

impl Truth {
    /// The word in `status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition before it is merged with what the object had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What it speaks of.
    pub kind: ConditionType,
    /// Its answer.
    pub truth: Truth,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in a sentence; cut at 1024 bytes when merged.
    pub message: String,
}

/// Longest message of a condition, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 1024;

/// Conditions as they shall be written: `lastTransitionTime` moves only where `status` changed.
/// Sorted by type, so that equal sets are equal objects.
#[must_use]
pub fn merge(
    old: &[Condition],
    findings: &[Finding],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let mut merged: Vec<Condition> = findings
        .iter()
        .map(|finding| {
            let before = old
                .iter()
                .find(|condition| condition.type_ == finding.kind.as_str());
            let last_transition_time = before
                .filter(|condition| condition.status == finding.truth.as_str())
                .map_or_else(
                    || Time(now),
                    |condition| condition.last_transition_time.clone(),
                );
            Condition {
                type_: finding.kind.as_str().to_owned(),
                status: finding.truth.as_str().to_owned(),
                reason: finding.reason.as_str().to_owned(),
                message: cut(&finding.message, MESSAGE_MAX_BYTES).to_owned(),
                observed_generation: Some(generation),
                last_transition_time,
            }
        })
        .collect();
    merged.sort_by(|left, right| left.type_.cmp(&right.type_));
    merged
}

/// The start of `text`, at most `bytes` long, ending at a character.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes)
        .rev()
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(0);
    &text[..end]
}

/// The condition of a type, if the object has it.
#[must_use]
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(truth: Truth, reason: Reason, message: &str) -> Finding {
        Finding {
            kind: ConditionType::Ready,
            truth,
            reason,
            message: message.to_owned(),
        }
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let early = Timestamp::from_second(1_000).unwrap();
        let late = Timestamp::from_second(2_000).unwrap();
        let first = merge(&[], &[ready(Truth::False, Reason::Pending, "a")], 1, early);
        let second = merge(
            &first,
            &[ready(Truth::False, Reason::Pulling, "b")],
            2,
            late,
        );
        assert_eq!(second[0].last_transition_time, Time(early));
        assert_eq!(second[0].message, "b");
        assert_eq!(second[0].observed_generation, Some(2));
        let third = merge(
            &second,
            &[ready(Truth::True, Reason::Answering, "c")],
            2,
            late,
        );
        assert_eq!(third[0].last_transition_time, Time(late));
    }

    #[test]
    fn every_reason_is_found_by_its_word() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("Elsewhere"), None);
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        assert_eq!(cut("äöü", 3), "ä");
        assert_eq!(cut("abc", 3), "abc");
    }
}
