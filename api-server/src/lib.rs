//! How wasmfn's parts reach the API server. One that is away, or has gone without a word, keeps
//! changes from none of them for long once another answers.
//!
//! kube's own limits are made for tools: 30 s to connect, none for the answer to a request, nearly
//! five minutes until a silent watch counts as dead, and pauses of up to half a minute between tries.

use std::{fmt::Debug, time::Duration};

use backon::ExponentialBuilder;
use futures::Stream;
use kube::{
    Api, Client, Config, Resource,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, ExponentialBackoff, watcher},
    },
};
use serde::de::DeserializeOwned;

mod reach;

pub use reach::Reach;

/// What is logged unless `RUST_LOG` says otherwise. kube logs each request that fails, as does whoever
/// asked, where it is news.
pub const LOG_FILTER: &str = "info,kube_client::client::builder=off";

/// How long the API server may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// How long it may take until it answers, and until it goes on with an answer. Longer than what an
/// admission webhook may take (30 s), and than a watch is silent.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);

/// After how many seconds the API server ends a watch, which then goes on from where it was. kube
/// takes a watch that is silent for 5 s longer than that for dead. Not much shorter than what
/// client-go takes to find a dead connection (45 s): gateways and runtime pods follow two watches each,
/// and there may be many of them.
const WATCH_SECONDS: u32 = 30;

/// First and longest pause between tries while the API server is away, up to twice as long by chance.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// A client that gives up a connection that is not made, and a request that is not answered.
///
/// # Errors
/// The configuration does not fit together.
pub fn client(config: Config) -> Result<Client, kube::Error> {
    limited(config, CONNECT_WITHIN, ANSWER_WITHIN)
}

fn limited(mut config: Config, connect: Duration, answer: Duration) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(connect);
    config.read_timeout = Some(answer);
    // From the request on, and not from the last answer on the same connection.
    config.reset_reader_on_write = true;
    Client::try_from(config)
}

/// What there is, and each change of it, without end: a watch of a dead API server is noticed, and a
/// failed one is begun again after a pause.
pub fn changes<K>(
    api: Api<K>,
    which: watcher::Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, which.timeout(WATCH_SECONDS)).backoff(pauses())
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(PAUSES.0)
        .with_max_delay(PAUSES.1)
        .without_max_times()
        .with_jitter()
        .into()
}

#[cfg(test)]
mod tests;
