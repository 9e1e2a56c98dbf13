//! Which version answers, and in which runtime deployment.

use wasmfn_crds::{Resolved, Serving, names::runtime_of};
use wasmfn_report::LoadedVersion;

use crate::reconcile::observed::{Observed, RuntimeState, is_current};

/// The version that answers now and the kind of its module; nothing, where no pod can tell.
///
/// The runtime deployment on record stays until a ready pod of the one that is asked for serves
/// what is asked for, so that a change of placement leaves no moment without an answer.
pub(super) fn serving(
    observed: &Observed<'_>,
    resolved: Option<&Resolved>,
) -> (Option<Serving>, Option<String>) {
    let function = observed.function;
    let target = runtime_of(function);
    let on_record = function
        .status
        .as_ref()
        .and_then(|status| status.serving.as_ref())
        .map_or(target.as_str(), |serving| serving.runtime.as_str());
    let (version, runtime) = if on_record == target {
        (newest(&observed.target, resolved), target.as_str())
    } else if let Some(version) = taken_over(observed, resolved) {
        (Some(version), target.as_str())
    } else {
        (newest(&observed.serving, resolved), on_record)
    };
    let serving = version.map(|version| Serving {
        digest: version.digest.clone(),
        generation: version.generation,
        runtime: runtime.to_owned(),
    });
    (serving, version.map(|version| version.kind.clone()))
}

/// The newest version that a pod serves; of two of one generation, the one on record.
fn newest<'a>(state: &'a RuntimeState, resolved: Option<&Resolved>) -> Option<&'a LoadedVersion> {
    state
        .reports()
        .filter_map(|report| report.serving.as_ref())
        .max_by_key(|version| {
            let recorded = resolved.is_some_and(|resolved| resolved.digest == version.digest);
            (version.generation, recorded)
        })
}

fn taken_over<'a>(
    observed: &'a Observed<'_>,
    resolved: Option<&Resolved>,
) -> Option<&'a LoadedVersion> {
    let ready = observed.target.pods.iter().filter(|pod| pod.ready);
    ready
        .filter_map(|pod| pod.says()?.serving.as_ref())
        .find(|version| is_current(observed.function, resolved, version))
}
