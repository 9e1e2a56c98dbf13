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
        let is_news = asked.again(gateways, function);
        if asked.answer == Routing::Everywhere {
            self.0.remove(function);
        }
        is_news.then(|| function.clone())
    }

    /// The same of all functions.
    pub(super) fn look_at_all(
        &mut self,
        gateways: &HashMap<PodId, GatewayView>,
    ) -> Vec<FunctionKey> {
        let mut changed = Vec::new();
        self.0.retain(|function, asked| {
            if asked.again(gateways, function) {
                changed.push(function.clone());
            }
            asked.answer != Routing::Everywhere
        });
        changed
    }

    /// A function is there no more.
    pub(super) fn forget(&mut self, function: &FunctionKey) {
        self.0.remove(function);
    }
}

impl Asked {
    /// Answers again; whether that is news to who has asked.
    fn again(&mut self, gateways: &HashMap<PodId, GatewayView>, function: &FunctionKey) -> bool {
        let answer = routing(gateways, function, &self.uid, self.generation);
        let before = std::mem::replace(&mut self.answer, answer);
        (before == Routing::Behind) != (answer == Routing::Behind)
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
