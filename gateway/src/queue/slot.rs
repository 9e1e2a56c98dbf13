use std::sync::Arc;

use super::Turns;
use crate::{endpoints::Pod, routes::Function};

/// What a request takes of a pod, offered to those that wait when this is dropped.
#[derive(Debug)]
pub struct Slot {
    /// Whose request it is.
    pub function: Arc<Function>,
    /// Where it is.
    pub pod: Arc<Pod>,
    /// Who else wants it.
    pub turns: Arc<Turns>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Who gets the offer is to find this pod first.
        self.pod.note_freed(&self.function.key);
        self.turns.slot_freed(&self.function.queue);
    }
}
