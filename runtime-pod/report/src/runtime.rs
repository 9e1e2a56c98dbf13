use serde::{Deserialize, Serialize};

use crate::FunctionId;

/// A line of a runtime pod's stream.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum RuntimeLine {
    /// The pod as a whole.
    Pod(PodState),
    /// One function that it holds.
    Function(RuntimeFunction),
    /// It no longer holds this function.
    Gone {
        /// The function.
        function: FunctionId,
    },
    /// The full picture ends here.
    Synced,
    /// Nothing new.
    Heartbeat,
    /// A line of a newer version.
    #[serde(other)]
    Unknown,
}

/// A runtime pod as a whole.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodState {
    /// Version of wasmfn.
    pub version: String,
    /// Runtime deployment that it belongs to.
    pub runtime: String,
    /// Its name.
    pub pod: String,
    /// Its function list is in sync with the API server, or was restored from disk.
    pub in_sync: bool,
    /// It was told to go: it finishes what runs.
    pub leaving: bool,
    /// It refuses requests for want of memory.
    pub full: bool,
    /// Requests that it serves right now.
    pub in_flight: u32,
    /// Guests that wait for CPU right now.
    pub guests_runnable: u32,
    /// Threads that run guests.
    pub cores: u32,
    /// Memory in use, of its budget, in bytes. What slots that nobody uses keep, and what ended guests have
    /// left until it is given back, come on top of the budget.
    pub memory_bytes: u64,
    /// Memory that it may use, in bytes.
    pub memory_budget_bytes: u64,
}

/// A function in a runtime pod.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeFunction {
    /// The function.
    pub function: FunctionId,
    /// Generation of its spec that this pod works on.
    pub generation: i64,
    /// What this pod resolved the image to, if it had to.
    #[serde(default)]
    pub resolution: Option<Resolution>,
    /// How far `generation` is.
    pub load: Load,
    /// The version that answers now, possibly an older one.
    #[serde(default)]
    pub serving: Option<LoadedVersion>,
    /// Requests for it that the pod serves right now.
    #[serde(default)]
    pub in_flight: u32,
    /// The pod refuses requests for it, since it is at its concurrency limit.
    #[serde(default)]
    pub full: bool,
    /// Its guests that wait for CPU right now.
    #[serde(default)]
    pub guests_runnable: u32,
    /// Memory that its guests hold right now, in bytes.
    #[serde(default)]
    pub memory_bytes: u64,
}

/// What an image was resolved to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// The spec's `image` at the time.
    pub image: String,
    /// The annotation `wasmfn.dev/resolve-at` at the time; empty where there was none.
    #[serde(default)]
    pub resolve_at: String,
    /// Digest of the manifest, as `sha256:` and 64 hexadecimal digits.
    pub digest: String,
}

/// How far a generation is in a pod.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "phase", rename_all_fields = "camelCase")]
pub enum Load {
    /// Nothing has happened yet, or the digest is not in the object's status yet.
    Waiting,
    /// The registry is being asked for the digest.
    Resolving,
    /// The module is being pulled.
    Pulling,
    /// The module is being compiled and linked.
    Compiling,
    /// It answers.
    Loaded,
    /// It cannot be loaded.
    Failed {
        /// One word: a reason of the API.
        reason: String,
        /// A sentence for people; at most [`MESSAGE_MAX_BYTES`](crate::MESSAGE_MAX_BYTES).
        message: String,
        /// The pod tries again by itself; otherwise it waits for a change of the object.
        retrying: bool,
    },
    /// A state of a newer version.
    #[serde(other)]
    Unknown,
}

/// A version that is loaded.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadedVersion {
    /// Digest of its manifest.
    pub digest: String,
    /// Generation of the spec that it serves under.
    pub generation: i64,
    /// `Component` or `Command`.
    pub kind: String,
    /// The spec asks for instances to be reused, and the guest turned out not to bear it.
    #[serde(default)]
    pub not_reused: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_the_wire() {
        let line = RuntimeLine::Function(RuntimeFunction {
            function: FunctionId {
                namespace: "a".into(),
                name: "b".into(),
                uid: "c".into(),
            },
            generation: 3,
            resolution: None,
            load: Load::Failed {
                reason: "NotWasm".into(),
                message: "it is text".into(),
                retrying: false,
            },
            serving: None,
            in_flight: 0,
            full: false,
            guests_runnable: 0,
            memory_bytes: 0,
        });
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.contains(r#""type":"Function""#), "{text}");
        assert!(text.contains(r#""phase":"Failed""#), "{text}");
        assert_eq!(serde_json::from_str::<RuntimeLine>(&text).unwrap(), line);
    }

    #[test]
    fn newer_versions_are_understood_as_far_as_possible() {
        let line: RuntimeLine = serde_json::from_str(r#"{"type":"Weather","sky":"blue"}"#).unwrap();
        assert_eq!(line, RuntimeLine::Unknown);
        let line: RuntimeLine =
            serde_json::from_str(r#"{"type":"Pod","leaving":true,"new":1}"#).unwrap();
        let expected = PodState {
            leaving: true,
            ..PodState::default()
        };
        assert_eq!(line, RuntimeLine::Pod(expected));
    }
}
