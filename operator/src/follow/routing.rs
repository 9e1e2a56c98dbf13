use std::collections::{BTreeMap, HashMap};

use wasmfn_crds::hosts::FunctionKey;

use super::{GatewayView, knowledge::PodId};

/// How far a function's current generation has come at the gateways that take requests.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Routing {
    /// Every one of them that says what it knows knows it.
    #[default]
    Everywhere,
    /// The same, but one of them has not told its full picture.
    Unsure,
    /// One of them does not know it.
    Behind,
}

/// Functions that were not known everywhere when somebody asked.
#[derive(Debug, Default)]
pub(super) struct Unrouted(BTreeMap<FunctionKey, Asked>);

/// What was asked about a function, and answered.
#[derive(Debug)]
struct Asked {
    uid: String,
    generation: i64,
    answer: Routing,
}

impl Unrouted {
    /// Answers whether `gateways` know a `generation` of a function, and remembers it where they do not.
    pub(super) fn ask(
        &mut self,
        gateways: &HashMap<PodId, GatewayView>,
        function: &FunctionKey,
        uid: &str,
        generation: i64,
    ) -> Routing {
        let answer = routing(gateways, function, uid, generation);
        if answer == Routing::Everywhere {
            self.0.remove(function);
        } else {
            let asked = Asked {
                uid: uid.to_owned(),
                generation,
                answer,
            };
            self.0.insert(function.clone(), asked);
        }
        answer
    }

    /// The function, if what was answered about it is not so any more.
    pub(super) fn look_at(
        &mut self,
        gateways: &HashMap<PodId, GatewayView>,
        function: &FunctionKey,
    ) -> Option<FunctionKey> {
        let asked = self.0.get_mut(function)?;
        let answer = routing(gateways, function, &asked.uid, asked.generation);
        let before = std::mem::replace(&mut asked.answer, answer);
        if answer == Routing::Everywhere {
            self.0.remove(function);
        }
        let is_news = (before == Routing::Behind) != (answer == Routing::Behind);
        is_news.then(|| function.clone())
    }

    /// The same of all functions.
    pub(super) fn look_at_all(
        &mut self,
        gateways: &HashMap<PodId, GatewayView>,
    ) -> Vec<FunctionKey> {
        let functions: Vec<FunctionKey> = self.0.keys().cloned().collect();
        let changed = functions
            .iter()
            .filter_map(|function| self.look_at(gateways, function));
        changed.collect()
    }

    /// A function is there no more.
    pub(super) fn forget(&mut self, function: &FunctionKey) {
        self.0.remove(function);
    }
}

fn routing(
    gateways: &HashMap<PodId, GatewayView>,
    function: &FunctionKey,
    uid: &str,
    generation: i64,
) -> Routing {
    let mut routing = Routing::Everywhere;
    for gateway in gateways.values().filter(|gateway| gateway.is_ready()) {
        match gateway.knows(function, uid, generation) {
            Some(true) => {}
            Some(false) => return Routing::Behind,
            None if gateway.is_told() => {}
            None => routing = Routing::Unsure,
        }
    }
    routing
}
