use std::{
    fmt::Error,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{MetricType, exemplar::Exemplar},
    registry::Unit,
};

use super::{GatewayMetrics, Outcome};
use crate::{
    queue::Cause,
    routes::{Entrance, Function},
    world::World,
};

/// No exemplars.
const NONE: Option<&Exemplar<[(&str, &str); 0], f64>> = None;

/// What is read at each scrape.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) metrics: Arc<GatewayMetrics>,
    pub(super) world: Arc<World>,
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let routes = self.world.routes();
        let mut functions: Vec<&Arc<Function>> = routes.functions().collect();
        functions.sort_by(|left, right| left.id.cmp(&right.id));
        self.unrouted(&mut encoder)?;
        self.faults(&mut encoder)?;
        self.answers(&mut encoder)?;
        requests(&mut encoder, &functions)?;
        refusals(&mut encoder, &functions)?;
        gauge(
            &mut encoder,
            "in_flight",
            "Requests passed on and not answered in full",
            &functions,
            |function| function.counts.in_flight(),
        )?;
        gauge(
            &mut encoder,
            "queued",
            "Requests that wait for a pod",
            &functions,
            |function| function.counts.queued(),
        )?;
        durations(&mut encoder, &functions)?;
        waits(&mut encoder, &functions)
    }
}

impl Collected {
    fn unrouted(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let help = "Requests answered before a function was found for them";
        let mut family = encoder.encode_descriptor("unrouted", help, None, MetricType::Counter)?;
        for entrance in Entrance::ALL {
            let answers = &self.metrics.unrouted[entrance as usize];
            for (_, reason, count) in answers.all() {
                let labels = [("entrance", entrance.as_str()), ("reason", reason.as_str())];
                family
                    .encode_family(&labels)?
                    .encode_counter(&count, NONE)?;
            }
        }
        Ok(())
    }

    fn faults(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let faults = self
            .metrics
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let help = "Clients refused or cut off for what they did on their connection";
        let mut family = encoder.encode_descriptor("faults", help, None, MetricType::Counter)?;
        for ((entrance, fault), count) in faults {
            family
                .encode_family(&[("entrance", entrance), ("reason", fault.as_str())])?
                .encode_counter(&count, NONE)?;
        }
        Ok(())
    }

    fn answers(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let help = "From the head of a request to the last byte that its client took, by who \
                    answered and the class of status";
        let mut family = encoder.encode_descriptor(
            "answer_duration",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for outcome in Outcome::all() {
            let durations = &self.metrics.durations[outcome.number()];
            if !durations.is_empty() {
                durations.encode(family.encode_family(&outcome.labels())?)?;
            }
        }
        Ok(())
    }
}

fn requests(encoder: &mut DescriptorEncoder, functions: &[&Arc<Function>]) -> Result<(), Error> {
    let help = "Requests answered, by class of status and wasmfn's reason";
    let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
    for function in functions {
        for (class, reason, count) in function.metrics.answers.all() {
            let class = format!("{class}xx");
            let [namespace, name] = labels(function);
            family
                .encode_family(&[
                    namespace,
                    name,
                    ("code", class.as_str()),
                    ("reason", reason.as_str()),
                ])?
                .encode_counter(&count, NONE)?;
        }
    }
    Ok(())
}

fn refusals(encoder: &mut DescriptorEncoder, functions: &[&Arc<Function>]) -> Result<(), Error> {
    let help = "Times that a pod did not begin a request, which then went elsewhere or waited";
    let mut family = encoder.encode_descriptor("refusals", help, None, MetricType::Counter)?;
    for function in functions.iter().filter(|function| was_called(function)) {
        let count = function.metrics.refusals.load(Ordering::Relaxed);
        family
            .encode_family(&labels(function))?
            .encode_counter(&count, NONE)?;
    }
    Ok(())
}

fn gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    functions: &[&Arc<Function>],
    value: impl Fn(&Function) -> u32,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for function in functions {
        // A function that nobody has called costs no series.
        if !function.counts.ever_counted() {
            continue;
        }
        family
            .encode_family(&labels(function))?
            .encode_gauge(&i64::from(value(function)))?;
    }
    Ok(())
}

fn durations(encoder: &mut DescriptorEncoder, functions: &[&Arc<Function>]) -> Result<(), Error> {
    let help = "From the head of a request to the last byte of its answer";
    let unit = Some(&Unit::Seconds);
    let mut family =
        encoder.encode_descriptor("request_duration", help, unit, MetricType::Histogram)?;
    for function in functions.iter().filter(|function| was_called(function)) {
        let labels = labels(function);
        let encoder = family.encode_family(&labels)?;
        function.metrics.duration.encode(encoder)?;
    }
    Ok(())
}

fn waits(encoder: &mut DescriptorEncoder, functions: &[&Arc<Function>]) -> Result<(), Error> {
    let help = "How long requests waited for a pod, and why";
    let unit = Some(&Unit::Seconds);
    let mut family = encoder.encode_descriptor("queue_wait", help, unit, MetricType::Histogram)?;
    for function in functions.iter().filter(|function| was_called(function)) {
        for cause in Cause::ALL {
            let [namespace, name] = labels(function);
            let labels = [namespace, name, ("cause", cause.as_str())];
            let encoder = family.encode_family(&labels)?;
            function.metrics.waits[cause as usize].encode(encoder)?;
        }
    }
    Ok(())
}

fn was_called(function: &Function) -> bool {
    function.counts.ever_counted()
}

fn labels(function: &Function) -> [(&'static str, &str); 2] {
    [
        ("namespace", function.id.namespace.as_str()),
        ("function", function.id.name.as_str()),
    ]
}
