//! Where the functions come from is not this library's business: it takes a full set, and each
//! new one after that.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;
use wasmfn_crds::WasmFunction;

/// All functions that this process has to hold, by name.
pub type FunctionSet = BTreeMap<String, Arc<WasmFunction>>;

/// The newest set; none until the first is known.
pub type FunctionSource = watch::Receiver<Option<Arc<FunctionSet>>>;
