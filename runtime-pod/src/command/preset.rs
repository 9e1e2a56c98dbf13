//! Limits of JSON commands, for those that the spec leaves at their defaults: the figures of
//! Shopify Functions (<https://shopify.dev/docs/api/functions/latest>, "resource limits").

use wasmfn_crds::spec::{self, Contract};

use crate::limits::Limits;

/// Instructions of one call.
pub const INSTRUCTIONS: u64 = 11_000_000;
/// The document that comes in.
const INPUT_BYTES: u64 = 128_000;
/// The document that goes out.
const OUTPUT_BYTES: u64 = 20_000;
/// Memory: 10 000 kB.
const MEMORY_BYTES: u64 = 10_000_000;

/// The limits of a command: those of the spec, but for a JSON command each that stands at its
/// default is the preset's. The API server fills in the defaults, so that a default cannot be told
/// from the same amount written down.
#[must_use]
pub fn apply(contract: Contract, spec: &spec::Limits, mut limits: Limits) -> Limits {
    if contract == Contract::CGI {
        return limits;
    }
    let default = spec::Limits::default();
    if spec.memory_per_request == default.memory_per_request {
        limits.memory_bytes = MEMORY_BYTES;
    }
    if spec.request_bytes == default.request_bytes {
        limits.request_bytes = INPUT_BYTES;
    }
    if spec.response_bytes == default.response_bytes {
        limits.response_bytes = OUTPUT_BYTES;
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    fn applied(contract: Contract, spec: &spec::Limits) -> Limits {
        apply(contract, spec, Limits::read(spec).unwrap())
    }

    #[test]
    fn defaults_become_the_presets_and_the_rest_holds() {
        let mut spec = spec::Limits::default();
        let preset = applied(Contract::JSON, &spec);
        assert_eq!(preset.memory_bytes, 10_000_000);
        assert_eq!(preset.request_bytes, 128_000);
        assert_eq!(preset.response_bytes, 20_000);
        assert_eq!(preset.timeout, Limits::read(&spec).unwrap().timeout);
        spec.request_bytes = Quantity("1M".to_owned());
        assert_eq!(applied(Contract::JSON, &spec).request_bytes, 1_000_000);
        assert_eq!(applied(Contract::JSON, &spec).response_bytes, 20_000);
    }

    #[test]
    fn cgi_has_the_limits_of_every_function() {
        let spec = spec::Limits::default();
        assert_eq!(applied(Contract::CGI, &spec), Limits::read(&spec).unwrap());
    }
}
