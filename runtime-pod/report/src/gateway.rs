use serde::{Deserialize, Serialize};

use crate::FunctionId;

/// A line of a gateway's stream.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum GatewayLine {
    /// The gateway as a whole.
    Gateway {
        /// Version of wasmfn.
        version: String,
        /// Its pod's name.
        pod: String,
        /// It was told to go: it finishes what it holds.
        leaving: bool,
        /// It says which functions it knows, each with a [`Route`](Self::Route).
        #[serde(default)]
        tells_routes: bool,
    },
    /// The function that has this name at the gateway.
    Route {
        /// The function.
        function: FunctionId,
        /// Generation of the spec that its requests are handled by; none, where it is there no more.
        generation: Option<i64>,
    },
    /// Demand for one function. A function that was never mentioned has none.
    Function(GatewayFunction),
    /// The full picture ends here.
    Synced,
    /// Nothing new.
    Heartbeat,
    /// A line of a newer version.
    #[serde(other)]
    Unknown,
}

/// Demand for one function at one gateway.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayFunction {
    /// The function.
    pub function: FunctionId,
    /// Requests that were passed on and are not answered in full.
    #[serde(default)]
    pub in_flight: u32,
    /// Requests that wait.
    #[serde(default)]
    pub queued: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_the_wire() {
        let line = GatewayLine::Function(GatewayFunction {
            function: FunctionId {
                namespace: "a".into(),
                name: "b".into(),
                uid: String::new(),
            },
            in_flight: 2,
            queued: 1,
        });
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.contains(r#""inFlight":2"#), "{text}");
        assert_eq!(serde_json::from_str::<GatewayLine>(&text).unwrap(), line);
        let older: GatewayLine =
            serde_json::from_str(r#"{"type":"Gateway","version":"0","pod":"g","leaving":false}"#)
                .unwrap();
        let GatewayLine::Gateway { tells_routes, .. } = older else {
            panic!("{older:?}");
        };
        assert!(!tells_routes);
        let unknown: GatewayLine = serde_json::from_str(r#"{"type":"Weather"}"#).unwrap();
        assert_eq!(unknown, GatewayLine::Unknown);
    }
}
