//! Listens to what runtime pods and gateways say about themselves.
//!
//! One task for each pod (`stream.rs`) reads its state stream; [`Knowledge`] keeps what was said
//! and has the functions concerned looked at again.

use wasmfn_crds::hosts::FunctionKey;
use wasmfn_report::FunctionId;

mod gateway_view;
mod knowledge;
mod pods;
mod routing;
mod runtime_view;
mod stream;
#[cfg(test)]
mod tests;

pub use gateway_view::GatewayView;
pub use knowledge::{Demand, Knowledge, PodId};
pub use pods::Followers;
pub use routing::Routing;
pub use runtime_view::{Report, RuntimeView};
pub use stream::{StreamError, Target};

fn key(function: &FunctionId) -> FunctionKey {
    FunctionKey {
        namespace: function.namespace.clone(),
        name: function.name.clone(),
    }
}
