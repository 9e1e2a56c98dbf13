//! How a case is run: the guest beside a neighbour, its answer, and what is left of it.

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};

use super::support::{
    World,
    client::{self, Answer},
    guests,
};

/// A world with a neighbour, and the guest of the stories that does harm.
pub struct Arena {
    pub world: World,
}

/// The function that does harm.
pub const HOSTILE: &str = "hostile";
/// The one that does not.
pub const NEIGHBOUR: &str = "neighbour";

impl Arena {
    /// A neighbour, and no harm yet.
    pub async fn new() -> Self {
        let mut world = World::new().await;
        world.registry.push("r/answer:1", guests::bytes("answer"));
        world.registry.push("r/hostile:1", guests::bytes("hostile"));
        world.serve(NEIGHBOUR, json!({"image": "r/answer:1"})).await;
        Self { world }
    }

    /// Serves the guest that does as its path says, under these limits and grants.
    pub async fn hostile(&mut self, spec: Value) {
        let mut spec = spec;
        spec["image"] = json!("r/hostile:1");
        self.world.serve(HOSTILE, spec).await;
    }

    /// Serves a module under these limits.
    pub async fn module(&mut self, name: &str, bytes: Bytes, limits: Value) {
        let image = format!("r/{name}:1");
        self.world.registry.push(&image, bytes);
        let spec = json!({"image": image, "limits": limits});
        self.world.serve(HOSTILE, spec).await;
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.world.get(HOSTILE, path).await
    }

    /// What came of a request whose answer may break off, also before its head.
    pub async fn get_cut(&self, path: &str) -> Option<Answer> {
        let request = client::request(HOSTILE, path)
            .body(Full::<Bytes>::default())
            .unwrap();
        let response = client::try_send(self.world.address, request).await.ok()?;
        Some(client::read(response).await)
    }

    /// The neighbour still answers; nothing of the hostile guest is in flight, and its memory is
    /// back.
    pub async fn is_well(&self, case: &str, memory_before: u64) {
        let answer = self.world.get(NEIGHBOUR, "/").await;
        assert_eq!(answer.status, 200, "{case}: {answer:?}");
        for name in [HOSTILE, NEIGHBOUR] {
            self.world.until(name, |report| report.in_flight == 0).await;
        }
        let holdings = self.world.runtime.picture().holdings();
        assert_eq!(holdings.in_flight, 0, "{case}");
        assert!(
            holdings.memory_bytes <= memory_before,
            "{case}: {} bytes were {memory_before}",
            holdings.memory_bytes
        );
    }

    /// The same, once the neighbour's code is mapped: it is let go where nobody asks for a while.
    pub async fn at_rest(&self) -> u64 {
        self.is_well("before", u64::MAX).await;
        self.memory()
    }

    /// Memory that is given away while nothing runs.
    pub fn memory(&self) -> u64 {
        self.world.runtime.picture().holdings().memory_bytes
    }
}

/// It is wasmfn's own answer, for this reason.
pub fn is_refused(case: &str, answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{case}: {answer:?}");
    assert_eq!(answer.header("wasmfn-reason"), reason, "{case}: {answer:?}");
    let body: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(body["reason"], reason, "{case}");
    assert!(!body["message"].as_str().unwrap().is_empty(), "{case}");
    assert!(!answer.text.contains("0x"), "{case}: {}", answer.text);
}
